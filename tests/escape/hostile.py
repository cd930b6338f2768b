"""What the tests of hostile roots share: a root made of busybox alone, to which each test adds its attack, and the two
users that attack: root, and an ordinary one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
# The interpreter may lie where only root may read. So the user changes when all is imported.
BECOME = """
import ctypes, fcntl, grp, importlib, os, pkgutil, pty, pwd, subprocess, sys, termios
import kthreads, kthreads.cli, kthreads.processes, kthreads.namespaces
for package in (kthreads.cli, kthreads.processes, kthreads.namespaces) if sys.argv[1] != "0" else ():
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

def become(uid):
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which a change of ids clears

become(int(sys.argv.pop(1)))
"""
COMMAND = BECOME + "from kthreads.cli.main import main; sys.exit(main())"
PRELUDE = (
    BECOME
    + """
from kthreads import CloneFlags, Process
from kthreads.flags import NAMESPACES
from kthreads.mounts import *

SIX = NAMESPACES & ~(CloneFlags.NEWCGROUP | CloneFlags.NEWTIME)
if os.geteuid() == 0:
    SIX &= ~CloneFlags.NEWUSER
MAPS = {"uid_map": "root", "gid_map": "root"} if SIX & CloneFlags.NEWUSER else {}

def run(*args, **options):
    "The output of a program in a container, and its status; or the text of the error that kept it from starting."
    options = {"namespaces": SIX, "stderr": subprocess.STDOUT, **MAPS} | options
    try:
        with Process(args, stdout=subprocess.PIPE, text=True, **options) as process:
            out, _ = process.communicate(timeout=30)
            return f"{out.strip()}|{process.returncode}"
    except (OSError, kthreads.KThreadsError) as error:
        return f"refused: {error}"
"""
)


class Attack:
    """A root with an attack in it, and a folder of the host beside it that must stay as it is.

    Attributes:
        uid: who attacks.
        root: the folder of the root.
        host: the folder that is none of its business. It holds a file `secret`.
    """

    def __init__(self, folder: Path, uid: int) -> None:
        self.uid, self.folder = uid, folder
        self.root, self.host = folder / "root", folder / "host"
        for name in ("bin", "proc", "dev", "tmp", "etc", "mnt", "sys"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, self.root / "bin" / "busybox")
        for name in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
            if name != "busybox":
                (self.root / "bin" / name).symlink_to("busybox")
        self.host.mkdir()
        (self.host / "secret").write_text("the host's secret\n")
        folder.chmod(0o755)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)

    def python(self, script: str, *arguments: object, **options: object) -> str:
        """The output of a Python program of this user, which may use PRELUDE."""
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(self.uid), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def command(
        self, *words: object, before: Sequence[str] = (), **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs `kthreads …` as this user, by the command `before` where there is one."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 60} | options
        return subprocess.run(
            [*before, sys.executable, "-c", COMMAND, str(self.uid), *map(str, words)],
            check=False,
            cwd="/",
            **options,
        )

    def in_container(self, script: str, *options: object) -> str:
        """What a shell script in `kthreads run` on the root prints."""
        return self.command("run", "--root", self.root, *options, "--", "sh", "-c", script).stdout.strip()

    @property
    def changes(self) -> list[str]:
        """What is new in the host's folder."""
        return sorted(path.name for path in self.host.iterdir() if path.name != "secret")


@contextlib.contextmanager
def attack_of(uid: int) -> Iterator[Attack]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the tests become other users")
    if not os.path.exists(BUSYBOX):
        pytest.skip("busybox-static is not installed")
    with tempfile.TemporaryDirectory(prefix="escape-") as folder:
        yield Attack(Path(folder), uid)
