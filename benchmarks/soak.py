"""A soak test: all public operations from eight threads at once, under random interrupts, forks, garbage collections,
resizes, quiesces and shutdowns. Every future must end, and memory and descriptors must not grow.

    python benchmarks/soak.py --seconds 3600

Prints a report as JSON. The exit status is 1 when a future was lost, a result was wrong, something hung or leaked.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import contextlib
import faulthandler
import gc
import json
import logging
import os
import queue
import random
import signal
import sys
import threading
import time
import traceback
from array import array
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import kthreads
from kthreads._native import lib
from kthreads.pools import completions, python_task
from kthreads.threads import registry

THREADS = 8
HANG_TIMEOUT = 60  # seconds after which an operation counts as hung
EXPECTED = (  # what operations may raise: other threads shut down, resize and cancel meanwhile
    kthreads.ThreadStateError,
    kthreads.LoopCancelledError,
    concurrent.futures.CancelledError,
    asyncio.CancelledError,
    TimeoutError,
    RuntimeError,
)


def square(number: int) -> int:
    return number * number


def fails(number: int) -> int:
    raise LookupError(number)


class Interrupts:
    """Raises KeyboardInterrupt in the main thread, at random times while it is armed; but not in `logging`, whose functions
    around a fork would keep their lock for ever, and so stop the next fork of another thread."""

    def __init__(self, mean: float) -> None:
        self.count, self._armed, self._mean = 0, False, mean
        signal.signal(signal.SIGINT, self._handle)
        threading.Thread(target=self._send, daemon=True).start()

    def _handle(self, _: int, frame: FrameType | None) -> None:
        if self._armed and (frame is None or frame.f_code.co_filename != logging.__file__):
            self._armed = False
            self.count += 1
            raise KeyboardInterrupt

    def _send(self) -> None:
        while True:
            time.sleep(random.expovariate(1 / self._mean))
            os.kill(os.getpid(), signal.SIGINT)

    def during(self, operation: Callable[[], object]) -> None:
        try:
            self._armed = True
            operation()
            self._armed = False
        except KeyboardInterrupt:
            pass


class Soak:
    """The pools and executors that all threads use, the operations on them, and the futures that came of these.

    Attributes:
        problems: every failure, as text.
        counts: how often each operation ran, and how it ended.
    """

    def __init__(self, seconds: float, seed: int, backend: str, without: list[str]) -> None:
        self.random = random.Random(seed)
        self.end = time.monotonic() + seconds
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._backend = backend
        self._often = [each for each in self.OFTEN if each.__name__ not in without]
        self._seldom = [each for each in self.SELDOM if each.__name__ not in without]
        self._futures: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pools = [self._pool() for _ in range(3)]
        self._executors = [kthreads.ThreadPoolExecutor(3) for _ in range(2)]
        self._abs = kthreads.symbol(None, "abs", "int(int)")
        self._chunk = kthreads.native(kthreads.symbol(None, "usleep", "int(unsigned)"))
        self._add = kthreads.symbol("libm.so.6", "fmin", "double(double, double)")

    def _pool(self) -> kthreads.Pool:
        return kthreads.Pool(
            self.random.randint(1, 4), queue_size=self.random.choice([1, 8, 4096]), backend=self._backend
        )

    def pool(self) -> kthreads.Pool:
        return self.random.choice(self._pools)

    def executor(self) -> kthreads.ThreadPoolExecutor:
        return self.random.choice(self._executors)

    def account(self, *futures: Any) -> None:
        """Notes futures, which `account_for_all` waits for."""
        for future in futures:
            self._futures.put(future)

    def submit(self) -> None:
        number = self.random.randint(-99, 99)
        fn = self.random.choice([self._abs, square, fails])
        future = self.random.choice([self.pool, self.executor])().submit(fn, number)
        self.account(future)
        if fn is not fails and future.result(HANG_TIMEOUT) != (abs(number) if fn is self._abs else square(number)):
            self.problems.append(f"{fn}({number}) was {future.result()}")

    def submit_and_leave(self) -> None:
        called: list[object] = []
        future = self.random.choice([self.pool, self.executor])().submit(self.random.choice([self._abs, square]), 3)
        future.add_done_callback(called.append)
        self.account(future)
        if self.random.random() < 0.3:
            future.cancel()

    def submit_many(self) -> None:
        count = self.random.choice([1, 10, 5000])
        batch = self.pool().submit_many(self._abs, array("i", range(count)))
        if self.random.random() < 0.3:
            batch.cancel()
        elif batch.results() != list(range(count)):
            self.problems.append("a batch has wrong results")
        self.account(batch[0], batch[-1])

    def submit_many_in_python(self) -> None:
        self.account(*self.pool().submit_many(square, range(20)))

    def map_by_executor(self) -> None:
        if list(self.executor().map(square, range(9), timeout=HANG_TIMEOUT)) != [square(number) for number in range(9)]:
            self.problems.append("map has wrong results")

    def loop(self) -> None:
        seen: list[int] = []
        self.pool().parallel_for(
            lambda begin, end: seen.extend(range(begin, end)), 50, grain=self.random.choice([None, 1])
        )
        if sorted(seen) != list(range(50)):
            self.problems.append(f"a loop ran {len(seen)} items of 50")

    def cancelled_loop(self) -> None:
        token = kthreads.CancelToken()
        self.pool().parallel_for(lambda begin, end: token.cancel(), 10_000, cancel=token, grain=1)

    def loop_with_a_timeout(self) -> None:
        self.pool().parallel_for(lambda begin, end: time.sleep(0.001), 1000, grain=1, timeout=0.01)

    def failing_loop(self) -> None:
        try:
            self.pool().parallel_for(lambda begin, end: fails(begin), 10)
        except LookupError:
            return
        self.problems.append("a failing loop has not failed")

    def threads(self) -> None:
        reuse = self.random.random() < 0.5
        threads = [kthreads.Thread(target=self._abs, args=(-5,), reuse=reuse, backend=self._backend) for _ in range(3)]
        threads += [kthreads.Thread(target=square, args=(5,), backend=self._backend)]
        for thread in threads:
            thread.start()
        if kthreads.wait(threads, timeout=HANG_TIMEOUT).not_done:
            self.problems.append("threads do not end")
        if [thread.result for thread in threads] != [5, 5, 5, 25]:
            self.problems.append("threads have wrong results")

    def coroutines(self) -> None:
        if threading.current_thread() is threading.main_thread():
            return  # interrupts are raised there, and an event loop of asyncio does not survive one at every point

        async def main() -> None:
            runs = [self.pool().run(fn, -4) for fn in (self._abs, abs) for _ in range(4)]
            if await asyncio.wait_for(asyncio.gather(*runs), HANG_TIMEOUT) != [4] * 8:
                self.problems.append("coroutines have wrong results")

        asyncio.run(main())

    def process(self) -> None:
        if kthreads.Process(["true"]).wait(HANG_TIMEOUT) != 0:
            self.problems.append("a process has failed")

    def fork(self) -> None:
        pool, executor = self.pool(), self.executor()
        pid = os.fork()
        if pid == 0:
            self._live_in_a_child(pool, executor)
        _end_of(pid, self.problems)

    def _live_in_a_child(self, pool: kthreads.Pool, executor: kthreads.ThreadPoolExecutor) -> None:
        status = 1
        try:
            faulthandler.dump_traceback_later(HANG_TIMEOUT / 2, exit=True)
            for use in (
                lambda: pool.submit(self._abs, -1).result(),
                lambda: executor.submit(abs, -1).result(),
                self.loop,
            ):
                try:
                    use()
                except EXPECTED:
                    continue  # the parent had shut it down
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def resize(self) -> None:
        self.pool().resize(self.random.randint(1, 4), timeout=5)

    def quiesce(self) -> None:
        self.pool().quiesce(timeout=5)

    def shut_down(self) -> None:
        at = self.random.randrange(len(self._pools))
        old, self._pools[at] = self._pools[at], self._pool()
        old.shutdown(wait=self.random.random() < 0.8, cancel_futures=self.random.random() < 0.5)

    def shut_down_an_executor(self) -> None:
        at = self.random.randrange(len(self._executors))
        old, self._executors[at] = self._executors[at], kthreads.ThreadPoolExecutor(self.random.randint(1, 4))
        old.shutdown(cancel_futures=self.random.random() < 0.5)

    def look(self) -> None:
        self.pool().stats()
        repr(self.pool())
        kthreads.memory.usage()

    def tidy(self) -> None:
        gc.collect()
        kthreads.memory.trim()

    OFTEN = (submit, submit, submit_and_leave, submit_many, submit_many_in_python, map_by_executor, loop, threads)
    SELDOM = (
        cancelled_loop, loop_with_a_timeout, failing_loop, coroutines, process, fork, resize, quiesce, shut_down,
        shut_down_an_executor, look, tidy,
    )  # fmt: skip

    def one(self) -> None:
        """Runs one operation, chosen at random."""
        operation = self.random.choice(self._often if self.random.random() < 0.9 else self._seldom)
        try:
            operation(self)
        except EXPECTED as error:
            self.counts[f"{operation.__name__}: {type(error).__name__}"] += 1
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.problems.append(traceback.format_exc())
        self.counts[operation.__name__] += 1

    def work(self) -> None:
        """Runs operations until the time is over or something failed."""
        while time.monotonic() < self.end and not self.problems:
            self.one()

    def account_for_all(self) -> None:
        """Checks that every future that was submitted has ended, after the pools are closed."""
        outcomes: Counter[str] = Counter()
        while not self._futures.empty():
            future = self._futures.get()
            try:
                error = future.exception(HANG_TIMEOUT)
            except concurrent.futures.CancelledError:
                outcomes["cancelled"] += 1
            except TimeoutError:
                outcomes["lost"] += 1
                self.problems.append(f"{future} never ends")
            else:
                outcomes["done" if error is None else f"failed by {type(error).__name__}"] += 1
        self.counts.update({f"futures {outcome}": count for outcome, count in outcomes.items()})

    def close(self) -> None:
        """Shuts all pools and executors down."""
        for each in [*self._pools, *self._executors]:
            each.shutdown()


def _end_of(pid: int, problems: list[str]) -> None:
    """Waits until a forked child has ended; kills it when it hangs."""
    deadline = time.monotonic() + HANG_TIMEOUT
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            problems.append("a forked child hangs")
            return


def descriptors() -> Counter[str]:
    """How many descriptors this process has of each kind."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            kinds[os.readlink(f"/proc/self/fd/{fd}").partition(":[")[0]] += 1
    return kinds


def tasks_left() -> list[Any]:
    """The tasks that the library takes for unfinished."""
    pending = [each for queue in completions.all_queues() for each in queue.pending.values()]
    return [*python_task.registered.values(), *pending]


def resources() -> dict[str, int]:
    """What must not grow."""
    completions.remove_closed_event_loops()
    completions.drain_shared()  # what was cancelled comes back when its worker gets to it
    gc.collect()
    kthreads.memory.trim()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return {
        "resident_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        **{f"descriptors of {kind}": count for kind, count in descriptors().items()},
        "threads": len(os.listdir("/proc/self/task")),
        "tasks": len(tasks_left()),
        "threads of ours": len(registry.registered),
        "stacks": kthreads.memory.usage().stacks,
    }


def growth(before: dict[str, int] | None, after: dict[str, int]) -> list[str]:
    """The resources that have grown, as text; memory is compared elsewhere. Without an earlier state: threads other than the
    main one and that of `Interrupts`."""
    if before is None:
        return [] if after["threads"] <= 2 else ["threads"]
    names = [name for name in after if name != "resident_kib" and after[name] > before.get(name, 0)]
    return [f"{name} grew from {before.get(name, 0)} to {after[name]}" for name in names]


def resources_when_quiet(before: dict[str, int] | None) -> dict[str, int]:
    """The resources when they are no more than before, or after ten seconds: threads and descriptors may take some to end."""
    end = time.monotonic() + 10
    while growth(before, now := resources()) and time.monotonic() < end:
        time.sleep(0.02)
    return now


def round_of(
    seconds: float, seed: int, options: argparse.Namespace, interrupts: Interrupts, before: dict[str, int] | None
) -> tuple[Soak, dict[str, int]]:
    """Soaks for so many seconds; returns the soak and the resources after it."""
    soak = Soak(seconds, seed, options.backend, options.without)
    threads = [threading.Thread(target=soak.work) for _ in range(THREADS - 1)]
    for thread in threads:
        thread.start()
    while time.monotonic() < soak.end and not soak.problems:
        interrupts.during(soak.one)
    for thread in threads:
        thread.join(2 * HANG_TIMEOUT)
        if thread.is_alive():
            faulthandler.dump_traceback()
            soak.problems.append("a thread hangs")
    if not soak.problems:
        soak.close()
        soak.account_for_all()
        completions.shared_completions().stop()
    python_task.unregister_ended()
    return soak, resources_when_quiet(before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument(
        "--rounds", type=int, default=6, help="how many; memory is compared after the second and the last"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--without", action="append", default=[], metavar="OPERATION", help="leave an operation out")
    parser.add_argument("--backend", default="clone", choices=["clone", "clone3", "pthread"])
    options = parser.parse_args()
    if hasattr(sys, "setswitchinterval"):
        sys.setswitchinterval(0.0005)
    interrupts = Interrupts(0.01)
    counts: Counter[str] = Counter()
    left: list[dict[str, int]] = []
    problems: list[str] = []
    for number in range(options.rounds):
        seconds, seed = options.seconds / options.rounds, options.seed + number
        soak, after = round_of(seconds, seed, options, interrupts, left[1] if number > 1 else None)
        counts.update(soak.counts)
        left.append(after)
        problems += soak.problems
        if problems:
            break
    problems += growth(left[1], left[-1]) if len(left) > 2 else []
    if len(left) > 2 and left[-1]["resident_kib"] > 2 * left[1]["resident_kib"]:
        problems.append(f"memory grew from {left[1]['resident_kib']} to {left[-1]['resident_kib']} KiB")
    report = {
        "seconds": options.seconds, "seed": options.seed, "backend": options.backend, "interrupts": interrupts.count,
        "operations": dict(sorted(counts.items())), "left after each round": left,
        "tasks left": [f"{type(task).__name__} in state {lib.kt_task_state_of(task.task)}" for task in tasks_left()],
        "problems": problems,
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
