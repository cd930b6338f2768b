"""Signals on threads: each check runs on a `threading.Thread`, on a `kthreads.Thread` of each backend, and on the
workers of a Pool and an executor, and finds the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import ended, printed

import kthreads

SLEEP = ["sleep", "60"]


def on_thread(make: Callable[[Callable[[], None]], Any]) -> Callable[[Callable[[], Any]], Any]:
    """A function that calls another one on a thread that `make` makes, and returns its result."""

    def run(function: Callable[[], Any]) -> Any:
        results: list[Any] = []
        thread = make(lambda: results.append(function()))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        return results[0]

    return run


def on_pool(function: Callable[[], Any]) -> Any:
    with kthreads.Pool(2) as pool:
        return pool.submit(function).result(30)


def on_executor(function: Callable[[], Any]) -> Any:
    with kthreads.ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result(30)


def in_callback(function: Callable[[], Any]) -> Any:
    """In a callback of a native future: on the thread of the completion queue."""
    results: list[Any] = []
    done = threading.Event()

    def call(_: Any) -> None:
        results.append(function())
        done.set()

    with kthreads.Pool(1) as pool:
        pool.submit(kthreads.symbol(None, "abs", "int(int)"), -1).add_done_callback(call)
        assert done.wait(30)
    return results[0]


PLACES = {
    "threading": on_thread(lambda target: threading.Thread(target=target)),
    **{
        backend: on_thread(lambda target, backend=backend: kthreads.Thread(target=target, backend=backend))
        for backend in ("clone", "clone3", "pthread")
    },
    "pool": on_pool,
    "executor": on_executor,
}


@pytest.fixture(params=PLACES)
def run_on(request) -> Callable[[Callable[[], Any]], Any]:
    return PLACES[request.param]


@pytest.fixture(params=[*PLACES, "callback"])
def start_child_on(request) -> Callable[[Callable[[], Any]], Any]:
    return PLACES.get(request.param, in_callback)


def own_mask() -> set[int]:
    return {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())}


@pytest.fixture(params=[set(), {signal.SIGUSR1}, {signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, 40}], ids=str)
def mask(request) -> Iterator[set[int]]:
    before = signal.pthread_sigmask(signal.SIG_SETMASK, request.param)
    yield request.param
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_thread_has_the_mask_of_its_starter(run_on, mask):
    assert run_on(own_mask) == mask


def test_a_thread_that_a_thread_starts_has_the_mask_of_that_one(run_on):
    def block_and_start() -> set[int]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            return run_on(own_mask)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    assert run_on(block_and_start) == {signal.SIGUSR2}


def test_a_reused_thread_has_the_mask_of_the_starter_of_the_run(function, mask):
    def run() -> kthreads.Thread:
        thread = kthreads.Thread(target=function("blocked_signals", "uint64_t(void)"), reuse=True)
        thread.start()
        thread.join()
        return thread

    kthreads.memory.trim()
    kept = run()  # and another starter
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    other = run()
    signal.pthread_sigmask(signal.SIG_SETMASK, old)
    bits = sum(1 << number - 1 for number in mask)
    assert kept.result == bits
    assert other.result == bits | 1 << signal.SIGHUP - 1


@pytest.fixture
def handled() -> Iterator[list[threading.Thread]]:
    """The threads on which Python's handler of SIGUSR1 has run."""
    seen: list[threading.Thread] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread()))
    yield seen
    signal.signal(signal.SIGUSR1, before)


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    "send",
    [
        lambda: signal.raise_signal(signal.SIGUSR1),
        lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1),
    ],
    ids=["raise_signal", "pthread_kill"],
)
def test_a_signal_sent_on_a_thread_is_delivered(run_on, handled, send):
    run_on(send)
    wait_until(lambda: handled)
    assert handled == [threading.main_thread()]


