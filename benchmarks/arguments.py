"""What calls with arguments cost, from Python: python benchmarks/arguments.py [--rounds N]

Each measure is interleaved with what it is compared with, in one run (benchmarks/pairs.py). Needs a C compiler and NumPy.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import ctypes
import hashlib
import importlib.util
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cffi
import numpy as np
from markdown_table import table
from pairs import measure, ratio

import kthreads
from kthreads.pools.columns import column_of

SHA256 = "unsigned char *(const unsigned char *, size_t, unsigned char *)"
DECLARATIONS = """
    long labs(long);
    void *memccpy(void *, const void *, int, size_t);
    unsigned char *SHA256(const unsigned char *, size_t, unsigned char *);
"""
COUNT, LENGTH = 100_000, 200

labs = kthreads.symbol(None, "labs", "long(long)")
memccpy = kthreads.symbol(None, "memccpy", "void *(void *, const void *, int, size_t)")
sha256 = kthreads.symbol("libcrypto.so.3", "SHA256", SHA256)
message, digest = bytes(LENGTH), np.zeros(32, "u1")
messages = [number.to_bytes(4, "little") * (LENGTH // 4) for number in range(COUNT)]
digests = np.zeros((COUNT, 32), "u1")


def api_module(folder: str) -> Any:
    """The two functions as cffi's API mode calls them."""
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(
        "_arguments", f"#include <stdlib.h>\n#include <string.h>\n{DECLARATIONS}", libraries=[":libcrypto.so.3"]
    )
    spec = importlib.util.spec_from_file_location("_arguments", ffi.compile(tmpdir=folder))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(times: Mapping[str, list[float]], name: str, peer: str, must: str) -> tuple[str, ...]:
    mine, its = (statistics.median(times[each]) * 1e6 for each in (name, peer))
    return f"{name} ÷ {peer}", f"{mine:.2f} µs, {its:.2f} µs", f"{ratio(times, name, peer):.2f}", must


def cost(name: str, times: list[float], count: int, must: str) -> tuple[str, ...]:
    return name, f"{statistics.median(times) * 1e6 / count:.3f} µs", "", must


