"""Threads: starts at once, forks while threading is busy, waits without end."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from interrupt import at_every_opcode
from programs import FORK, printed

import kthreads
from kthreads._native import ffi, lib
from kthreads.threads import registry


def fails(_):
    raise ValueError("of the target")


@pytest.mark.parametrize("is_python", [False, True])
def test_a_thread_started_by_many_at_once_starts_once(function, is_python):
    count_up = function("count_up", "int()")
    ran = []
    for _ in range(100):
        thread = kthreads.Thread(target=ran.append, args=(1,)) if is_python else kthreads.Thread(target=count_up)
        barrier, outcomes = threading.Barrier(4), []

        def start(thread=thread, barrier=barrier, outcomes=outcomes):
            barrier.wait()
            try:
                thread.start()
                outcomes.append("started")
            except kthreads.ThreadStateError as error:
                outcomes.append(str(error))

        starters = [threading.Thread(target=start) for _ in range(4)]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
        thread.join()
        assert sorted(outcomes) == ["started"] + ["threads can only be started once"] * 3
        assert id(thread) not in registry.registered
    assert len(ran) == (100 if is_python else 0)


def test_a_thread_whose_end_another_sees_in_between_was_started_all_the_same(crc32):
    """As when the registry looks for threads that have ended, on another thread."""

    def ended():
        thread = kthreads.Thread(target=crc32, args=(0, b"abc", 3))
        thread.start()
        assert lib.kt_thread_wait(thread._kt_cell[0], -1, ffi.NULL) == 0
        return thread

    def use(thread):
        assert thread.kt_was_started()
        thread.join()
        assert thread.ident

    at_every_opcode(use, [kthreads.threads.thread], handler=kthreads.Thread.kt_has_ended, prepare=ended)


def test_a_thread_whose_start_was_refused_can_be_started_later(monkeypatch):
    thread = kthreads.Thread(target=lambda: 5)
    monkeypatch.setattr("kthreads.threads.python_call.lib", Refusing(lib))
    with pytest.raises(kthreads.ThreadLimitError):
        thread.start()
    assert id(thread) not in registry.registered
    with pytest.raises(kthreads.ThreadStateError, match="before it is started"):
        kthreads.wait([thread], timeout=5)
    with pytest.raises(kthreads.ThreadStateError, match="before it is started"):
        thread.join()
    monkeypatch.undo()
    thread.start()
    thread.join()
    assert thread.result == 5


class Refusing:
    """The engine, but that it has reached a limit."""

    def __init__(self, lib):
        self._lib = lib

    def __getattr__(self, name):
        return getattr(self._lib, name)

    def kt_python_start(self, *_):
        return -11  # EAGAIN


def test_a_forked_child_starts_threads_though_the_parent_was_in_threadings_lock():
    assert (
        printed(
            FORK
            + """
import threading, kthreads
held, forked = threading.Event(), threading.Event()
def holds():
    with threading._active_limbo_lock:   # as threading.enumerate() does
        held.set()
        forked.wait()
def use():
    thread = kthreads.Thread(target=lambda: 5)
    thread.start()
    thread.join()
    assert thread.result == 5 and len(threading.enumerate()) == 1
threading.Thread(target=holds).start()
held.wait()
pid = fork()
forked.set()
print(status_of(pid))
""",
            options=("-W", "ignore::DeprecationWarning"),
        )
        == "3\n"
    )


@pytest.mark.parametrize("target", [id, fails])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_python_thread_that_has_ended_keeps_no_argument_and_is_in_no_cycle(target):
    class Large:
        pass

    gc.disable()
    try:
        argument = Large()
        gone = weakref.ref(argument)
        thread = kthreads.Thread(target=target, args=(argument,))
        thread.start()
        thread.join()
        del argument
        if thread.exception() is not None:
            with pytest.raises(ValueError, match="of the target"):
                print(thread.result)
            thread.exception().__traceback__ = None  # the target's own frame has it
        assert gone() is None
        gone = weakref.ref(thread)
        del thread
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failed_python_thread_is_in_no_cycle():
    gc.disable()
    try:
        thread = kthreads.Thread(target=fails, args=(1,))
        thread.start()
        thread.join()
        gone = weakref.ref(thread)
        del thread
        assert gone() is None
    finally:
        gc.enable()
