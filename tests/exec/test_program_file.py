"""A program that cannot be run with the library is refused by a sentence, and a status as a shell's."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess

import pytest
from ways import compiled

from kthreads.programs.program_file import ProgramError, check, find

pytestmark = pytest.mark.any_python


def refusal(path) -> str:
    with pytest.raises(ProgramError) as refused:
        check(str(path))
    assert refused.value.status == 126
    return str(refused.value).replace(str(path), "P")


@pytest.fixture
def program(build, tmp_path):
    """A copy of a program that can be run so."""
    return shutil.copy(build("joins.c"), tmp_path / "program")


def patch(path, offset: int, value: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(value)


def test_a_program_of_this_libc_can_be_run_so(program):
    check(program)


def test_a_static_program_is_refused(build, tmp_path):
    try:
        path = compiled("library.c", tmp_path, "-static", "-Wl,--entry=answer", "-nostartfiles")
    except subprocess.CalledProcessError:
        pytest.skip("no static libc")
    assert refusal(path) == "P is linked statically: its calls of pthread_create cannot be replaced"


def test_a_program_of_32_bits_is_refused(program):
    patch(program, 4, b"\1")
    assert refusal(program) == "P is a 32-bit program, and the library is of 64 bits"


def test_a_program_for_another_processor_is_refused(program):
    patch(program, 18, struct.pack("<H", 243))
    assert refusal(program) == "P is a program for another processor than this machine's"


def test_a_program_of_another_libc_is_refused(tmp_path):
    path = compiled("joins.c", tmp_path, "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")
    assert refusal(path) == "P uses another libc than glibc: its loader is /lib/ld-musl-x86_64.so.1"


def test_a_program_that_is_cut_off_is_refused(program):
    os.truncate(program, 100)
    assert refusal(program) == "P is a damaged program"


def test_a_file_of_no_format_is_refused(tmp_path):
    (tmp_path / "data").write_bytes(b"\0\1\2\n")
    assert refusal(tmp_path / "data") == "P is of no format that can be executed"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
@pytest.mark.parametrize(("mode", "word"), [(0o4755, "setuid"), (0o2755, "setgid")])
def test_a_program_with_rights_of_another_is_refused(program, mode, word):
    os.chown(program, 65534, 65534)
    os.chmod(program, mode)
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        pytest.skip("mounted with nosuid")
    assert refusal(program) == f"P is {word}: the loader ignores LD_PRELOAD for it"


def test_a_script_is_as_its_interpreter(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh -e\n")
    check(str(script))
    script.write_text("echo without a first line\n")
    check(str(script))


def test_a_script_without_its_interpreter_is_not_found(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/shell\n")
    with pytest.raises(ProgramError, match="needs the interpreter /no/such/shell") as refused:
        check(str(script))
    assert refused.value.status == 127


def test_a_script_of_itself_is_refused(tmp_path):
    script = tmp_path / "script"
    script.write_text(f"#!{script}\n")
    assert refusal(script) == "P is a script whose interpreter is a script, and so on"


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("no-such-program", 127, "there is no program no-such-program"),
        ("/no/such/program", 127, "there is no program /no/such/program"),
        ("/etc/passwd", 126, "/etc/passwd is not executable"),
        ("/etc", 126, "/etc is a directory"),
        ("", 127, "there is no program "),
    ],
)
def test_a_program_that_is_none_is_refused(name, status, text):
    with pytest.raises(ProgramError) as refused:
        find(name)
    assert (str(refused.value), refused.value.status) == (text, status)


def test_a_program_is_found_in_the_path(tmp_path, monkeypatch, program):
    monkeypatch.setenv("PATH", f"/no/such/folder:{tmp_path}")
    assert find("program") == str(program)
