"""The commands beside a hostile root or process: whose libraries they load, and what they print."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.any_python

EVIL = r"""
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { close(open("/loaded", O_CREAT | O_WRONLY, 0600)); }
"""


@pytest.fixture
def evil_root(attack_by_root):
    """A root that names a library of its own for the lookup of users."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    attack = attack_by_root
    (attack.root / "etc" / "nsswitch.conf").write_text("passwd: evil\ngroup: evil\n")
    for folder in ("lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64", "lib", "usr/lib64", "usr/lib"):
        path = attack.root / folder
        path.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-shared", "-fPIC", "-nostartfiles", "-x", "c", "-", "-o", path / "libnss_evil.so.2"]
        subprocess.run(command, input=EVIL, text=True, check=True)
    return attack


def without_shell():
    return {name: value for name, value in os.environ.items() if name != "SHELL"}


def test_unshare_looks_the_shell_up_before_it_enters_a_root(evil_root):
    evil_root.command("unshare", "-R", evil_root.root, env=without_shell(), input="")
    assert not (evil_root.root / "loaded").exists()


def test_nsenter_looks_the_shell_up_before_it_enters_a_root(evil_root):
    words = ["unshare", "-m", "-R", evil_root.root, "sh", "-c", "echo ready; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as target:
        assert target.stdout.readline() == b"ready\n"
        evil_root.command("nsenter", "-t", target.pid, "-m", "-r", env=without_shell(), input="")
        target.kill()
    assert not (evil_root.root / "loaded").exists()


def test_ps_shows_no_control_character_of_a_command_line():
    lies = "x\n  1 forged\x1b[2J\x9b31m\u202e\u2028\x07\r"
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, lies, b"\xff\x1b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        command = [sys.executable, "-m", "kthreads", "ps", str(process.pid), "--all", "--kind", "uts"]
        out = subprocess.check_output(command, text=True, env={**os.environ, "COLUMNS": "5000"})
        process.communicate()
    assert r"x\n  1 forged\x1b[2J\x9b31m\u202e\u2028\x07\r" in out
    assert all(each.isprintable() for line in out.split("\n") for each in line)
    assert not any(line.split()[:2] == ["1", "forged"] for line in out.splitlines())


def test_demo_shows_no_control_character_of_a_file_name(tmp_path):
    (tmp_path / "\x1b[2J\nforged [red]").write_text("text")
    command = [sys.executable, "-m", "kthreads", "demo", str(tmp_path)]
    out = subprocess.check_output(command, text=True, env={**os.environ, "COLUMNS": "5000"})
    assert r"\x1b[2J\nforged [red]" in out
    assert "\x1b" not in out


def test_bad_usage_shows_no_control_character():
    done = subprocess.run(
        [sys.executable, "-m", "kthreads", "run", "--\x1b[2J"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "\x1b" in done.stderr) == (125, False)


def test_ps_shows_no_control_character_of_a_thread_s_name():
    code = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None); libc.prctl(15, b'\\x1b[2J\\n1 x'); libc.unshare(0x04000000);"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        command = [sys.executable, "-m", "kthreads", "ps", str(process.pid), "--all", "--threads"]
        out = subprocess.check_output(command, text=True, env={**os.environ, "COLUMNS": "5000"})
        process.communicate()
    assert all(each.isprintable() for line in out.split("\n") for each in line)


@pytest.mark.parametrize("command", [["run", "--"], ["unshare"], ["nsenter"]], ids=lambda words: words[0])
def test_an_error_shows_no_control_character_of_a_file_name(command):
    done = subprocess.run(
        [sys.executable, "-m", "kthreads", *command, "/no/\x1b[2J\nforged"], capture_output=True, text=True, check=False
    )
    assert done.returncode in (125, 127)
    assert r"/no/\x1b[2J\nforged" in done.stderr
    assert len(done.stderr.splitlines()) == 1
