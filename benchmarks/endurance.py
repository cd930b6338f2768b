"""Measures how many threads can be alive at once, and whether memory grows: `python benchmarks/endurance.py [--million]`
writes docs/_endurance.md.

Needs kthreads with its `test` extra and C and C++ compilers; for 100,000 threads, which need a larger pid_max, root.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from markdown_table import table

import kthreads
from kthreads._native import ffi, lib
from kthreads.bench.measure import environment, memory
from kthreads.bench.measure.peers import MAKERS
from kthreads.bench.model.peer_names import name_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "_endurance.md"
PID_MAX = Path("/proc/sys/kernel/pid_max")
WANTED = 100_000
Row = tuple[str, str, str]


def alive(maker: str) -> None:
    """Starts threads that stay alive, and prints how many there were, as JSON."""
    place, reached, ns = ffi.new("kt_bench_alive **"), ffi.new("size_t *"), ffi.new("int64_t *")
    before = memory.now()
    kthreads.errors.check(lib.kt_bench_alive_start(place, MAKERS[maker], WANTED, reached, ns), "starting threads")
    after = memory.now()
    where = "cgroup" if "cgroup" in after else "machine"  # the machine's memory is a coarse measure
    taken = after[where] - before[where]
    stop_ns = lib.kt_bench_alive_stop(place[0])
    print(
        json.dumps({"reached": reached[0], "start_s": ns[0] / 1e9, "stop_s": stop_ns / 1e9, "each": taken / reached[0]})
    )


@contextlib.contextmanager
def more_pids() -> Iterator[bool]:
    """Raises pid_max so that 100,000 threads have ids, as a context manager; yields whether this process may."""
    before = PID_MAX.read_text()
    try:
        PID_MAX.write_text("400000")
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        PID_MAX.write_text(before)


def alive_rows() -> Iterator[Row]:
    """How many threads of each maker are alive at once; none where pid_max cannot be raised."""
    with more_pids() as allowed:
        for maker in ("clone", "pthread", "bare") if allowed else ():
            output = subprocess.check_output([sys.executable, __file__, "--alive", maker])
            found = json.loads(output)
            yield (
                f"{name_of(maker)}: alive at once, of {WANTED:,} wanted",
                f"{found['reached']:,}",
                f"{found['each'] / 1024:.1f} KiB each, {found['start_s']:.2f} s to start, {found['stop_s']:.2f} s to stop",
            )


def growth_row() -> Row:
    """How much memory grows over a million starts of functions that use malloc, thread_local objects with destructors, and
    keys."""
    sys.path.insert(0, str(ROOT / "tests" / "conformance"))
    import test_conformance as conformance

    with tempfile.TemporaryDirectory() as folder:
        c = conformance.build("cc", Path(folder, "c.so"), conformance.C_SOURCES)
        cpp = conformance.build("c++", Path(folder, "cpp.so"), conformance.CPP_SOURCES, "-fopenmp")
        functions = [
            kthreads.symbol(c, "malloc_serves_all_sizes", "int(void)"),
            kthreads.symbol(cpp, "objects_of_the_thread_are_made_and_destroyed", "int(void)"),
            kthreads.symbol(c, "a_hundred_keys_start_empty_and_hold_values", "int(void)"),
        ]
        resident = []
        for number in range(1_001_000):
            if number in (1000, 1_000_999):
                resident.append(conformance.resident())
            thread = kthreads.Thread(target=functions[number % 3])
            thread.start()
            thread.join()
    grown = (resident[-1] - resident[0]) / 1024
    return (
        "Python: resident growth over 1,000,000 start and join",
        f"{grown:,.0f} KiB",
        "of functions with malloc, `thread_local`, keys",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="also a million starts, for growth; takes minutes")
    parser.add_argument("--alive", metavar="MAKER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alive:
        alive(options.alive)
        return
    rows = [*alive_rows(), *([growth_row()] if options.million else [])]
    lines = [f"{environment.sentence(environment.now())}.", "", *table(("what", "measured", ""), rows)]
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
