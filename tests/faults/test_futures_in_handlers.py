"""Futures, pools and executors used by real signal handlers and finalizers, whatever these interrupt."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import random
import signal
import threading
import time
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress

import pytest

import kthreads

ROUNDS = 20


@contextmanager
def handling(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture(params=["pool", "executor"])
def of_one_thread(request):
    """A pool or an executor that runs one task at a time."""
    with kthreads.Pool(1) if request.param == "pool" else kthreads.ThreadPoolExecutor(1) as made:
        yield made


@pytest.fixture
def minus(function):
    return function("minus", "double(double, double)")


@pytest.fixture(params=["native", "python"])
def call(request, minus):
    return (minus, 1, 2) if request.param == "native" else (abs, -1)


def from_elsewhere(action):
    """Calls `action` on another thread, once this one waits, so far as can be told."""
    threading.Timer(random.uniform(0, 0.004), action).start()


def kill():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_handler_may_cancel_the_future_that_the_main_thread_waits_for(of_one_thread, call):
    for _ in range(ROUNDS):
        release = threading.Event()
        of_one_thread.submit(release.wait)
        future = of_one_thread.submit(*call)
        with handling(signal.SIGTERM, lambda *_, future=future: future.cancel()):
            from_elsewhere(kill)
            with pytest.raises(CancelledError):
                future.result(30)
        release.set()


def test_a_handler_may_cancel_a_future_whose_callback_the_main_thread_waits_for(of_one_thread, call):
    for _ in range(ROUNDS):
        release, called = threading.Event(), []
        of_one_thread.submit(release.wait)
        future = of_one_thread.submit(*call)
        future.add_done_callback(called.append)
        with handling(signal.SIGTERM, lambda *_, future=future: future.cancel()):
            from_elsewhere(kill)
            with pytest.raises(CancelledError):
                future.exception(30)
        release.set()
        assert called == [future]


def test_a_handler_may_shut_down_what_the_main_thread_submits_to(minus):
    for make in (lambda: kthreads.Pool(2), lambda: kthreads.ThreadPoolExecutor(2)):
        for _ in range(ROUNDS):
            made, futures = make(), []

            def handler(*_, made=made):
                made.shutdown(wait=False, cancel_futures=True)

            with handling(signal.SIGTERM, handler):
                from_elsewhere(kill)
                with pytest.raises(RuntimeError, match="shutdown"):
                    while True:
                        futures += [made.submit(minus, 1, 2), made.submit(abs, -1)]
                        futures[-1].add_done_callback(len.__call__)
            made.shutdown()
            for future in futures:
                with suppress(CancelledError):
                    assert abs(future.result(30)) == 1


def test_a_handler_may_use_everything_while_the_main_thread_does(minus):
    pool, executor = kthreads.Pool(2), kthreads.ThreadPoolExecutor(2)
    futures, failures = [pool.submit(minus, 1, 2)], []

    def use():
        futures.append(random.choice([pool, executor]).submit(*random.choice([(minus, 1, 2), (abs, -1)])))
        batch = pool.submit_many(minus, [1.0] * 3, [2.0] * 3)
        futures.append(batch[0])
        future = random.choice(futures[:])
        future.add_done_callback(lambda future: (future.cancelled(), future.done()))
        future.cancel(), future.running(), repr(future), batch.cancel(), batch.done(), executor._threads
        with suppress(TimeoutError, CancelledError):
            future.result(0)
        with suppress(TimeoutError, CancelledError):
            future.exception(0)
        kthreads.CancelToken().cancel()
        del futures[:-20]

    def handler(*_):
        try:
            use()
        except BaseException as failure:
            failures.append(failure)

    with handling(signal.SIGALRM, handler):
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        try:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                use()
                with suppress(CancelledError):
                    random.choice(futures).result(30)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    executor.shutdown()
    pool.shutdown()
    assert not failures


class Garbage:
    """A cycle whose finalizer is called by the garbage collector, wherever that comes to run."""

    def __init__(self, finalizer):
        self.itself, self.finalizer = self, finalizer

    def __del__(self):
        self.finalizer()


@pytest.fixture
def frequent_collections():
    before = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("frequent_collections")
def test_a_finalizer_may_submit_wherever_the_collector_runs(minus):
    futures, failures, are_open = [], [], [True]
    with kthreads.Pool(2) as pool, kthreads.ThreadPoolExecutor(2) as executor:

        def finalizer():
            try:
                for each in (pool, executor):
                    futures.append(each.submit(minus, 1, 2))
                    futures.append(each.submit(abs, -1))
                    futures[0].cancel()
                kthreads.ThreadPoolExecutor(1).submit(abs, -1)
            except BaseException as failure:
                if are_open:  # else a collection goes on as they are shut down, and is refused
                    failures.append(failure)

        end = time.monotonic() + 2
        while time.monotonic() < end:
            Garbage(finalizer)
            for each in (pool, executor):
                own = [each.submit(minus, 1, 2), each.submit(abs, -1), each.submit(lambda: Garbage(finalizer) and 1)]
                own[0].add_done_callback(lambda future: [future])
                assert {abs(future.result(30)) for future in own} == {1}
            concurrent.futures.wait(own, 30)
            for future in futures[:-10]:
                with suppress(CancelledError):
                    assert abs(future.result(30)) == 1
            del futures[:-10]
        gc.set_threshold(0)
        are_open.clear()
    assert not failures


def test_an_executor_starts_a_thread_while_threadings_table_is_locked():
    # As a finalizer does that the collector calls while `threading` holds this lock.
    with kthreads.ThreadPoolExecutor(1) as executor:
        with threading._active_limbo_lock:
            future = executor.submit(abs, -1)
        assert future.result(30) == 1


def test_the_new_thread_of_an_executor_may_submit_before_it_has_begun(monkeypatch):
    # As a finalizer does that the collector calls on the new thread.
    executor, begun, submitted = kthreads.ThreadPoolExecutor(2), [], Future()
    begin = kthreads.Thread._bootstrap

    def submit_and_begin(thread):
        begun.append(thread)
        if len(begun) == 1:
            submitted.set_result(executor.submit(abs, -2))
        begin(thread)

    monkeypatch.setattr(kthreads.Thread, "_bootstrap", submit_and_begin)
    assert executor.submit(abs, -1).result(30) == 1
    assert submitted.result(30).result(30) == 2
    executor.shutdown()
