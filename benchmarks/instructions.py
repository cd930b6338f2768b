"""Counts the instructions of the paths in C by valgrind's callgrind, against recorded bounds:

    python benchmarks/instructions.py BUILD          # of `meson setup -Dextension=false BUILD`
    python benchmarks/instructions.py BUILD --record # records the counts, and bounds a quarter above them

The instructions are those that the calling thread executes in user space. Unlike times, counts hardly differ from run to
run. The exit status is 1 when a count exceeds its bound.
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

BOUNDS = Path(__file__).with_name("instructions.json")
PATHS = ("create_join", "reuse", "region", "submit")
PEER = "pthread"  # counted for the documentation, without a bound
COUNT = 100
TRIES = 3  # the least count is taken: a thread that has to wait executes more
ROOM = 1.25  # of a bound above the count: compilers differ


def count(program: Path, path: str) -> float:
    """Instructions of one operation."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out")
        options = ["--fair-sched=yes", "--toggle-collect=operation", f"--callgrind-out-file={output}"]
        subprocess.run(
            ["valgrind", "-q", "--tool=callgrind", *options, program, path, str(COUNT)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        totals = re.search(r"^(?:totals|summary): (\d+)", output.read_text(), re.MULTILINE)
        if totals is None:
            raise SystemExit(f"callgrind wrote no total for {path}")
        return int(totals[1]) / COUNT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    subprocess.run(["meson", "compile", "-C", options.build, "paths"], check=True, stdout=subprocess.DEVNULL)
    program = options.build / "benchmarks" / "paths"
    found = {path: min(count(program, path) for _ in range(TRIES)) for path in (*PATHS, PEER)}
    if options.record:
        bounds = {path: math.ceil(number * ROOM) for path, number in found.items() if path != PEER}
        BOUNDS.write_text(
            json.dumps({"machine": platform.machine(), "counted": found, "bounds": bounds}, indent=1) + "\n"
        )
    bounds = json.loads(BOUNDS.read_text())["bounds"]
    counted = {path: found[path] for path in PATHS}
    for path, number in counted.items():
        verdict = "" if number <= bounds[path] else "  MORE THAN ALLOWED"
        print(f"{path:<12} {number:>10,.0f} instructions, at most {bounds[path]:,}{verdict}")
    return int(any(number > bounds[path] for path, number in counted.items()))


if __name__ == "__main__":
    sys.exit(main())
