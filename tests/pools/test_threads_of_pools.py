"""What threading, debuggers and coverage see of the threads of a pool, where these run Python."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from programs import printed

import kthreads


def kernel_name():
    return Path("/proc/thread-self/comm").read_text().strip()


def task():
    return sys.gettrace(), sys.getprofile()


class Seen:
    """A trace or profile function that notes the functions that are called on threads other than the test's."""

    def __init__(self):
        self.names, self.of = set(), threading.get_ident()

    def __call__(self, frame, event, arg):
        if threading.get_ident() != self.of:
            self.names.add(frame.f_code.co_name)
        return self


@pytest.fixture(params=["settrace", "setprofile"])
def seen(request):
    install, seen = getattr(threading, request.param), Seen()
    install(seen)
    yield seen
    install(None)


def named(name):
    """The threads in the table whose names begin with this. The thread of the completion queue comes and goes."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def on_each_worker(count):
    """A task that ends when `count` of them run at once."""
    return threading.Barrier(count, timeout=30).wait


def test_trace_functions_see_tasks(seen):
    with kthreads.Pool(2) as pool:
        pool.submit(task).result()
    assert "task" in seen.names


def test_trace_functions_see_the_bodies_of_loops(seen):
    barrier = threading.Barrier(2, timeout=30)

    def body(begin, end):
        barrier.wait()

    with kthreads.Pool(2) as pool:
        pool.parallel_for(body, 2, schedule="static")
    assert "body" in seen.names


def test_trace_functions_see_initializers(seen):
    def initializer():
        pass

    with kthreads.Pool(2, initializer=initializer) as pool:
        pool.submit(len, ()).result()
    assert "initializer" in seen.names


def test_trace_functions_see_the_tasks_of_executors(seen):
    with kthreads.ThreadPoolExecutor(1) as executor:
        executor.submit(task).result()
    assert "task" in seen.names


def test_the_caller_of_a_loop_keeps_its_own_trace_function(seen):
    before = task()
    with kthreads.Pool(2) as pool:
        pool.parallel_for(lambda begin, end: None, 2)
    assert task() == before


def test_a_trace_function_reaches_no_thread_that_has_begun():
    with kthreads.Pool(1) as pool:
        pool.submit(task).result()
        threading.settrace(lambda *_: None)
        try:
            assert pool.submit(task).result() == (None, None)
        finally:
            threading.settrace(None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython 3.12 adds settrace_all_threads")
def test_a_trace_function_for_all_threads_reaches_those_that_have_begun():
    def trace(*_):
        pass

    with kthreads.Pool(1) as pool:
        pool.submit(task).result()
        threading.settrace_all_threads(trace)
        try:
            assert pool.submit(task).result()[0] is trace
        finally:
            threading.settrace_all_threads(None)


def test_a_thread_has_the_name_that_the_kernel_gives_it():
    with kthreads.Pool(2, name="counting") as pool:
        name, of_kernel = pool.submit(lambda: (threading.current_thread().name, kernel_name())).result()
    assert name == of_kernel
    assert name.startswith("counting-")


def test_it_is_one_object_from_task_to_task_and_a_daemon():
    with kthreads.Pool(1) as pool:
        first, second = (pool.submit(threading.current_thread).result() for _ in range(2))
        assert first is second
        assert first in threading.enumerate()
        assert (first.daemon, first.is_alive()) == (True, True)
        assert first.native_id == pool.submit(threading.get_native_id).result()


def test_threads_that_have_ended_are_not_in_the_table(seen):
    with kthreads.Pool(3, name="ending") as pool:
        wait = on_each_worker(3)
        for future in [pool.submit(wait) for _ in range(3)]:
            future.result()
        assert len(named("ending-")) == 3
    assert not named("ending-")


def test_threads_that_a_pool_ends_are_not_in_the_table():
    with kthreads.Pool(2, name="again") as pool:
        pool.submit(threading.current_thread).result()
        pool.quiesce()
        assert not named("again-")
        assert [pool.submit(threading.current_thread).result()] == named("again-")


def test_a_thread_that_forks_is_the_main_thread_of_the_child():
    program = """
import multiprocessing, threading, kthreads

def child():
    current = threading.current_thread()
    print(current.name, current is threading.main_thread(), current.daemon, threading.enumerate() == [current])

def task():
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    return process.exitcode

with kthreads.Pool(3) as pool:
    print(pool.submit(task).result())
"""
    assert printed(program, options=("-W", "ignore::DeprecationWarning")) == "MainThread True False True\n0\n"


def test_the_interpreter_ends_quietly_while_threads_wait():
    program = """
import threading, kthreads
threading.settrace(lambda *_: None)
pool = kthreads.Pool(2)
print(pool.submit(len, ()).result())
"""
    assert printed(program) == "0\n"
