"""What tests share that run programs in interpreters of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORK = """
import os, signal, sys

def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def fork(what=None, leave=os._exit, status=3):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)    # a child that hangs is killed
        try:
            (what or use)()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        leave(status)
    return pid
"""
"""The begin of programs that fork: a child does something, or what the program calls `use`, and leaves with a status."""


def skip_where_import_builds(redirections: str) -> None:
    """Skips a test that closes standard descriptors where kthreads is installed to be edited: it is built as it is imported,
    and the build's own files would get their numbers and what it prints."""
    if "&-" in redirections and any(hasattr(finder, "_build_path") for finder in sys.meta_path):
        pytest.skip("an editable install cannot be imported without standard descriptors")


def ended(program: str, *args: str, options: tuple[str, ...] = (), timeout: float = 60) -> subprocess.CompletedProcess:
    """Runs a program with arguments and options of the interpreter, whatever becomes of it."""
    return subprocess.run(
        [sys.executable, *options, "-c", program, *args], capture_output=True, text=True, timeout=timeout, check=False
    )


def printed(program: str, *args: str, options: tuple[str, ...] = ()) -> str:
    """The same for a program that must end well, with nothing said on stderr; returns what it has printed."""
    done = ended(program, *args, options=options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout
