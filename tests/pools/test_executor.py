"""The executor, where it is more than the standard one; test_executor_like_cpython.py has what they share."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import gc
import inspect
import multiprocessing
import os
import sys
import threading
from concurrent.futures.thread import BrokenThreadPool

import numpy as np
import pytest
from programs import ended, printed

import kthreads
from kthreads.pools import completions, handle, native_task, python_task
from kthreads.pools.executor_threads import ExecutorThread

fork = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture
def executor():
    with kthreads.ThreadPoolExecutor(2) as executor:
        yield executor


# ---- Native functions ------------------------------------------------------------------------------------------------


def test_it_is_a_standard_executor_with_its_signature(executor):
    standard = concurrent.futures.ThreadPoolExecutor
    assert isinstance(executor, standard)
    ours = inspect.signature(kthreads.ThreadPoolExecutor).parameters
    theirs = inspect.signature(standard).parameters
    assert [(p.name, p.default) for p in ours.values()] == [
        (p.name, p.default) for p in theirs.values() if p.kind is not p.VAR_KEYWORD
    ]


def test_a_native_function_is_called_and_its_result_converted(executor, crc32):
    future = executor.submit(crc32, 0, b"abc", 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 0x352441C2


def test_native_functions_run_while_somebody_has_the_gil(gate):
    with kthreads.ThreadPoolExecutor(1) as executor:
        futures = [executor.submit(*gate.call) for _ in range(3)]
        gate.wait_for(1)
        gate.open()
        switch = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            while gate.arrived[0] < 3:  # in pure Python, without letting go of the GIL
                pass
        finally:
            sys.setswitchinterval(switch)
        assert [future.result() for future in futures] == [7, 7, 7]


def test_native_functions_are_mapped(executor):
    labs = kthreads.symbol(None, "labs", "long(long)")
    assert list(executor.map(labs, range(-5, 0), timeout=60, chunksize=2)) == [5, 4, 3, 2, 1]


def test_native_and_python_tasks_keep_their_order(function, gate):
    order = np.zeros(3, "i8")
    memset = kthreads.symbol(None, "memset", "void *(void *, int, size_t)")
    with kthreads.ThreadPoolExecutor(1) as executor:
        executor.submit(*gate.call)
        executor.submit(order.__setitem__, slice(None), 5)
        executor.submit(memset, order, 0, 16)
        executor.submit(lambda: order.__iadd__(1))
        gate.open()
    assert order.tolist() == [1, 1, 6]


def test_a_native_task_is_cancelled_by_shutdown(gate):
    executor = kthreads.ThreadPoolExecutor(1)
    running = executor.submit(*gate.call)
    gate.wait_for(1)
    waiting = [executor.submit(*gate.call), executor.submit(abs, 1)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert [future.cancelled() for future in waiting] == [True, True]
    assert concurrent.futures.wait(waiting, timeout=60).not_done == set()
    gate.open()
    assert running.result() == 7


def test_shutdown_leaves_the_tasks_of_other_executors(gate):
    with kthreads.ThreadPoolExecutor(1) as other:
        blocker, waiting = other.submit(*gate.call), other.submit(*gate.call)
        kthreads.ThreadPoolExecutor(1).shutdown(cancel_futures=True)
        gate.open()
        assert (blocker.result(), waiting.result()) == (7, 7)


def test_a_ctypes_function_without_types_is_called_as_any_callable(executor):
    libc = ctypes.CDLL(None)
    assert executor.submit(libc.abs, -3).result() == 3
    assert executor.submit(ctypes.pythonapi.Py_IsInitialized).result() == 1


def test_arguments_that_do_not_fit_raise_at_once(executor, crc32):
    with pytest.raises(OverflowError, match="argument 3"):
        executor.submit(crc32, 0, b"", -1)
    with pytest.raises(TypeError, match="keyword"):
        executor.submit(crc32, 0, b"", n=0)


# ---- Threads -----------------------------------------------------------------------------------------------------------


def test_a_task_runs_on_a_thread_that_is_known_by_name():
    with kthreads.ThreadPoolExecutor(1, "crunch") as executor:
        thread = executor.submit(threading.current_thread).result()
        assert isinstance(thread, kthreads.Thread)
        assert thread in executor._threads
        assert (thread.name, thread.daemon) == ("crunch_0", False)
        with open(f"/proc/self/task/{thread.native_id}/comm") as file:
            assert file.read() == "crunch_0\n"


def test_thread_local_values_stay_from_task_to_task():
    local = threading.local()
    with kthreads.ThreadPoolExecutor(1, initializer=lambda: setattr(local, "value", [])) as executor:
        for number in range(3):
            executor.submit(lambda number=number: local.value.append(number)).result()
        assert executor.submit(lambda: local.value).result() == [0, 1, 2]


def test_tasks_that_wait_for_each_other_all_get_a_thread(function):
    meet = function("meet", "void(long, long, int *, int)")
    arrived, barrier = np.zeros(1, "i4"), threading.Barrier(3)
    with kthreads.ThreadPoolExecutor(6) as executor:
        native = [executor.submit(meet, 0, 0, arrived, 3) for _ in range(3)]
        python = [executor.submit(barrier.wait) for _ in range(3)]
        assert [future.result(timeout=60) for future in native] == [None] * 3
        assert sorted(future.result(timeout=60) for future in python) == [0, 1, 2]


def test_threads_start_as_tasks_need_them(gate):
    with kthreads.ThreadPoolExecutor(5) as executor:
        assert len(executor._threads) == 0
        executor.submit(*gate.call)
        assert len(executor._threads) == 1
        executor.submit(*gate.call)
        assert len(executor._threads) == 2
        gate.open()


def test_an_idle_native_worker_is_used_again(crc32):
    with kthreads.ThreadPoolExecutor(5) as executor:
        for _ in range(20):
            executor.submit(crc32, 0, b"", 0).result()
        assert len(executor._threads) == 1


def test_the_default_number_of_workers_can_be_set():
    try:
        kthreads.limits.set_default_workers(3)
        assert kthreads.ThreadPoolExecutor()._max_workers == 3
    finally:
        kthreads.limits.set_default_workers(None)
    assert kthreads.ThreadPoolExecutor()._max_workers == min(32, kthreads.cpu_count() + 4)


def test_any_number_of_tasks_may_wait(gate):
    with kthreads.ThreadPoolExecutor(1) as executor:
        executor.submit(*gate.call)
        futures = [executor.submit(abs, number) for number in range(10_000)]
        futures += [executor.submit(*gate.call) for _ in range(10_000)]
        last = executor.submit(abs, -1)
        gate.open()
        assert [future.result() for future in futures] == [*range(10_000), *[7] * 10_000]
        assert last.result() == 1


def test_tasks_beyond_the_queue_can_be_cancelled(gate):
    with kthreads.ThreadPoolExecutor(1) as executor:
        executor.submit(*gate.call)
        gate.wait_for(1)
        futures = [executor.submit(*gate.call) for _ in range(10_000)]
        assert futures[-1].cancel()
        assert all(future.cancel() for future in futures[5000:])
        gate.open()
    assert gate.arrived[0] == 5001
    assert [future.cancelled() for future in futures] == [False] * 5000 + [True] * 5000


def test_a_native_initializer_runs_on_each_thread(gate):
    gate.open()
    initializer, *initargs = gate.call
    with kthreads.ThreadPoolExecutor(2, initializer=initializer, initargs=tuple(initargs)) as executor:
        executor.submit(abs, 1).result()
        assert gate.arrived[0] == 1


def test_a_failed_initializer_breaks_native_tasks_too(crc32, caplog):
    gate = threading.Event()
    with kthreads.ThreadPoolExecutor(1, initializer=lambda: gate.wait() and 1 / 0) as executor:
        futures = [executor.submit(crc32, 0, b"", 0), executor.submit(abs, 1)]
        gate.set()
        for future in futures:
            with pytest.raises(BrokenThreadPool):
                future.result(timeout=60)
        with pytest.raises(BrokenThreadPool):
            executor.submit(abs, 1)
    assert "ZeroDivisionError" in caplog.text


def test_without_a_thread_nothing_is_queued(monkeypatch, crc32):
    def refuse(self):
        raise kthreads.ThreadLimitError(11, "no")

    with kthreads.ThreadPoolExecutor(2) as executor:
        monkeypatch.setattr(kthreads.Thread, "start", refuse)
        for task in ((abs, -1), (crc32, 0, b"", 0)):
            with pytest.raises(kthreads.ThreadLimitError):
                executor.submit(*task)
        monkeypatch.undo()
        assert executor.submit(abs, -2).result() == 2


def test_where_one_thread_runs_another_may_be_refused(monkeypatch, gate):
    def refuse(self):
        raise kthreads.ThreadLimitError(11, "no")

    with kthreads.ThreadPoolExecutor(2) as executor:
        executor.submit(*gate.call)
        monkeypatch.setattr(kthreads.Thread, "start", refuse)
        later = executor.submit(abs, -2)
        gate.open()
        assert later.result() == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0"),
        ({"initializer": 3}, TypeError, "initializer must be a callable"),
    ],
)
def test_bad_settings_say_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        kthreads.ThreadPoolExecutor(**options)


def test_a_dropped_executor_does_its_tasks_and_leaves_no_threads(gate):
    executor = kthreads.ThreadPoolExecutor(2)
    futures = [executor.submit(*gate.call), executor.submit(abs, -1), executor.submit(*gate.call)]
    threads = executor._threads
    del executor
    gc.collect()
    gate.open()
    assert [future.result() for future in futures] == [7, 1, 7]
    for thread in threads:
        thread.join()


def test_shutdown_returns_when_callbacks_have_been_called(gate):
    called, go_on = [], threading.Event()

    def callback(future):
        go_on.wait()
        called.append(future.result())

    with kthreads.ThreadPoolExecutor(1) as executor:
        future = executor.submit(*gate.call)
        gate.wait_for(1)  # so that the callback is not called here and now
        future.add_done_callback(callback)
        gate.open()
        threading.Timer(0.05, go_on.set).start()
    assert called == [7]


@pytest.mark.parametrize("fn", ["native", "python"])
def test_a_task_that_is_queued_after_the_last_thread_has_left_leaves_nothing(fn, crc32, monkeypatch):
    def count_of_tasks():
        completions.drain_shared()
        python_task.unregister_ended()
        return len(completions.shared_completions().pending) + len(python_task._cancelled)

    executor = kthreads.ThreadPoolExecutor(1)
    assert executor.submit(abs, -1).result() == 1
    before = count_of_tasks()
    queue_at_once, submit = native_task.NativeFuture.queue_at_once, handle._submit

    def shut_down_first(call):
        return lambda *args: (executor.shutdown(), call(*args))[1]

    monkeypatch.setattr(native_task.NativeFuture, "queue_at_once", shut_down_first(queue_at_once))
    monkeypatch.setattr(handle, "_submit", shut_down_first(submit))
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(*{"native": (crc32, 0, b"", 0), "python": (abs, -1)}[fn])
    assert count_of_tasks() == before + 1
    executor = None
    gc.collect()
    assert count_of_tasks() == before


def test_shutdown_waits_for_a_thread_that_another_thread_is_about_to_start(monkeypatch, gate):
    about_to_start, go_on = threading.Event(), threading.Event()
    start = ExecutorThread.start

    def start_late(thread):
        about_to_start.set()
        go_on.wait()
        start(thread)

    monkeypatch.setattr(ExecutorThread, "start", start_late)
    executor = kthreads.ThreadPoolExecutor(1)
    futures = []
    submitter = threading.Thread(target=lambda: futures.append(executor.submit(abs, -1)))
    submitter.start()
    about_to_start.wait()
    shutdown = threading.Thread(target=executor.shutdown)
    shutdown.start()
    shutdown.join(0.02)
    assert shutdown.is_alive()
    go_on.set()
    shutdown.join()
    submitter.join()
    assert all(future.done() for future in futures)


def test_a_handler_that_shuts_down_within_a_start_does_not_wait_for_that_start(monkeypatch):
    start = ExecutorThread.start

    def shut_down_and_start(thread):
        executor.shutdown()  # as a signal handler may, here
        start(thread)

    monkeypatch.setattr(ExecutorThread, "start", shut_down_and_start)
    executor = kthreads.ThreadPoolExecutor(1)
    with pytest.raises(RuntimeError, match="after shutdown"):
        while True:
            executor.submit(abs, -1)


def test_shutdown_after_python_tasks_needs_no_descriptor():
    program = """
