"""What the tests of processes and containers share: runs of programs, and which of them can be had here."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

import kthreads
from kthreads import CloneFlags, Process
from kthreads.flags import NAMESPACES
from kthreads.mounts import Bind, Tmpfs

ROOT = os.geteuid() == 0
STARTS = 10_000 if os.environ.get("KTHREADS_LONG") else 100
SIX = NAMESPACES & ~(CloneFlags.NEWCGROUP | CloneFlags.NEWTIME)
SYSTEM = [Bind(path, read_only=True) for path in ("/usr", "/bin", "/lib", "/lib64") if os.path.exists(path)]


def output_of(args, **options) -> str:
    options.setdefault("stderr", subprocess.STDOUT)
    process = Process(args, stdout=subprocess.PIPE, text=True, **options)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, out
    return out


def shell(script: str, **options) -> str:
    return output_of(["sh", "-c", script], **options)


def become_nobody() -> None:
    """What this process, a child of a test's, does to be as one that an unprivileged user has started."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    kthreads.symbol(None, "prctl", "int(int, long)").bind((4, 1)).run()  # PR_SET_DUMPABLE


def isolation_works() -> str:
    """Why new namespaces cannot be had here; empty where they can."""
    try:
        with Process(["true"], namespaces=SIX, root=Tmpfs(), mounts=SYSTEM) as process:
            process.wait()
    except (OSError, kthreads.KThreadsError) as error:
        return str(error)
    return ""


_reason = isolation_works()
isolated = pytest.mark.skipif(bool(_reason), reason=f"no namespaces here: {_reason}")
needs_root = pytest.mark.skipif(not ROOT, reason="needs privilege")


def tool(name: str):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"no {name}")
