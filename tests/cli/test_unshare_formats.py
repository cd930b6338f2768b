"""`kthreads unshare` with formats of programs of its own (binfmt_misc), which util-linux 2.38 lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

UNSHARE = [sys.executable, "-m", "kthreads", "unshare", "-r", "--pid", "--fork"]
FORMAT = ":kthreads:M::KTFORMAT::/bin/cat:"


def run(*words):
    done = subprocess.run([*UNSHARE, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def has_formats() -> bool:
    """Whether a user namespace can have formats of its own (Linux 6.7)."""
    if "binfmt_misc" not in Path("/proc/filesystems").read_text():
        return False
    return os.geteuid() == 0 and run("--mount-binfmt", "true")[0] == 0


pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(not has_formats(), reason="binfmt_misc cannot be mounted in a user namespace here"),
]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_text("KTFORMAT and more\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("options", [[], ["--mount-binfmt"], ["--mount-binfmt=/mnt"], ["--root=/"]], ids=" ".join)
def test_a_program_of_a_loaded_format_is_executed(program, options):
    assert run(*options, "--load-interp", FORMAT, program)[:2] == (0, "KTFORMAT and more\n")


def test_the_interpreter_of_a_format_with_the_flag_F_is_opened_before_the_root_is_entered(program, tmp_path):
    interpreter = tmp_path / "only outside"
    interpreter.write_bytes(Path("/bin/cat").read_bytes())
    interpreter.chmod(0o755)
    words = ["--mount", "--wd", tmp_path, "-l", f":kthreads:M::KTFORMAT::{interpreter}:F", "--root=/", "sh", "-c"]
    script = f"mv '{interpreter}' moved; {program}"
    assert run(*words, script)[:2] == (0, "KTFORMAT and more\n")


def test_the_host_has_no_such_format(program):
    run("-l", FORMAT, "true")
    with pytest.raises(OSError, match="Exec format error"):
        subprocess.run([program], check=False)


def test_a_format_that_is_none_is_refused():
    status, _, error = run("--load-interp=nonsense", "true")
    assert status == 1
    assert "cannot write 'nonsense': Invalid argument: '/proc/sys/fs/binfmt_misc/register'" in error


def test_a_folder_that_does_not_exist_is_named():
    status, _, error = run("--root=/", "--mount-binfmt=/no/such", "true")
    assert status == 1
    assert "/no/such" in error
