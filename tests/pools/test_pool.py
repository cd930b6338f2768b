"""A pool's life, and what it tells of it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from programs import ended

import kthreads


def names_of_threads(beginning):
    names = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.add((task / "comm").read_text().strip())
    return {name for name in names if name.startswith(beginning)}


def in_child(what):
    """Whether a function, called in a forked child, returns true there."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if what() else 1)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# ---- Life -----------------------------------------------------------------------------------------------


def test_a_pool_has_as_many_workers_as_there_are_cpus():
    with kthreads.Pool() as pool:
        assert pool.workers == kthreads.cpu_count()


def test_workers_are_named_and_placed(tmp_path):
    with kthreads.Pool(2, name="crunch", cpus=[0], nice=3) as pool:
        tid, cpus, nice = pool.submit(
            lambda: (threading.get_native_id(), os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0))
        ).result()
        name = Path(f"/proc/self/task/{tid}/comm").read_text().strip()
    assert (name.rpartition("-")[0], cpus, nice) == ("crunch", {0}, 3)


def test_an_initializer_runs_on_each_thread():
    seen = []
    with kthreads.Pool(
        3, initializer=lambda what: seen.append((what, threading.get_native_id())), initargs=("x",)
    ) as pool:
        pool.submit(abs, 1).result()
    assert len(set(seen)) == 3


def test_a_native_initializer_runs(gate):
    gate.open()
    with kthreads.Pool(3, initializer=gate.function, initargs=gate.args):
        gate.wait_for(2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_a_failed_initializer_the_pool_takes_no_work():
    pool = kthreads.Pool(2, initializer=lambda: 1 / 0)
    while not pool._handle.broken:
        time.sleep(0.001)
    with pytest.raises(kthreads.ThreadStateError, match="initializer failed") as caught:
        pool.submit(abs, 1)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    pool.shutdown()


def test_shutdown_waits_for_all_tasks(gate):
    pool = kthreads.Pool(1)
    futures = pool.submit_many(gate.function, *zip(*[gate.args] * 5, strict=True))
    gate.open()
    pool.shutdown()
    assert all(future.done() for future in futures)


def test_python_tasks_of_a_pool_that_nobody_holds_run_to_their_end():
    script = """if True:
        import gc, threading, kthreads

        def submit():
            pool = kthreads.Pool(1)
            futures = [pool.submit(release.wait), *(pool.submit(abs, -n) for n in range(100))]
            pool.shutdown(wait=False)
            return futures

        release = threading.Event()
        futures = submit()
        gc.collect()
        others = [bytearray(n % 400) for n in range(100000)]
        release.set()
        print(sum(future.result(timeout=30) for future in futures[1:]))
        """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("4950\n", "", 0)


def test_shutdown_can_cancel_what_waits(gate):
    pool = kthreads.Pool(1)
    running = pool.submit(gate.function, *gate.args)
    gate.wait_for(1)
    waiting = [pool.submit(gate.function, *gate.args), pool.submit(abs, 1)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert [future.cancelled() for future in waiting] == [True, True]
    gate.open()
    assert running.result() == 7


def test_a_pool_that_was_shut_down_takes_no_work():
    pool = kthreads.Pool(2)
    loop = pool.prepare(lambda begin, end: None, 10)
    pool.shutdown()
    pool.shutdown()
    for use in (loop, lambda: pool.submit(abs, 1), lambda: pool.parallel_for(print, 3), lambda: pool.resize(3)):
        with pytest.raises(kthreads.ThreadStateError, match="after shutdown"):
            use()


def until_threads_are(name, *names):
    """A thread takes a while to name itself, and the kernel to clear away what has ended."""
    while names_of_threads(name) != set(names):
        time.sleep(0.001)


def test_a_quiet_pool_has_no_threads_and_works_again():
    with kthreads.Pool(2, name="quiet") as pool:
        pool.submit(abs, -1).result()
        pool.quiesce()
        until_threads_are("quiet")
        pool.parallel_for(lambda begin, end: None, 10)
        until_threads_are("quiet", "quiet-1")
        pool.quiesce()
        until_threads_are("quiet")


def test_a_pool_cannot_be_quiet_while_it_works(pool, gate):
    future = pool.submit(gate.function, *gate.args)
    gate.wait_for(1)
    with pytest.raises(TimeoutError):
        pool.quiesce(timeout=0.01)
    assert pool.submit(abs, -1).result() == 1
    gate.open()
    assert future.result() == 7


def test_a_task_cannot_wait_for_its_own_pool(pool):
    with pytest.raises(kthreads.ThreadStateError, match="its own threads"):
        pool.submit(pool.quiesce).result()


def test_a_pool_changes_its_size(pool):
    for workers in (4, 1, 3):
        pool.resize(workers)
        assert pool.workers == workers
        assert pool.submit(abs, -1).result() == 1
        pool.parallel_for(lambda begin, end: None, 10)


def test_a_dropped_pool_leaves_no_threads():
    pool = kthreads.Pool(4, name="dropped")
    pool.parallel_for(lambda begin, end: None, 100)
    until_threads_are("dropped", "dropped-1", "dropped-2", "dropped-3")
    del pool
    gc.collect()
    until_threads_are("dropped")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers must be from 1 to 4096"),
        ({"workers": 5000}, ValueError, "workers must be from 1 to 4096"),
        ({"workers": 2.0}, TypeError, "workers must be an int"),
        ({"queue_size": 0}, ValueError, "queue_size"),
        ({"spin": -1}, ValueError, "spin"),
        ({"spin": "always"}, ValueError, "spin"),
        ({"when_full": "drop"}, ValueError, "when_full"),
        ({"backend": "bare_without_libc"}, ValueError, "libc"),
        ({"backend": "openmp"}, ValueError, "backend"),
        ({"initializer": 3}, TypeError, "initializer"),
        ({"cpus": []}, ValueError, "cpus"),
    ],
)
def test_bad_settings_say_what_is_wrong(options, error, message):
    with pytest.raises(error, match=message):
        kthreads.Pool(**options)