@pytest.fixture
def wakeup() -> Iterator[int]:
    """A descriptor to which CPython's handler in C writes the numbers of signals, on whatever thread it runs."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    yield reader
    signal.set_wakeup_fd(before)
    os.close(reader)
    os.close(writer)


@pytest.mark.usefixtures("handled")
def test_a_signal_is_delivered_to_a_thread_while_it_and_the_main_thread_wait(run_on, wakeup):
    def send_and_wait() -> int:
        ident = threading.get_ident()
        threading.Thread(target=lambda: signal.pthread_kill(ident, signal.SIGUSR1)).start()
        return os.read(wakeup, 1)[0]

    assert run_on(send_and_wait) == signal.SIGUSR1


# ---- Child processes ------------------------------------------------------------------------------------------------


def by_popen() -> int:
    with subprocess.Popen(SLEEP) as process:
        process.terminate()
        return process.wait(30)


def by_process() -> int:
    with kthreads.Process(SLEEP) as process:
        process.terminate()
        return process.wait(30)


def by_clone() -> int:
    child = kthreads.clone(kthreads.symbol(None, "pause", "int(void)"))
    child.terminate()
    return child.wait(30)


def by_system() -> int:
    return os.waitstatus_to_exitcode(os.system("kill -TERM $$"))


def by_posix_spawn() -> int:
    pid = os.posix_spawnp("sleep", SLEEP, os.environ)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def by_fork() -> int:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def by_multiprocessing() -> int | None:
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    process.terminate()
    process.join(30)
    return process.exitcode


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    "start", [by_popen, by_process, by_clone, by_system, by_posix_spawn, by_fork, by_multiprocessing]
)
def test_a_child_that_a_thread_has_started_ends_by_sigterm(start_child_on, start):
    assert start_child_on(start) == -signal.SIGTERM


def test_a_time_limit_ends_a_program_that_a_thread_has_started(start_child_on):
    begin = time.monotonic()
    assert start_child_on(lambda: subprocess.run(["timeout", "0.2", *SLEEP], check=False).returncode) == 124
    assert time.monotonic() - begin < 30


POOLS = """
import multiprocessing, sys, warnings
import kthreads

warnings.simplefilter("ignore")

def use():
    with multiprocessing.Pool(1):
        pass

threads = [kthreads.Thread(target=use) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("ended")
"""


def test_twenty_threads_make_and_end_multiprocessing_pools_at_once():
    assert ended(POOLS).stdout == "ended\n"


# ---- The library's own threads ---------------------------------------------------------------------------------------


def blocked_of(tid: int) -> set[int]:
    lines = Path(f"/proc/self/task/{tid}/status").read_text().splitlines()
    mask = int(next(line for line in lines if line.startswith("SigBlk")).split()[1], 16)
    return {number for number in range(1, 65) if mask >> number - 1 & 1}


def is_asleep(tid: int) -> bool:
    return Path(f"/proc/self/task/{tid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_the_thread_of_a_completion_queue_blocks_signals_while_it_waits(gate):
    with kthreads.Pool(1) as pool:
        future = pool.submit(*gate.call)
        gate.wait_for(1)
        tids: list[int] = []
        future.add_done_callback(lambda _: None)
        wait_until(
            lambda: tids.extend(t.native_id for t in threading.enumerate() if t.name == "kt-completions") or tids
        )
        wait_until(lambda: is_asleep(tids[0]) and signal.SIGTERM in blocked_of(tids[0]))
        kept = {signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1}
        assert kept <= blocked_of(tids[0])
        gate.open()


def test_a_signal_that_the_program_waits_for_does_not_end_it_by_a_thread_of_ours():
    program = """
        import os, signal
        import kthreads

        def lets_in(task):
            lines = dict(line.split(":", 1) for line in open(f"/proc/self/task/{task}/status"))
            return not int(lines["SigBlk"], 16) >> signal.SIGTERM - 1 & 1

        absolute = kthreads.symbol(None, "abs", "int(int)")
        pool = kthreads.Pool(1, initializer=signal.pthread_sigmask, initargs=(signal.SIG_BLOCK, {signal.SIGTERM}))
        pool.submit(absolute, -1).add_done_callback(lambda _: None)
        thread = kthreads.Thread(target=absolute, args=(-1,), reuse=True)
        thread.start()
        thread.join()                                   # it is parked, and was started with SIGTERM let in
        pool.submit(len, "abc").result()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        while any(map(lets_in, os.listdir("/proc/self/task"))):
            os.sched_yield()                            # the thread of the callback is on the way to its next wait
        for _ in range(100):
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.sigwait({signal.SIGTERM}) == signal.SIGTERM
        print("alive")
    """
    assert printed(textwrap.dedent(program)) == "alive\n"
