"""Waiting for any or all of many threads."""

from __future__ import annotations

import threading

import pytest

import kthreads


def test_wait_returns_when_all_have_ended(gate):
    threads = [gate.thread() for _ in range(3)]
    for thread in threads:
        thread.start()
    assert kthreads.wait(threads, timeout=0.01) == (set(), set(threads))
    gate.open()
    assert kthreads.wait(threads) == (set(threads), set())


@pytest.mark.parametrize("count", [2, 200])
def test_wait_returns_when_the_first_has_ended(gate, native_library, count):
    other = type(gate)(native_library)
    threads = [gate.thread(stack_size=16384) for _ in range(count)]
    quick = other.thread()
    for thread in [*threads, quick]:
        thread.start()
    opener = threading.Timer(0.05, other.open)
    opener.start()
    done, not_done = kthreads.wait([*threads, quick], return_when=kthreads.FIRST_COMPLETED)
    assert (done, not_done) == ({quick}, set(threads))
    gate.open()
    kthreads.wait(threads)


def test_wait_returns_at_the_first_exception(gate, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    slow, bad = gate.thread(), kthreads.Thread(target=lambda: 1 / 0)
    slow.start()
    bad.start()
    done, _ = kthreads.wait([slow, bad], return_when=kthreads.FIRST_EXCEPTION)
    assert bad in done
    assert isinstance(bad.exception(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        _ = bad.result
    gate.open()
    slow.join()


def test_wait_takes_reusable_threads_too(gate):
    threads = [gate.thread(reuse=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    threading.Timer(0.02, gate.open).start()
    assert kthreads.wait(threads, return_when=kthreads.FIRST_COMPLETED).done
    kthreads.wait(threads)


def test_waiting_for_what_was_not_started_is_an_error(gate):
    with pytest.raises(kthreads.ThreadStateError, match="before it is started"):
        kthreads.wait([gate.thread()])
    with pytest.raises(ValueError, match="return_when"):
        kthreads.wait([], return_when="SOMETIME")


@pytest.mark.parametrize("other", [threading.Thread(), None, 5])
def test_wait_says_that_it_takes_threads_of_kthreads_alone(other):
    with pytest.raises(TypeError, match="wait takes threads of kthreads, not"):
        kthreads.wait([other])
