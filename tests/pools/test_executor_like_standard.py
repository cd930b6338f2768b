"""What programs see of an executor beyond the documentation: each test holds for the standard executor, too."""

from __future__ import annotations

import concurrent.futures
import re
import sys
import threading

import pytest
from programs import ended, printed

import kthreads

MAKERS = [concurrent.futures.ThreadPoolExecutor, kthreads.ThreadPoolExecutor]
MODULES = ["concurrent.futures", "kthreads"]

each_executor = pytest.mark.parametrize("make", MAKERS, ids=["standard", "ours"])
each_module = pytest.mark.parametrize("module", MODULES)


@each_executor
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": -1}, ValueError, "max_workers must be greater than 0"),
        ({"max_workers": "3"}, TypeError, "'<=' not supported between instances of 'str' and 'int'"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
    ],
)
def test_arguments_are_refused_with_the_same_words(make, options, error, message):
    with pytest.raises(error) as raised:
        make(**options)
    assert str(raised.value) == message


@each_executor
def test_the_number_of_workers_is_kept_as_it_was_given_and_rounded_up(make):
    with make(1.5) as executor:
        assert executor._max_workers == 1.5
        wait = threading.Barrier(2, timeout=30).wait
        assert sorted(future.result() for future in [executor.submit(wait) for _ in range(2)]) == [0, 1]
        assert len(executor._threads) == 2


def test_default_names_are_numbered_together_with_the_standard_ones():
    first, second, third = (make()._thread_name_prefix for make in (MAKERS[0], MAKERS[1], MAKERS[0]))
    numbers = [int(re.fullmatch(r"ThreadPoolExecutor-(\d+)", name)[1]) for name in (first, second, third)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


@each_executor
def test_threads_are_named_after_the_prefix(make):
    with make(2, "prefix") as executor:
        wait = threading.Barrier(2, timeout=30).wait

        def name():
            wait()
            return threading.current_thread().name

        assert sorted(future.result() for future in [executor.submit(name) for _ in range(2)]) == [
            "prefix_0",
            "prefix_1",
        ]
        assert {thread.name for thread in executor._threads} == {"prefix_0", "prefix_1"}


@each_executor
def test_the_attributes_that_programs_read(make):
    with make(1, initializer=len, initargs=("",)) as executor:
        assert (executor._initializer, executor._initargs) == (len, ("",))
        assert (executor._broken, executor._shutdown, executor._max_workers) == (False, False, 1)
        begun, release = threading.Event(), threading.Event()
        executor.submit(lambda: (begun.set(), release.wait()))
        assert begun.wait(30)
        assert (executor._work_queue.qsize(), executor._work_queue.empty()) == (0, True)
        waiting = [executor.submit(len, "") for _ in range(3)]
        assert (executor._work_queue.qsize(), executor._work_queue.empty()) == (3, False)
        assert executor._idle_semaphore._value == 0
        with executor._shutdown_lock:
            pass
        release.set()
        assert [future.result() for future in waiting] == [0] * 3
    assert executor._shutdown
    assert [thread.is_alive() for thread in executor._threads] == [False]


@each_executor
def test_futures_look_the_same(make):
    with make(1) as executor:
        begun, release = threading.Event(), threading.Event()
        running = executor.submit(lambda: (begun.set(), release.wait()))
        assert begun.wait(30)
        waiting, cancelled = executor.submit(len, ""), executor.submit(len, "")
        cancelled.cancel()
        states = ["running", "pending", "cancelled"]
        for future, state in zip((running, waiting, cancelled), states, strict=True):
            assert re.fullmatch(rf"<Future at 0x[0-9a-f]+ state={state}>", repr(future))
        release.set()
        waiting.result()
        assert re.fullmatch(r"<Future at 0x[0-9a-f]+ state=finished returned int>", repr(waiting))


def test_the_future_of_a_native_function_looks_like_that_too(gate):
    with kthreads.ThreadPoolExecutor(1) as executor:
        future, waiting = executor.submit(*gate.call), executor.submit(*gate.call)
        gate.wait_for(1)
        assert re.fullmatch(r"<Future at 0x[0-9a-f]+ state=running>", repr(future))
        assert re.fullmatch(r"<Future at 0x[0-9a-f]+ state=pending>", repr(waiting))
        gate.open()
        waiting.result()
        assert re.fullmatch(r"<Future at 0x[0-9a-f]+ state=finished returned int>", repr(future))


@each_executor
def test_a_callback_that_exits_is_logged(make, caplog):
    with make(1) as executor:
        release = threading.Event()
        future = executor.submit(release.wait)
        future.add_done_callback(lambda future: sys.exit(3))
        release.set()
        assert future.result()
    assert [record.getMessage() for record in caplog.records] == ["Exception in worker"]


@each_module
def test_tasks_that_wait_are_done_as_the_interpreter_ends_and_later_ones_are_refused(module):
    program = f"""
import threading
from {module} import ThreadPoolExecutor
executor, is_ending = ThreadPoolExecutor(1), threading.Event()

def submit(to):
    try:
        to.submit(print, "too late")
    except RuntimeError as error:
        print(error)

def task():
    is_ending.wait()
    while not refused(executor):
        pass
    submit(executor)
    submit(ThreadPoolExecutor(1))

def refused(executor):
    try:
        executor.submit(len, "")
    except RuntimeError:
        return True

executor.submit(task)
executor.submit(print, "done")
is_ending.set()
"""
    late = "cannot schedule new futures after interpreter shutdown\n"
    assert printed(program) == late + late + "done\n"


@each_module
def test_a_daemon_thread_is_refused_as_the_interpreter_ends(module):
    program = f"""
import threading, time
from {module} import ThreadPoolExecutor
executor = ThreadPoolExecutor(1)

def submit():
    while True:
        try:
            executor.submit(len, "")
        except RuntimeError as error:
            print(error, flush=True)
            return refused.set()

refused = threading.Event()
executor.submit(refused.wait, 30)
threading.Thread(target=submit, daemon=True).start()
"""
    assert printed(program) == "cannot schedule new futures after interpreter shutdown\n"


@each_module
def test_ctrl_c_interrupts_shutdown_which_may_be_called_again(module):
    program = f"""
import os, signal, threading
from {module} import ThreadPoolExecutor
executor, release = ThreadPoolExecutor(1), threading.Event()
future = executor.submit(release.wait)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    executor.shutdown()
except KeyboardInterrupt:
    print("interrupted")
release.set()
executor.shutdown()
print(future.result(30), executor._shutdown)
"""
    assert printed(program) == "interrupted\nTrue True\n"


@each_module
def test_an_exception_that_nobody_asks_for_is_silent(module):
    done = ended(f"from {module} import ThreadPoolExecutor\nwith ThreadPoolExecutor() as e: e.submit(divmod, 1, 0)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
