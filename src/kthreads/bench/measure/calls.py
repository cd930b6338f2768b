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
COUNT = 50
_MARK = 'write(-1, "kthreads bench"'
_CALL = re.compile(r"^\d+\s+(\w+)\(")

WHY = {
    "clone": "makes the thread",
    "clone3": "makes the thread",
    "futex": "the join sleeps on the word that the kernel clears; a parked thread is woken by one, too",
    "exit": "ends the thread; the kernel clears its word and wakes the join",
    "rt_sigprocmask": "signals are blocked until the thread has a libc to handle them with",
    "set_robust_list": "the thread's list of robust mutexes, which libc hands to the kernel",
    "rseq": "restartable sequences, which libc registers for sched_getcpu",
    "madvise": "gives the pages of the stack back to the kernel at each exit; kthreads leaves them to the next thread on "
    "the same stack, and gives them back after every 16th run and in trim()",
    "mmap": "a stack of its own, which a cache of stacks saves",
    "mprotect": "the guard below a stack, which a cache of stacks saves",
    "munmap": "gives the stack back, which a cache of stacks saves",
    "sched_getaffinity": "a parked thread is compared with, or made like, its starter",
    "getpriority": "a parked thread is compared with, or made like, its starter",
    "prctl": "a parked thread is given its starter's name",
    "gettid": "a thread learns its id, which the others are told by clone",
}
"""What each call is for, as far as it was seen."""


class TraceError(Exception):
    """Why no system calls could be counted."""


def parse(lines: Iterable[str], count: int) -> dict[str, float]:
    """Calls of each name between the two marks, a thread.

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
    return {name: number / count for name, number in calls.most_common()}


def count_calls(maker: str) -> dict[str, float]:
    """System calls of a creation and join, of both threads together, by `strace -f`.

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
                "kthreads.bench.measure.calls",
                maker,
                str(COUNT),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"strace ended with {done.returncode}"]
            raise TraceError(lines[-1])
        return parse(output.read_text(errors="replace").splitlines(), COUNT)


def main(maker: str, count: str) -> int:
    """What is traced."""
    names = {ffi.string(lib.kt_bench_maker_name(number)).decode(): number for number in range(lib.kt_bench_makers())}
    code = int(lib.kt_bench_marked(names[maker], int(count)))
    if code < 0:
        print(f"{maker}: errno {-code}", file=sys.stderr)
    return int(code < 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