def direct_calls(rounds: int) -> Iterator[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        module = api_module(folder)
    lib, from_buffer = module.lib, module.ffi.from_buffer
    times = measure(
        {
            "labs(5)": lambda: labs(5),
            "labs(5) by cffi": lambda: lib.labs(5),
            "memccpy(array, bytes, c, n)": lambda: memccpy(digest, message, 1, 8),
            "memccpy by cffi and from_buffer": lambda: lib.memccpy(from_buffer(digest), message, 1, 8),
            "SHA256(bytes, n, array)": lambda: sha256(message, LENGTH, digest),
            "SHA256 by cffi and from_buffer": lambda: lib.SHA256(
                message, LENGTH, from_buffer("unsigned char[]", digest)
            ),
            "nothing": lambda: None,
        },
        rounds=rounds,
        batch=1000,
    )
    for name in list(times):
        if name != "nothing":
            times[name] = [a - b for a, b in zip(times[name], times["nothing"], strict=True)]
    yield row(times, "labs(5)", "labs(5) by cffi", "≤ 1.5")
    yield row(times, "memccpy(array, bytes, c, n)", "memccpy by cffi and from_buffer", "≤ 0.6")
    yield row(times, "SHA256(bytes, n, array)", "SHA256 by cffi and from_buffer", "≤ 0.6")


def columns(rounds: int) -> Iterator[tuple[str, ...]]:
    bound = bytearray(32)
    of_arrays = [digest.copy() for _ in range(COUNT)]
    sha256(message, LENGTH, digest)
    times = measure(
        {
            "a column of a list of bytes": lambda: column_of(sha256, 0, messages, COUNT),
            "a column of a list of arrays": lambda: column_of(sha256, 2, of_arrays, COUNT),
            "a column of a list of one bytearray": lambda: column_of(sha256, 2, [bound] * COUNT, COUNT),
            "a column of rows of a 2-D array": lambda: column_of(sha256, 2, digests, COUNT),
        },
        rounds=max(3, rounds // 10),
        batch=1,
    )
    musts = ["≤ 0.12 µs", "≤ 0.12 µs", "", "≤ 0.01 µs"]
    for (name, each), must in zip(times.items(), musts, strict=True):
        yield cost(name, each, COUNT, must)


def many(rounds: int) -> Iterator[tuple[str, ...]]:
    def loop() -> None:
        for each in messages:
            hashlib.sha256(each).digest()

    with kthreads.Pool() as pool:
        times = measure(
            {
                "submit_many of 100,000 SHA256": lambda: pool.submit_many(sha256, messages, LENGTH, digests).array(),
                "hashlib loop": loop,
            },
            rounds=max(3, rounds // 10),
            batch=1,
        )
    assert bytes(digests[7]) == hashlib.sha256(messages[7]).digest()
    yield row(times, "submit_many of 100,000 SHA256", "hashlib loop", "≤ 0.65")


def tasks(rounds: int) -> Iterator[tuple[str, ...]]:
    with kthreads.Pool() as pool, concurrent.futures.ThreadPoolExecutor() as standard:
        times = measure(
            {
                "submit(labs, 5).result()": lambda: pool.submit(labs, 5).result(),
                "submit(SHA256, …).result()": lambda: pool.submit(sha256, message, LENGTH, digest).result(),
                "standard executor": lambda: standard.submit(abs, 5).result(),
            },
            rounds=rounds,
        )
    yield row(times, "submit(labs, 5).result()", "standard executor", "≤ 5 µs; ≤ 0.10")
    yield row(times, "submit(SHA256, …).result()", "standard executor", "≤ 6.5 µs; ≤ 0.10")


def threads(rounds: int) -> Iterator[tuple[str, ...]]:
    def run(make: Callable[[], Any]) -> Callable[[], None]:
        def once() -> None:
            thread = make()
            thread.start()
            thread.join()

        return once

    operations = {
        "Thread(labs)": run(lambda: kthreads.Thread(target=labs, args=(5,))),
        "Thread(labs, reuse)": run(lambda: kthreads.Thread(target=labs, args=(5,), reuse=True)),
        "threading.Thread": run(lambda: threading.Thread(target=abs, args=(5,))),
    }
    all_cpus = os.sched_getaffinity(0)
    for where, cpus, musts in (
        ("pinned", {min(all_cpus)}, ("≤ 0.38", "≤ 0.18")),
        ("not pinned", all_cpus, ("≤ 0.45", "≤ 0.13")),
    ):
        os.sched_setaffinity(0, cpus)
        try:
            times = measure(operations, rounds=rounds, batch=20)
        finally:
            os.sched_setaffinity(0, all_cpus)
        for name, must in zip(("Thread(labs)", "Thread(labs, reuse)"), musts, strict=True):
            what, *rest = row(times, name, "threading.Thread", must)
            yield (f"{what}, {where}", *rest)


def functions(rounds: int) -> Iterator[tuple[str, ...]]:
    library = ctypes.CDLL(None)

    def fresh() -> Any:
        function = library["labs"]
        function.restype, function.argtypes = ctypes.c_long, [ctypes.c_long]
        return function

    seen = fresh()
    first: list[float] = []
    for _ in range(10 * rounds):
        function = fresh()
        begin = time.perf_counter()
        kthreads.native(function)
        first.append(time.perf_counter() - begin)
    times = measure({"native() of a function seen before": lambda: kthreads.native(seen)}, rounds=rounds, batch=500)
    yield cost("native() of a function seen before", *times.values(), 1, "≤ 0.5 µs")
    yield cost("native() of a function for the first time", first, 1, "≤ 10 µs")


def maps(rounds: int) -> Iterator[tuple[str, ...]]:
    cbrt, values = kthreads.symbol("libm.so.6", "cbrt", "double(double)"), np.arange(10.0)
    out = np.zeros(10)
    with kthreads.Pool() as pool:
        times = measure(
            {
                "map_array of 10 items": lambda: pool.map_array(cbrt, values),
                "map_array of 10 items into out": lambda: pool.map_array(cbrt, values, out=out),
            },
            rounds=rounds,
        )
    for name, each in times.items():
        yield cost(name, each, 1, "≤ 4 µs")


PARTS = {each.__name__: each for each in (direct_calls, columns, many, tasks, threads, functions, maps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all when none is named")
    parser.add_argument("--rounds", type=int, default=100)
    given = parser.parse_args()
    rows = [each for name in given.parts or PARTS for each in PARTS[name](given.rounds)]
    print(*table(["measure", "times", "ratio", "must"], rows), sep="\n")


if __name__ == "__main__":
    main()
