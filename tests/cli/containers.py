"""What the tests of `kthreads run` share: a root made of busybox alone, and runs of the command on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from kthreads.cli.main import main

KTHREADS = [sys.executable, "-m", "kthreads"]
BUSYBOX = "/bin/busybox"
PATIENCE = 60  # seconds until a test gives up

container_tests = [
    pytest.mark.any_python,
    pytest.mark.skipif(os.geteuid() != 0, reason="the container is made as root"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="busybox-static is not installed"),
]


def furnish(root: Path) -> Path:
    """Fills an empty folder with a shell and the usual tools."""
    root.chmod(0o755)
    for name in ("bin", "dev", "proc", "tmp", "mnt", "root"):
        (root / name).mkdir()
    shutil.copy(BUSYBOX, root / "bin")
    if subprocess.run(["chroot", root, "/bin/busybox", "true"], check=False).returncode != 0:
        pytest.skip("busybox is not linked statically")
    for name in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    return root


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `kthreads run`."""
    options = {"capture_output": True, "text": True, "timeout": PATIENCE} | options
    return subprocess.run([*KTHREADS, "run", *map(str, arguments)], check=False, **options)


def forked(*words: object, text: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `kthreads` in a fork of this process, which saves the start of an interpreter. It has the descriptors of this
    process that can be inherited.

    Args:
        text: its standard input.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        source.write(text.encode())
        source.seek(0)
        pid = os.fork()
        if pid == 0:
            _run_main(list(map(str, words)), source.fileno(), output.fileno(), errors.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(words, status, output.read().decode(), errors.read().decode())


def _run_main(words: list[str], *streams: int) -> NoReturn:
    status = 99
    try:
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        sys.argv = ["kthreads", *words]
        os.chdir("/")
        status = main()
    except SystemExit as error:
        status = int(error.code)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def inside(root: Path, script: str, *options: object) -> str:
    """What a shell script in a container prints."""
    done = run("--root", root, *options, "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """Starts `kthreads run`."""
    return subprocess.Popen([*KTHREADS, "run", *map(str, arguments)], **options)


def signals_are_caught(pid: int) -> bool:
    """Whether a command that was started has handlers of signals."""
    with open(f"/proc/{pid}/status") as file:
        caught = next(line for line in file if line.startswith("SigCgt")).split()[1]
    return int(caught, 16) >> signal.SIGTERM - 1 & 1 == 1


class Screen:
    """A terminal in which a command runs.

    Attributes:
        pid: of the command.
        shown: all that has appeared.
    """

    def __init__(self, *words: object, rows: int = 24, columns: int = 80) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [*KTHREADS, *map(str, words)])
        self.shown = b""
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def wait_for(self, text: bytes, times: int = 1) -> None:
        """Reads until a text has appeared."""
        while self.shown.count(text) < times:
            assert select.select([self.fd], [], [], PATIENCE)[0], self.shown
            self.shown += os.read(self.fd, 1000)

    def read_to_end(self) -> bytes:
        with contextlib.suppress(OSError):
            while select.select([self.fd], [], [], PATIENCE)[0]:
                self.shown += os.read(self.fd, 1000)
        return self.shown

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def status(self) -> int:
        """Waits for the end of the command."""
        self.read_to_end()
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Takes the terminal away from the command."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextlib.contextmanager
def screen_of(*words: object, **size: int) -> Iterator[Screen]:
    """A terminal in which `kthreads` runs with these words."""
    screen = Screen(*words, **size)
    try:
        yield screen
    finally:
        screen.close()
        if screen.pid:
            os.kill(screen.pid, 9)
            os.waitpid(screen.pid, 0)
