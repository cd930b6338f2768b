"""Counts the instructions of calls from Python by valgrind's callgrind, against recorded bounds:

    python benchmarks/call_instructions.py          # compares with the bounds
    python benchmarks/call_instructions.py --record # records the counts, and bounds a quarter above them

The instructions are those of the calling thread in user space, the interpreter's included. One run counts all paths: it calls a
function of libc between them, before which callgrind writes what it has counted. The exit status is 1 when a count exceeds its
bound.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BOUNDS = Path(__file__).with_name("call_instructions.json")
COUNT = 1000
MARK = "l64a"  # a function of libc that nobody calls
ROOM = 1.25  # of a bound above the count: interpreters and compilers differ

START = f"""
import kthreads
from kthreads.pools.columns import column_of
from kthreads.pools.completions import CompletionQueue
from kthreads.pools.native_task import NativeFuture
labs = kthreads.symbol(None, "labs", "long(long)")
memchr = kthreads.symbol(None, "memchr", "void *(const void *, int, size_t)")
mark = kthreads.symbol(None, "{MARK}", "char *(long)")
count, completions, row = {COUNT}, CompletionQueue(by_event_loop=True), bytearray(16)
memchr(row, 0, 1)
"""
PATHS = {
    "call": "for _ in range(count): labs(5)",
    "call_with_buffer": "for _ in range(count): memchr(row, 0, 1)",
    "task": "for _ in range(count): NativeFuture(labs, (5,), completions, 0)",
    "task_with_buffer": "for _ in range(count): NativeFuture(memchr, (row, 0, 1), completions, 0)",
    "row_of_bytes": "column_of(memchr, 0, [b'message'] * count, count)",
    "row_of_buffer": "column_of(memchr, 0, [row] * count, count)",
    "row_of_integers": "column_of(memchr, 1, [7] * count, count)",
}


def instructions() -> dict[str, float]:
    """Instructions of one operation of each path."""
    program = "\n".join([START, "mark(0)", *(f"{body}\nmark(0)" for body in PATHS.values())])
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        options = ["-q", "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={output}"]
        subprocess.run(["valgrind", *options, sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)
        # The first part is the start of the program.
        parts = [Path(f"{output}.{number}").read_text() for number in range(2, len(PATHS) + 2)]
    totals = [re.search(r"^(?:totals|summary): (\d+)", part, re.MULTILINE) for part in parts]
    return {path: round(int(total[1]) / COUNT, 1) for path, total in zip(PATHS, totals, strict=True) if total}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    counted = instructions()
    if options.record:
        bounds = {path: math.ceil(number * ROOM) for path, number in counted.items()}
        where = {"machine": platform.machine(), "python": platform.python_version()}
        BOUNDS.write_text(json.dumps({**where, "counted": counted, "bounds": bounds}, indent=1) + "\n")
    bounds = json.loads(BOUNDS.read_text())["bounds"]
    for path, number in counted.items():
        print(f"{path:20} {number:8.0f} of at most {bounds[path]}")
    return int(any(number > bounds[path] for path, number in counted.items()))


if __name__ == "__main__":
    sys.exit(main())
