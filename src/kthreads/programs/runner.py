"""Runs a program and reports what it used: `python -I -S runner.py DESCRIPTOR PATH WORD...`.

This is a process of its own, and imports next to nothing, because the kernel counts the memory of the process that a
program was forked from as the program's own peak (ru_maxrss, getrusage(2)). The report is a line of integers: the wait
status, ns of wall time, µs of CPU time, context switches, page faults, and the peak of resident memory in bytes.
"""

import _signal  # type: ignore[import-not-found]
import os
import sys
import time


def _execute(path: str, words: list[str]) -> None:
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores these signals
        _signal.signal(number, _signal.SIG_DFL)
    try:
        os.execv(path, words)
    except OSError:  # of no format that the kernel knows: a shell reads it
        os.execv("/bin/sh", ["/bin/sh", path, *words[1:]])


def run(path: str, words: list[str]) -> tuple[int, ...]:
    """Runs a program to its end. Returns the numbers of the report."""
    begin = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        try:
            _execute(path, words)
        finally:
            os._exit(126)
    _, status, used = os.wait4(pid, 0)
    wall = time.monotonic_ns() - begin
    cpu = round((used.ru_utime + used.ru_stime) * 1e6)
    switches, faults = used.ru_nvcsw + used.ru_nivcsw, used.ru_minflt + used.ru_majflt
    return status, wall, cpu, switches, faults, used.ru_maxrss * 1024


if __name__ == "__main__":
    report = int(sys.argv[1])
    os.set_inheritable(report, False)
    os.write(report, " ".join(map(str, run(sys.argv[2], sys.argv[3:]))).encode())
