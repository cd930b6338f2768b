"""Eight threads that call every public method of one Pool at once, also of its loops, futures and batches.

    python tests/stress/hammer.py LIBRARY --seconds 60

LIBRARY is tests/native_functions.c, compiled. The exit status is 1 when a result was wrong, a future was lost or an exception
came that no method documents; what it was is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import itertools
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from array import array
from collections.abc import Callable
from concurrent.futures import CancelledError, as_completed
from typing import Any

import kthreads

THREADS = 8
HANG = 60  # seconds after which a call counts as hung


class Wrong(Exception):
    """A result is wrong."""


def expect(found: object, expected: object) -> None:
    if found != expected:
        raise Wrong(f"{found!r}, not {expected!r}")


def square(number: int) -> int:
    return number * number


class Hammer:
    """One pool, and what the threads do with it. Methods that begin with `do_` are named for the method of Pool that they call.

    Attributes:
        wrong: what went wrong, as text.
        calls: how many calls were made.
    """

    def __init__(self, library: str, seconds: float, backend: str = "clone") -> None:
        self.wrong: list[str] = []
        self.calls: dict[str, int] = {}
        self._is_closing = False
        self._end = time.monotonic() + seconds
        library = os.path.abspath(library)
        self._folder = tempfile.TemporaryDirectory()
        self._files = itertools.count()
        self._add = kthreads.symbol(library, "add_one_to_each", "void(long, long, double *)")
        self._sum = kthreads.symbol(library, "sum_into", "void(long, long, const double *, double *)")
        self._fails = kthreads.symbol(library, "fail_in", "int(long, long, long)")
        self._abs = kthreads.symbol(None, "abs", "int(int)")
        self.pool = kthreads.Pool(3, queue_size=64, backend=backend)
        self._values = array("d", bytes(8 * 512))
        self._runs = itertools.count()  # of the loop that all threads share
        self._shared = self.pool.prepare(self._add, len(self._values), self._values)
        self._shared_failing = self.pool.prepare(self._fails, 300, 150, grain=10)

    def do_parallel_for(self) -> None:
        values = array("d", bytes(8 * 1000))
        self.pool.parallel_for(self._add, len(values), values)
        expect(sum(values), 1000.0)
        seen: list[int] = []
        self.pool.parallel_for(lambda begin, end: seen.extend(range(begin, end)), 50, grain=random.choice([None, 1]))
        expect(sorted(seen), list(range(50)))
        sums = memoryview(bytearray(8 * 16 * 8)).cast("d", (8, 16))
        self.pool.parallel_for(self._sum, len(values), values, kthreads.PerWorker(sums), workers=2, grain=10)
        expect(sum(sums[row, 0] for row in range(8)), 1000.0)

    def do_parallel_for_that_is_stopped(self) -> None:
        token = kthreads.CancelToken()
        try:
            self.pool.parallel_for(lambda begin, end: token.cancel(), 10_000, cancel=token, grain=1)
        except kthreads.LoopCancelledError as error:
            expect(error.count, 10_000)
        try:
            self.pool.parallel_for(lambda begin, end: square("x"), 10)  # type: ignore[arg-type]
        except TypeError:
            return
        raise Wrong("a loop has not failed")

    def do_prepare(self) -> None:
        loop = self.pool.prepare(self._add, 100, values := array("d", bytes(800)))
        loop()
        loop()
        expect((sum(values), loop.count), (200.0, 100))
        try:
            self._shared()
            next(self._runs)
        except kthreads.ThreadStateError:
            pass  # another thread runs it
        try:
            self._shared_failing()
        except kthreads.NativeError as error:
            expect((error.begin, error.end), (150, 160))
        except kthreads.ThreadStateError:
            pass
        else:
            raise Wrong("a loop has not failed")

    def do_map_array(self) -> None:
        try:
            found = self.pool.map_array(self._abs, array("i", range(-300, 0)))
        except ModuleNotFoundError:
            return  # without NumPy
        expect(found.tolist(), list(range(300, 0, -1)))

    def do_submit(self) -> None:
        number, called = random.randint(-99, 99), threading.Event()
        native, python = self.pool.submit(self._abs, number), self.pool.submit(square, number)
        native.add_done_callback(lambda _: called.set())
        for future, expected in ((native, abs(number)), (python, number * number)):
            if random.random() < 0.2 and future.cancel():
                expect((future.cancelled(), future.done()), (True, True))
            else:
                expect((future.result(HANG), future.exception(), future.running()), (expected, None, False))
        if not called.wait(HANG):
            raise Wrong("a callback is not called")

    def do_submit_many(self) -> None:
        count = random.choice([1, 10, 300])
        batch = self.pool.submit_many(self._abs, array("i", range(-count, 0)))
        futures = list(batch)
        if random.random() < 0.2:
            batch.cancel()
        expected = list(range(count, 0, -1))
        try:
            expect([future.result(HANG) for future in futures], expected)
            expect((batch.results(), batch.done(), len(batch)), (expected, True, count))
        except CancelledError:
            pass
        futures = self.pool.submit_many(square, range(20))
        expect(sorted(future.result() for future in as_completed(futures, HANG)), [square(n) for n in range(20)])

    def do_run(self) -> None:
        async def main() -> None:
            runs = [self.pool.run(fn, -4) for fn in (self._abs, abs) for _ in range(4)]
            expect(await asyncio.wait_for(asyncio.gather(*runs), HANG), [4] * 8)

        asyncio.run(main())

    def do_workers(self) -> None:
        if not 1 <= self.pool.workers <= 4:
            raise Wrong(f"{self.pool.workers} workers")
        repr(self.pool)

    def do_quiesce(self) -> None:
        self.pool.quiesce(HANG)

    def do_resize(self) -> None:
        self.pool.resize(random.randint(1, 4), HANG)

    def do_stats(self) -> None:
        stats = self.pool.stats()
        expect(stats.chunks >= 0 and len(stats.workers) >= 2, True)

    def do_trace(self) -> None:
        try:
            with self.pool.trace(os.path.join(self._folder.name, str(next(self._files))), events=100):
                self.pool.submit(square, 3).result(HANG)
        except kthreads.ThreadStateError:
            pass  # another thread traces it

    def do_shutdown(self) -> None:
        """In the end, once by each thread, while others still use the pool."""
        self._is_closing = True
        self.pool.shutdown(cancel_futures=random.random() < 0.5)
        try:
            self.pool.submit(square, 1)
        except kthreads.ThreadStateError:
            return
        raise Wrong("a pool takes tasks after its shutdown")

    OFTEN = (
        do_parallel_for,
        do_parallel_for_that_is_stopped,
        do_prepare,
        do_map_array,
        do_submit,
        do_submit_many,
        do_workers,
    )
    SELDOM = (do_run, do_quiesce, do_resize, do_stats, do_trace)

    def _call(self, do: Callable[[Hammer], None]) -> None:
        self.calls[do.__name__] = self.calls.get(do.__name__, 0) + 1
        try:
            do(self)
        except BaseException as error:
            if not (self._is_closing and isinstance(error, (kthreads.ThreadStateError, CancelledError))):
                self.wrong.append(traceback.format_exc())

    def _work(self) -> None:
        while time.monotonic() < self._end and not self.wrong:
            self._call(random.choice(self.OFTEN if random.random() < 0.8 else self.SELDOM))
        self._call(Hammer.do_shutdown)

    def run(self) -> None:
        """Hammers. Returns when the time is over, or after the first wrong result."""
        threads: list[Any] = [threading.Thread(target=self._work) for _ in range(THREADS // 2)]
        threads += [kthreads.Thread(target=self._work) for _ in range(THREADS // 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if set(self._values) != {float(next(self._runs))}:
            self.wrong.append("a loop that all threads share has run more or less often than it returned")
        self._folder.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--backend", default="clone", choices=["clone", "clone3", "pthread"])
    options = parser.parse_args()
    faulthandler.dump_traceback_later(options.seconds + 3 * HANG, exit=True)
    sys.setswitchinterval(0.0005)
    hammer = Hammer(options.library, options.seconds, options.backend)
    hammer.run()
    faulthandler.cancel_dump_traceback_later()
    print(*hammer.wrong, sep="\n")
    print(hammer.calls)
    return 1 if hammer.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
