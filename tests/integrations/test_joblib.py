"""joblib.Parallel on kernel threads."""

from __future__ import annotations

import multiprocessing
import threading
import time
import zlib

import pytest
from own_threads import threads_of_process

import kthreads

joblib = pytest.importorskip("joblib", reason="joblib is not installed: pip install 'kthreads[joblib]'")
np = pytest.importorskip("numpy", reason="NumPy is not installed")

from joblib import Parallel, delayed, parallel_config  # noqa: E402

from kthreads.integrations.joblib import KThreadsBackend, aborted_pools, register  # noqa: E402

GETTID = kthreads.symbol(None, "gettid", "int(void)")
CRC32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")


@pytest.fixture(autouse=True)
def backend():
    register()
    with parallel_config(backend="kthreads"):
        yield


def test_results_come_in_order_and_calls_run_elsewhere():
    assert Parallel(n_jobs=2)(delayed(pow)(2, n) for n in range(50)) == [2**n for n in range(50)]
    assert threading.get_native_id() not in Parallel(n_jobs=2)(delayed(threading.get_native_id)() for _ in range(10))


def test_native_functions_run_on_kernel_threads_at_the_same_time(native_library):
    meet = kthreads.symbol(native_library, "meet", "void(long, long, int *, int)")
    arrived = np.zeros(1, "i4")
    assert Parallel(n_jobs=2)(delayed(meet)(0, 0, arrived, 2) for _ in range(2)) == [None, None]
    parts = [bytes([n]) * 1000 for n in range(100)]
    assert Parallel(n_jobs=2)(delayed(CRC32)(0, p, len(p)) for p in parts) == list(map(zlib.crc32, parts))


def test_a_batch_of_native_functions_is_as_good(native_library):
    meet = kthreads.symbol(native_library, "meet", "void(long, long, int *, int)")
    arrived = np.zeros(1, "i4")
    calls = [delayed(meet)(0, 0, arrived, 2), delayed(CRC32)(0, b"abc", 3)] * 2
    assert Parallel(n_jobs=2, batch_size=2)(calls) == [None, zlib.crc32(b"abc")] * 2


def test_a_native_call_needs_no_interpreter_on_its_worker(native_library):
    class Recording(KThreadsBackend):
        def submit(self, func, callback=None):
            future = super().submit(func, callback)
            kinds.add(type(future))
            return future

    kinds = set()
    with parallel_config(backend=Recording()):
        Parallel(n_jobs=2)(delayed(GETTID)() for _ in range(4))
    assert kinds == {kthreads.pools.native_task.NativeFuture}


def test_all_workers_means_the_default_number():
    kthreads.limits.set_default_workers(3)
    try:
        with parallel_config(backend="kthreads"):
            assert joblib.effective_n_jobs(-1) == 3
            assert joblib.effective_n_jobs(-2) == 2
            assert joblib.effective_n_jobs(-9) == 1
    finally:
        kthreads.limits.set_default_workers(None)


def test_no_jobs_make_no_sense():
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)([delayed(abs)(1)])


def test_one_job_runs_here():
    assert Parallel(n_jobs=1)([delayed(threading.get_ident)()]) == [threading.get_ident()]


def test_an_exception_of_a_call_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        Parallel(n_jobs=2)(delayed(divmod)(1, n) for n in (1, 1, 0, 1))


@pytest.mark.parametrize("place", [0, 50])
def test_a_wrong_argument_of_a_native_call_reaches_the_caller_wherever_it_is_dispatched(place):
    calls = [delayed(CRC32)(0, b"abc", 3) for _ in range(100)]
    calls[place] = delayed(CRC32)(0, b"abc", "3")
    with pytest.raises(TypeError, match=r"crc32\(\) argument 3"):
        Parallel(n_jobs=2)(calls)


def test_a_timeout_is_not_held_up_by_the_call_that_runs():
    release, ended = threading.Event(), threading.Event()

    def hold():
        release.wait()
        ended.set()

    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(n_jobs=2, timeout=0.05)([delayed(hold)(), delayed(abs)(1), delayed(abs)(2)])
    assert not ended.is_set()
    release.set()
    assert ended.wait(30)


def test_after_an_exception_what_has_not_begun_is_not_called():
    called, release = [], threading.Event()

    def fail():
        raise OSError("one of the first")

    with pytest.raises(OSError, match="one of the first"):
        Parallel(n_jobs=2, pre_dispatch="all")(
            [delayed(release.wait)(), delayed(fail)(), delayed(release.wait)()]
            + [delayed(called.append)(n) for n in range(100)]
        )
    release.set()
    for pool in list(aborted_pools):
        pool.quiesce()
    assert called == []


def test_a_with_block_keeps_its_threads_even_after_an_exception():
    with Parallel(n_jobs=2) as parallel:
        first = set(parallel(delayed(GETTID)() for _ in range(20)))
        assert first >= set(parallel(delayed(GETTID)() for _ in range(20))) or len(first) < 2
        with pytest.raises(ZeroDivisionError):
            parallel([delayed(divmod)(1, 0)])
        assert parallel(delayed(abs)(-n) for n in range(5)) == list(range(5))


def test_nested_calls_run_and_end():
    def outer(n):
        inner = Parallel(n_jobs=2)(delayed(inmost)(n * m) for m in range(3))
        return sum(inner)

    def inmost(n):
        return sum(Parallel(n_jobs=2)(delayed(abs)(-n) for _ in range(2)))

    assert Parallel(n_jobs=2)(delayed(outer)(n) for n in range(6)) == [2 * n * (0 + 1 + 2) for n in range(6)]


def test_the_first_nested_parallel_has_kernel_threads_too_and_the_next_is_sequential():
    def backends():
        backend, _ = joblib.parallel.get_active_backend()
        return type(backend).__name__, Parallel(n_jobs=2)(delayed(inner)() for _ in range(1))[0]

    def inner():
        return type(joblib.parallel.get_active_backend()[0]).__name__

    assert Parallel(n_jobs=2)([delayed(backends)()]) == [("KThreadsBackend", "SequentialBackend")]


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_results_can_come_as_a_generator(return_as):
    results = Parallel(n_jobs=2, return_as=return_as)(delayed(abs)(-n) for n in range(20))
    assert sorted(results) == list(range(20))


def test_the_pools_options_are_given_to_parallel_config():
    def name():
        with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
            return file.read()

    with parallel_config(backend="kthreads", name="mine", n_jobs=2):
        assert {found[:4] for found in Parallel()(delayed(name)() for _ in range(4))} == {"mine"}


def test_no_thread_is_left_behind():
    Parallel(n_jobs=2)(delayed(GETTID)() for _ in range(2))  # the thread that completes futures stays
    before = len(threads_of_process())
    Parallel(n_jobs=2)(delayed(GETTID)() for _ in range(10))
    with pytest.raises(ZeroDivisionError):
        Parallel(n_jobs=2)(delayed(divmod)(1, n) for n in (1, 0))
    deadline = time.monotonic() + 30
    while len(threads_of_process()) > before and time.monotonic() < deadline:
        Parallel(n_jobs=2)(delayed(abs)(n) for n in range(2))
    assert len(threads_of_process()) <= before


def test_it_can_be_the_default():
    default = joblib.parallel.DEFAULT_BACKEND
    register(make_default=True)
    try:
        with parallel_config():
            joblib.parallel._backend.config = joblib.parallel.default_parallel_config
            assert isinstance(joblib.parallel.get_active_backend()[0], KThreadsBackend)
    finally:
        joblib.parallel.DEFAULT_BACKEND = default


def test_a_trace_function_of_threading_sees_the_calls():
    called = set()

    def trace(frame, event, arg):
        called.add(frame.f_code.co_name)

    def traced_call():
        return threading.current_thread().name

    threading.settrace(trace)
    try:
        names = Parallel(n_jobs=2)(delayed(traced_call)() for _ in range(2))
    finally:
        threading.settrace(None)
    assert "traced_call" in called
    assert all(name.startswith("joblib-") for name in names)
