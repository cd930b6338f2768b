"""The system calls that each way to make a thread takes, counted by strace."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from kthreads._native import ffi, lib

MAKERS = ("clone", "clone3", "reuse", "pthread", "pthread-fresh", "thrd", "bare")
THREADS = 50
_MARK = 'write(-1, "kthreads bench"'
_CALL = re.compile(r"^\d+\s+(\w+)\(")

PURPOSES = {
    "clone": "makes the thread",
    "clone3": "makes the thread",
    "futex": "the join sleeps on the word that the kernel clears; it wakes a parked thread, too",
    "exit": "ends the thread; the kernel clears the word and wakes the join",
    "rt_sigprocmask": "blocks signals until the thread has a libc to handle them with, then sets the starter's mask",
    "set_robust_list": "tells the kernel where the thread's list of robust mutexes is",
    "rseq": "registers restartable sequences, which sched_getcpu uses",
    "madvise": "gives the pages of the stack back to the kernel at each exit; kthreads leaves them to the next thread on "
    "the same stack, and gives them back after every 16th run and in trim()",
    "mmap": "maps a stack; a cache of stacks saves it",
    "mprotect": "makes the guard below a stack; a cache of stacks saves it",
    "munmap": "unmaps the stack; a cache of stacks saves it",
    "sched_getaffinity": "compares a parked thread with its starter",
    "getpriority": "compares a parked thread with its starter",
    "prctl": "gives a parked thread its starter's name",
    "gettid": "asks for the thread's id, which clone tells the others",
}
"""What each system call is for, where it is known."""


class TraceError(Exception):
    """The system calls could not be counted."""


def parse(lines: Iterable[str], threads: int) -> dict[str, float]:
    """Calls of each name between the two marks of a trace, a thread.

    Raises:
        TraceError: there are no two marks.
    """
    marks, calls = 0, Counter[str]()
    for line in lines:
        if _MARK in line:
            marks += 1
        elif marks == 1 and (call := _CALL.match(line)):
            calls[call[1]] += 1
    if marks != 2:
        raise TraceError("the trace is not complete")
    return {name: number / threads for name, number in calls.most_common()}


def count(maker: str) -> dict[str, float]:
    """The system calls of a creation and join, of both threads together, counted by `strace -f`.

    Raises:
        TraceError: strace is not installed, or may not trace.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise TraceError("strace is not installed")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "trace"
        done = subprocess.run(
            [
                strace,
                "-f",
                "-qq",
                "-o",
                output,
                sys.executable,
                "-m",
                "kthreads.bench.measure.syscalls",
                maker,
                str(THREADS),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"strace ended with {done.returncode}"]
            raise TraceError(lines[-1])
        return parse(output.read_text(errors="replace").splitlines(), THREADS)


def main(maker: str, threads: str) -> int:
    """The program that is traced: makes and joins so many threads between two marks."""
    names = {ffi.string(lib.kt_bench_maker_name(number)).decode(): number for number in range(lib.kt_bench_makers())}
    code = int(lib.kt_bench_marked(names[maker], int(threads)))
    if code < 0:
        print(f"{maker}: errno {-code}", file=sys.stderr)
    return int(code < 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
