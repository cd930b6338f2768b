"""Exceptions that end a thread: what is reported, and what goes on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import resource
import sys
import threading

import pytest

import kthreads

both = pytest.mark.parametrize("Thread", [threading.Thread, kthreads.Thread], ids=["threading", "kthreads"])


@pytest.fixture
def reports(monkeypatch):
    """The types of the exceptions that are reported, of threads and of what nobody could catch."""
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: reported.append(hook.exc_type))
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: reported.append(("unraisable", hook.exc_type)))
    return reported


@both
def test_a_coroutine_whose_exception_ends_a_thread_goes_on(Thread, reports):
    async def main():
        future = concurrent.futures.Future()
        thread = Thread(target=future.result)
        thread.start()
        try:
            raise ZeroDivisionError
        except ZeroDivisionError as error:
            future.set_exception(error)
        await asyncio.to_thread(thread.join)
        return "went on"

    assert asyncio.run(main()) == "went on"


@both
def test_a_generator_whose_exception_ends_a_thread_goes_on(Thread, reports):
    def generate():
        try:
            raise ValueError
        except ValueError as error:
            yield error
        yield "went on"

    def fail(error):
        raise error

    generator = generate()
    thread = Thread(target=fail, args=(next(generator),))
    thread.start()
    thread.join()
    assert next(generator) == "went on"


def make_error(exceptions):
    return type("OwnError", (Exception,), {"exceptions": exceptions})


@both
@pytest.mark.parametrize("exceptions", [None, 3, {"a": 1}, [(1, 2)], property(lambda self: 1 / 0)])
def test_an_exception_has_an_attribute_exceptions_of_any_kind(Thread, reports, exceptions):
    error = make_error(exceptions)

    def fail():
        raise error

    thread = Thread(target=fail)
    thread.start()
    thread.join()
    assert reports == [error]


@both
@pytest.mark.parametrize("setting", [threading.settrace, threading.setprofile])
def test_an_exception_of_a_trace_function_is_reported_as_one_of_the_thread(Thread, reports, setting):
    def trace(*_):
        sys.settrace(None), sys.setprofile(None)
        raise ValueError

    thread = Thread(target=len, args=("",))
    setting(trace)
    try:
        thread.start()
    finally:
        setting(None)
    thread.join()
    assert reports == [ValueError]


@both
def test_a_start_without_memory_is_a_runtime_error(Thread):
    size = threading.stack_size(1 << 40)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 36, limits[1]))
    try:
        with pytest.raises(RuntimeError):
            Thread(target=len, args=("",)).start()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        threading.stack_size(size)
