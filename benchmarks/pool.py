"""Measures the pool from Python and writes docs/_pool.md: `python benchmarks/pool.py`.

Both sides of a ratio alternate in one process, in batches so long that the threads of a peer have ceased to spin before the
next batch is timed (pairs.py). Needs kthreads with its `test` extra and a C compiler with OpenMP.
"""

from __future__ import annotations

import argparse
import ctypes
import resource
import statistics
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from cffi import FFI
from markdown_table import table
from pairs import measure, ratio

import kthreads
from kthreads.bench.measure.environment import now, sentence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "_pool.md"
ITEMS = 20_000  # a loop of about 5 us on each of two CPUs
Row = tuple[str, str, str]


def row(what: str, times: dict[str, list[float]], ours: str, peer: str, peer_name: str) -> Row:
    own, other = (statistics.median(times[name]) * 1e6 for name in (ours, peer))
    return what, f"{own:.2f} µs", f"{ratio(times, ours, peer):.3f} of {peer_name} ({other:.2f} µs)"


def loop_rows(library: str, pool: kthreads.Pool, rounds: int) -> Iterator[Row]:
    values = np.ones(ITEMS)
    scale = kthreads.symbol(library, "scale", "void(size_t, size_t, double, double *)")
    ffi = FFI()
    ffi.cdef("void scale_by_openmp(size_t, double, double *); int same(int);")
    by_cffi = ffi.dlopen(library)
    pointer = ffi.cast("double *", ffi.from_buffer(values))
    prepared = pool.prepare(scale, ITEMS, 0.5, values)
    by_openmp = {"prepared": prepared, "openmp": lambda: by_cffi.scale_by_openmp(ITEMS, 0.5, pointer)}
    times = measure(by_openmp, rounds=rounds, batch=5000)
    yield row("prepared loop, hot", times, "prepared", "openmp", "an OpenMP function called by cffi")
    small = {"loop": lambda: pool.parallel_for(scale, 64, 0.5, values), "cffi": lambda: by_cffi.same(1)}
    times = measure(small, rounds=rounds, batch=20_000)
    yield row("`parallel_for` over 64 items of a NumPy array, hot, all told", times, "loop", "cffi", "a call by cffi")


def task_rows(library: str, pool: kthreads.Pool, rounds: int) -> Iterator[Row]:
    native = kthreads.symbol(library, "same", "int(int)")
    by_ctypes = ctypes.CDLL(library).same
    with ThreadPoolExecutor(2) as standard, kthreads.ThreadPoolExecutor(2) as executor:
        operations: dict[str, Callable[[], object]] = {
            "native": lambda: pool.submit(native, 1).result(),
            "executor": lambda: executor.submit(native, 1).result(),
            "standard": lambda: standard.submit(by_ctypes, 1).result(),
            "python": lambda: pool.submit(abs, 1).result(),
            "executor_python": lambda: executor.submit(abs, 1).result(),
            "standard_python": lambda: standard.submit(abs, 1).result(),
        }
        times = measure(operations, rounds=rounds, batch=1000)
    yield row("native `Pool.submit().result()`", times, "native", "standard", "the standard executor with ctypes")
    yield row("the same by our executor", times, "executor", "standard", "the standard executor with ctypes")
    yield row("Python callable, `Pool.submit().result()`", times, "python", "standard_python", "the standard executor")
    yield row("the same by our executor", times, "executor_python", "standard_python", "the standard executor")


def million_row(library: str, pool: kthreads.Pool, count: int) -> Row:
    native, by_ctypes = kthreads.symbol(library, "same", "int(int)"), ctypes.CDLL(library).same
    with ThreadPoolExecutor(2) as standard:
        begin = time.perf_counter()
        expected = list(standard.map(by_ctypes, range(count)))
        other = time.perf_counter() - begin
    own = []
    for _ in range(5):
        begin = time.perf_counter()
        assert pool.submit_many(native, range(count)).results() == expected
        own.append(time.perf_counter() - begin)
    share = statistics.median(own) / other
    what = f"{count:,} native tasks by `submit_many`, with their results"
    return what, f"{statistics.median(own):.3f} s", f"{share:.4f} of the standard executor's `map` ({other:.1f} s)"


def crc_row(pool: kthreads.Pool, mebibytes: int) -> Row:
    crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")
    data = np.random.default_rng(1).integers(0, 256, mebibytes << 20, "u1")
    chunks = data.reshape(mebibytes, 1 << 20)
    half = mebibytes // 2

    def one_thread() -> list[int]:
        return [crc32(0, chunk, 1 << 20) for chunk in chunks]

    def two_threads() -> None:
        """The most that two CPUs can do at the moment: each thread has its half, and there are no results to collect."""
        threads = [
            kthreads.Thread(target=crc32, args=(0, part.reshape(-1), part.size))
            for part in (chunks[:half], chunks[half:])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def pooled() -> list[int]:
        return pool.submit_many(crc32, repeat(0), list(chunks), repeat(1 << 20)).results()

    assert pooled() == one_thread()
    assert one_thread()[0] == zlib.crc32(chunks[0])
    times = measure({"one": one_thread, "two": two_threads, "pool": pooled}, rounds=9, batch=1)
    faster, most = ratio(times, "one", "pool"), ratio(times, "one", "two")
    what = f"libz's crc32 over {mebibytes:,} MiB in chunks of 1 MiB, {pool.workers} workers"
    took = f"{statistics.median(times['pool']):.3f} s"
    return what, took, f"{faster:.2f} times as fast as one thread; two threads with a half each {most:.2f}"


def idle_row(pool: kthreads.Pool, seconds: float) -> Row:
    """Voluntary context switches of the process while its pool is idle, less the one of the sleep itself."""
    pool.parallel_for(lambda begin, end: None, 100)
    time.sleep(0.5)
    before = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(seconds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    switches = after.ru_nvcsw - before.ru_nvcsw - 1
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"idle pool, {seconds:.0f} s", f"{switches} voluntary context switches", f"{cpu / seconds:.4f} CPUs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="a tenth of the million tasks and of the gibibyte")
    options = parser.parse_args()
    tenth = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as folder, kthreads.Pool() as pool:
        library = str(Path(folder, "work.so"))
        source = ROOT / "benchmarks" / "c" / "work.c"
        subprocess.run(["cc", "-O2", "-fopenmp", "-shared", "-fPIC", "-o", library, source], check=True)
        rows = [
            *task_rows(library, pool, options.rounds),
            million_row(library, pool, 1_000_000 // tenth),
            crc_row(pool, 1024 // tenth),
            idle_row(pool, 5),
            *loop_rows(library, pool, options.rounds),
        ]
    lines = [sentence(now()), "", *table(("what", "measured", "ratio"), rows)]
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
