"""What kthreads.Thread shares with threading.Thread: each test runs on both."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time

import pytest

import kthreads

KINDS = {
    "threading": threading.Thread,
    "clone": kthreads.Thread,
    "clone3": functools.partial(kthreads.Thread, backend="clone3"),
    "pthread": functools.partial(kthreads.Thread, backend="pthread"),
    "reuse": functools.partial(kthreads.Thread, reuse=True),
}


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


@pytest.fixture(params=[threading.Thread, kthreads.Thread], ids=["threading", "kthreads"])
def base(request):
    return request.param


def test_the_target_runs_with_its_arguments(make):
    seen = []
    thread = make(target=lambda *args, **kwargs: seen.append((args, kwargs)), args=(1, 2), kwargs={"three": 3})
    thread.start()
    thread.join()
    assert seen == [((1, 2), {"three": 3})]


def test_it_is_alive_between_start_and_end(make):
    gate = threading.Event()
    thread = make(target=gate.wait)
    assert not thread.is_alive()
    thread.start()
    assert thread.is_alive()
    gate.set()
    thread.join()
    assert not thread.is_alive()


def test_the_current_thread_is_the_one_that_was_made(make):
    seen = []
    thread = make(target=lambda: seen.append(threading.current_thread()), name="worker-7")
    thread.start()
    thread.join()
    assert seen[0] is thread
    assert seen[0].name == "worker-7"


def test_its_identities_are_those_that_it_sees_itself(make):
    seen = []
    thread = make(target=lambda: seen.extend([threading.get_ident(), threading.get_native_id()]))
    assert (thread.ident, thread.native_id) == (None, None)
    thread.start()
    thread.join()
    assert [thread.ident, thread.native_id] == seen


def test_it_is_enumerated_while_it_runs(make):
    gate, running = threading.Event(), threading.Event()

    def target():
        running.set()
        gate.wait()

    thread = make(target=target)
    thread.start()
    running.wait()
    assert thread in threading.enumerate()
    gate.set()
    thread.join()
    assert thread not in threading.enumerate()


def test_starting_twice_is_an_error(make):
    thread = make(target=lambda: None)
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()


def test_joining_before_the_start_is_an_error(make):
    with pytest.raises(RuntimeError, match="cannot join thread before it is started"):
        make(target=lambda: None).join()


def test_joining_oneself_is_an_error(make):
    errors = []

    def target():
        try:
            thread.join()
        except RuntimeError as error:
            errors.append(str(error))

    thread = make(target=target)
    thread.start()
    thread.join()
    assert errors == ["cannot join current thread"]


def test_joining_again_returns_at_once(make):
    thread = make(target=lambda: None)
    thread.start()
    thread.join()
    thread.join()
    thread.join(timeout=0)


def test_a_join_times_out(make):
    gate = threading.Event()
    thread = make(target=gate.wait)
    thread.start()
    for timeout in (0, -1, 0.01):
        thread.join(timeout)
        assert thread.is_alive()
    gate.set()
    thread.join()


def test_many_threads_may_join_one(make):
    gate = threading.Event()
    thread = make(target=gate.wait)
    thread.start()
    joiners = [threading.Thread(target=thread.join) for _ in range(8)]
    for joiner in joiners:
        joiner.start()
    gate.set()
    for joiner in joiners:
        joiner.join(10)
        assert not joiner.is_alive()


def test_an_exception_goes_to_the_excepthook(make, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)

    def target():
        raise ValueError("no")

    thread = make(target=target)
    thread.start()
    thread.join()
    assert (seen[0].exc_type, str(seen[0].exc_value), seen[0].thread) == (ValueError, "no", thread)


def test_system_exit_ends_the_thread_silently(make, capfd, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    thread = make(target=sys.exit)
    thread.start()
    thread.join()
    assert capfd.readouterr() == ("", "")


def test_a_subclass_overrides_run(base):
    class Worker(base):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def run(self):
            self.value = threading.current_thread().value * 2

    worker = Worker(21)
    worker.start()
    worker.join()
    assert worker.value == 42


def test_run_may_be_called_directly(base):
    seen = []
    base(target=seen.append, args=(1,)).run()
    assert seen == [1]


def test_daemon_is_inherited_and_can_be_set(make):
    assert make(target=print).daemon is False
    assert make(target=print, daemon=True).daemon is True
    inherited = []
    thread = make(target=lambda: inherited.append(make(target=print).daemon), daemon=True)
    thread.start()
    thread.join()
    assert inherited == [True]
    with pytest.raises(RuntimeError, match="cannot set daemon status"):
        thread.daemon = False


def test_its_name_can_be_changed(make):
    thread = make(target=lambda: None, name="before")
    thread.name = "after"
    assert thread.name == "after"
    assert "after" in repr(thread)


def test_its_repr_tells_its_state(make):
    thread = make(target=lambda: None)
    assert "initial" in repr(thread)
    thread.start()
    thread.join()
    assert "stopped" in repr(thread)


def test_thread_local_values_are_private_and_go_with_the_thread(make):
    class Value:
        pass

    local, gone = threading.local(), threading.Event()

    def target():
        assert not hasattr(local, "value")
        local.value = Value()
        import weakref

        weakref.finalize(local.value, gone.set)

    thread = make(target=target)
    thread.start()
    thread.join()
    assert gone.wait(10)
    assert not hasattr(local, "value")


def test_recursion_ends_in_an_exception(make):
    ended = []

    def recurse():
        recurse()

    def target():
        try:
            recurse()
        except RecursionError:
            ended.append(True)

    thread = make(target=target)
    thread.start()
    thread.join()
    assert ended == [True]


def test_settrace_and_setprofile_reach_the_thread(make):
    traced, profiled = [], []

    def target():
        pass

    def trace(frame, event, arg):
        traced.append(frame.f_code.co_name)

    def profile(frame, event, arg):
        profiled.append(frame.f_code.co_name)

    threading.settrace(trace)
    threading.setprofile(profile)
    try:
        thread = make(target=target)
        thread.start()
        thread.join()
    finally:
        threading.settrace(None)
        threading.setprofile(None)
    assert "target" in traced
    assert "target" in profiled


def test_an_asyncio_loop_runs_inside(make):
    async def twice(x):
        await asyncio.sleep(0)
        return 2 * x

    results = []
    thread = make(target=lambda: results.append(asyncio.run(twice(21))))
    thread.start()
    thread.join()
    assert results == [42]


def test_a_subprocess_runs_inside(make):
    output = []
    thread = make(target=lambda: output.append(subprocess.check_output([sys.executable, "-c", "print('hello')"])))
    thread.start()
    thread.join()
    assert output == [b"hello\n"]


def test_threads_share_the_interpreter(make):
    total, lock = [0], threading.Lock()

    def add():
        for _ in range(200):
            with lock:
                total[0] += 1

    threads = [make(target=add) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == [3200]


def test_the_target_is_let_go_of_after_the_end(make):
    class Target:
        def __call__(self):
            pass

    import weakref

    target = Target()
    reference = weakref.ref(target)
    thread = make(target=target)
    thread.start()
    thread.join()
    del target
    assert reference() is None


def test_a_sleeping_thread_does_not_hold_the_others_up(make):
    gate = threading.Event()
    sleeper = make(target=gate.wait)
    sleeper.start()
    begin = time.monotonic()
    quick = make(target=lambda: None)
    quick.start()
    quick.join(10)
    assert not quick.is_alive()
    assert time.monotonic() - begin < 10
    gate.set()
    sleeper.join()


def test_a_target_that_cannot_be_called_is_an_error_by_the_time_it_runs(base, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    try:
        thread = base(target=5)
    except TypeError:
        return
    thread.start()
    thread.join()
    assert seen[0].exc_type is TypeError