import os, resource, kthreads
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with kthreads.ThreadPoolExecutor(2) as executor:
    print(executor.submit(abs, -3).result())
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
    except OSError:
        pass
"""
    assert printed(program) == "3\n"


# ---- Where it goes -------------------------------------------------------------------------------------------------------


def test_asyncio_takes_it_as_its_default_executor(crc32):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(kthreads.ThreadPoolExecutor(2))
        return await asyncio.gather(loop.run_in_executor(None, crc32, 0, b"abc", 3), asyncio.to_thread(divmod, 7, 2))

    assert asyncio.run(main()) == [0x352441C2, (3, 1)]


def test_a_map_with_a_buffer_submits_no_more_than_that(executor):
    if "buffersize" not in inspect.signature(concurrent.futures.Executor.map).parameters:
        pytest.skip("map has buffersize from CPython 3.14 on")
    numbers = iter(range(100))
    results = executor.map(abs, numbers, buffersize=3)
    assert next(numbers) == 3
    assert next(results) == 0


# ---- Fork and exit --------------------------------------------------------------------------------------------------------


@fork
def test_it_works_in_a_forked_child_whatever_ran_in_the_parent(executor, crc32, gate):
    running, python_running = executor.submit(*gate.call), threading.Event()
    end = threading.Event()
    held = executor.submit(lambda: python_running.set() or end.wait())
    waiting = [executor.submit(*gate.call), executor.submit(abs, 1)]
    gate.wait_for(1)
    python_running.wait()
    pid = os.fork()
    if pid == 0:
        try:
            for future in (running, held, *waiting):
                with pytest.raises(concurrent.futures.BrokenExecutor):
                    future.result()
            assert executor.submit(crc32, 0, b"abc", 3).result() == 0x352441C2
            assert list(executor.map(abs, range(-50, 0))) == list(range(50, 0, -1))
            executor.shutdown()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gate.open()
    end.set()
    assert (running.result(), held.result(), waiting[0].result()) == (7, True, 7)


@fork
def test_a_task_may_fork_and_use_it_in_the_child(executor):
    def task():
        pid = os.fork()
        if pid == 0:
            os._exit(0 if executor.submit(abs, -1).result() == 1 else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert executor.submit(task).result() == 0


@fork
def test_a_task_may_start_a_process_by_fork(executor):
    def task():
        process = multiprocessing.get_context("fork").Process(target=abs, args=(1,))
        process.start()
        process.join()
        return process.exitcode

    assert executor.submit(task).result() == 0


@pytest.mark.parametrize(
    ("work", "output"),
    [
        ("e.submit(lambda: time.sleep(0.05) or print('done'))", "done"),
        ("e.submit(usleep, 50_000).add_done_callback(lambda _: print('done'))", "done"),
        ("[e.submit(usleep, 1000) for _ in range(20)][-1].add_done_callback(lambda _: print('done'))", "done"),
        ("e.submit(print, 'done'); del e", "done"),
        ("e.submit(print, 'done'); e.shutdown(wait=False)", "done"),
        ("e.submit(usleep, 1); e.submit(lambda: e.submit(print, 'done')).result()", "done"),
        ("e.submit(usleep, 1000).result(); print('done')", "done"),
    ],
)
def test_the_interpreter_waits_for_what_was_submitted_and_ends(work, output):
    done = ended(
        "import kthreads, time; e = kthreads.ThreadPoolExecutor(2);"
        f"usleep = kthreads.symbol(None, 'usleep', 'int(unsigned)'); {work}"
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, output, "")


def test_an_executor_made_while_the_interpreter_ends_takes_no_tasks():
    done = ended(
        "import atexit, kthreads\n"
        "@atexit.register\n"
        "def late():\n"
        "    try: kthreads.ThreadPoolExecutor().submit(print)\n"
        "    except RuntimeError as error: print(error)\n"
    )
    assert (done.stdout, done.stderr) == ("cannot schedule new futures after interpreter shutdown\n", "")