def test_more_workers_than_the_limits_allow_leave_none_behind(tmp_path):
    code = """
import os, resource, kthreads
os.setresuid(12345, 12345, 12345)
resource.setrlimit(resource.RLIMIT_NPROC, (20, 20))
try:
    kthreads.Pool(64)
except kthreads.ThreadLimitError as error:
    kthreads.memory.trim()
    print(len(os.listdir("/proc/self/task")), "RLIMIT_NPROC" in str(error))
"""
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "1 True\n", done.stderr


@pytest.mark.parametrize("backend", ["clone", "clone3", "pthread"])
def test_each_backend_makes_workers(backend):
    with kthreads.Pool(2, backend=backend) as pool:
        assert pool.submit(abs, -1).result() == 1
        pool.parallel_for(lambda begin, end: None, 10)


# ---- Fork and exit --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_pool_works_in_a_forked_child_whatever_ran_in_the_parent(pool, crc32, gate):
    running = pool.submit(gate.function, *gate.args)
    gate.wait_for(1)

    def child():
        with pytest.raises(concurrent.futures.BrokenExecutor):
            running.result()
        chunks = []
        pool.parallel_for(lambda begin, end: chunks.append(end - begin), 100)
        assert sum(chunks) == 100
        return pool.submit(crc32, 0, b"abc", 3).result() == 0x352441C2 and pool.submit(abs, -1).result() == 1

    assert in_child(child)
    gate.open()
    assert running.result() == 7


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_body_may_fork(pool):
    results = []

    def body(begin, end):
        if begin == 0:
            results.append(in_child(lambda: pool.submit(abs, -1).result() == 1))

    pool.parallel_for(body, 10, grain=1)
    assert results == [True]


@pytest.mark.parametrize(
    "work",
    [
        "pool.parallel_for(lambda b, e: None, 100)",
        "pool.submit(kthreads.symbol(None, 'pause', 'int(void)'))",
        "pool.submit_many(kthreads.symbol(None, 'sleep', 'unsigned(unsigned)'), [1000] * 10)",
        "pool.submit(time.sleep, 1000)",
        "[pool.submit(abs, 1) for _ in range(1000)]",
        "pool.submit(lambda: pool.submit(time.sleep, 1000)).result()",
        "del pool",
    ],
)
def test_the_interpreter_ends_whatever_the_pool_does(work):
    code = f"import kthreads, time; pool = kthreads.Pool(2); {work}; print('end')"
    done = ended(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


# ---- What it did ----------------------------------------------------------------------------------------


def test_stats_count_what_was_done(pool, crc32):
    pool.parallel_for(lambda begin, end: None, 100, grain=10)
    pool.submit(crc32, 0, b"", 0).result()
    pool.quiesce()
    stats = pool.stats()
    assert (stats.regions, stats.chunks, stats.tasks, len(stats.workers)) == (1, 10, 1, 3)
    assert stats.workers[0].cpu_time is None


def test_stats_tell_the_cpu_time_of_each_thread(pool):
    pool.submit(sum, range(100_000)).result()
    assert sum(worker.cpu_time or 0 for worker in pool.stats().workers) > 0


def test_a_trace_holds_loops_chunks_and_tasks(pool, crc32, tmp_path):
    path = tmp_path / "trace.json"
    with pool.trace(path):
        pool.parallel_for(lambda begin, end: None, 40, grain=10)
        pool.submit(crc32, 0, b"", 0).result()
        pool.quiesce()
    events = json.loads(path.read_text())["traceEvents"]
    kinds = [event["name"] for event in events if event["ph"] == "X"]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"loop": 1, "chunk": 4, "task": 1}
    assert sorted(event["args"]["begin"] for event in events if event["name"] == "chunk") == [0, 10, 20, 30]
    assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")


def test_a_trace_that_is_too_small_says_what_it_dropped(pool, tmp_path):
    path = tmp_path / "trace.json"
    with pool.trace(path, events=3):
        pool.parallel_for(lambda begin, end: None, 40, grain=10)
    assert json.loads(path.read_text())["otherData"] == {"dropped": 2}


def test_a_pool_is_traced_once_at_a_time(pool, tmp_path):
    with (
        pool.trace(tmp_path / "a"),
        pytest.raises(kthreads.ThreadStateError, match="traced already"),
        pool.trace(tmp_path / "b"),
    ):
        pass


def test_a_trace_that_cannot_be_written_is_an_error_at_once(pool, tmp_path):
    with pytest.raises(OSError, match="No such file"), pool.trace(tmp_path / "none" / "a"):
        pass
