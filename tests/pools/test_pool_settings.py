"""What a pool's threads are given: credentials, places, names, and what an initializer sets."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from programs import printed

import kthreads

BACKENDS = pytest.mark.parametrize("backend", ["clone", "clone3", "pthread"])


def names_of_workers(name):
    names = (Path(path).read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    return sorted(each for each in names if each.startswith(name))


# ---- Credentials ---------------------------------------------------------------------------------------------------------


@BACKENDS
def test_workers_have_the_credentials_that_the_main_thread_takes(backend):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    output = printed(
        """
import os, sys, kthreads
system_call = kthreads.symbol(None, "syscall", "long(long)")
getuid, getgid = {"x86_64": (102, 104), "aarch64": (174, 176)}[os.uname().machine]
pool = kthreads.Pool(3, backend=sys.argv[1])
def ids():
    return {future.result() for number in (getuid, getgid) for future in pool.submit_many(system_call, [number] * 30)}
before = ids()
os.setgid(65534)
os.setuid(65534)
print(before, ids())
pool.quiesce()
print(ids())
""",
        backend,
    )
    assert output == "{0} {65534}\n{65534}\n"


# ---- Initializers --------------------------------------------------------------------------------------------------------


def test_what_an_initializer_sets_in_threading_local_is_seen_by_tasks_on_its_thread():
    local, meet = threading.local(), threading.Barrier(2)

    def begin():
        local.thread = threading.get_native_id()

    def task():
        meet.wait(30)  # so that each worker has one
        return local.thread == threading.get_native_id()

    with kthreads.Pool(2, initializer=begin) as pool:
        for _ in range(3):
            assert [future.result() for future in [pool.submit(task), pool.submit(task)]] == [True, True]


def test_what_one_task_leaves_in_threading_local_the_next_one_finds():
    local = threading.local()

    def count():
        local.count = getattr(local, "count", 0) + 1
        return local.count

    with kthreads.Pool(1) as pool:
        assert [pool.submit(count).result() for _ in range(3)] == [1, 2, 3]


def test_after_quiesce_new_threads_begin_with_the_initializer():
    calls = []
    with kthreads.Pool(1, initializer=lambda: calls.append(threading.get_native_id())) as pool:
        pool.submit(abs, 1).result()
        pool.quiesce()
        pool.submit(abs, 1).result()
    assert len(calls) == 2


# ---- Names and places ------------------------------------------------------------------------------------------------------


def test_each_worker_has_a_name_with_its_number():
    meet = threading.Barrier(4)
    with kthreads.Pool(3, name="longer than ten") as pool:
        futures = [pool.submit(meet.wait, 30) for _ in range(3)]
        meet.wait(30)
        concurrent.futures.wait(futures)
        assert names_of_workers("longer tha") == ["longer tha-1", "longer tha-2", "longer tha-3"]


def test_a_name_may_hold_any_characters():
    with kthreads.Pool(1, name="größtenteils") as pool:
        pool.submit(abs, 1).result()
        assert names_of_workers("größtent") == ["größtent-1"]


@pytest.mark.parametrize(("options", "named"), [({"cpus": [4095]}, "cpus"), ({"nice": -20}, "nice")])
def test_a_setting_that_the_kernel_refuses_leaves_no_thread(options, named):
    program = f"""
import os, kthreads
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    kthreads.Pool(3, **{options})
except kthreads.errors.SettingError as error:
    kthreads.memory.trim()
    print({named!r} in str(error), len(os.listdir("/proc/self/task")))
"""
    assert printed(program) == "True 1\n"


def test_workers_stay_on_their_cpus_after_quiesce_and_resize():
    cpu = min(os.sched_getaffinity(0))
    with kthreads.Pool(1, cpus=[cpu], nice=2) as pool:
        for change in (pool.quiesce, lambda: pool.resize(2)):
            change()
            where = pool.submit(lambda: (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0))).result()
            assert where == ({cpu}, 2)


# ---- Size ----------------------------------------------------------------------------------------------------------------


def test_a_pool_has_as_many_workers_as_the_affinity_allows():
    output = printed("""
import os, kthreads
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(kthreads.Pool().workers)
""")
    assert output == "1\n"


def test_a_resized_pool_uses_as_many_threads_as_it_says():
    with kthreads.Pool(1) as pool:
        for workers in (3, 2):
            pool.resize(workers)
            meet = threading.Barrier(workers)
            assert sorted(f.result() for f in [pool.submit(meet.wait, 30) for _ in range(workers)]) == list(
                range(workers)
            )


def test_a_prepared_loop_goes_on_after_a_resize(native_library):
    counts = np.zeros(1000)
    with kthreads.Pool(1) as pool:
        loop = pool.prepare(
            kthreads.symbol(native_library, "add_one_to_each", "void(long, long, double *)"), 1000, counts
        )
        for workers in (1, 4, 2):
            pool.resize(workers)
            loop()
    assert (counts == 3).all()


@pytest.mark.parametrize(
    ("workers", "error"), [(0, ValueError), (-1, ValueError), (4097, ValueError), (1.5, TypeError)]
)
def test_a_size_that_makes_no_sense_leaves_the_pool_as_it_is(workers, error):
    with kthreads.Pool(2) as pool:
        with pytest.raises(error, match="workers must be"):
            pool.resize(workers)
        assert pool.workers == 2
        assert pool.submit(abs, -1).result() == 1


def test_a_resize_that_runs_out_of_time_leaves_the_pool_as_it_is(native_library):
    arrived, gate = np.zeros(1, "i4"), np.zeros(1, "i4")
    with kthreads.Pool(2) as pool:
        future = pool.submit(kthreads.symbol(native_library, "pass_gate", "int(int *, const int *)"), arrived, gate)
        with pytest.raises(TimeoutError):
            pool.resize(3, timeout=0.01)
        assert pool.workers == 2
        gate[0] = 1
        assert future.result() == 7


# ---- Bad input -----------------------------------------------------------------------------------------------------------


def test_a_loop_over_nothing_calls_nothing_and_over_less_is_refused():
    called = []
    with kthreads.Pool(2) as pool:
        for nothing in (0, range(0), range(5, 2)):
            pool.parallel_for(lambda begin, end: called.append(begin), nothing)
        with pytest.raises(ValueError, match="0 or more, not -1"):
            pool.parallel_for(lambda begin, end: called.append(begin), -1)
    assert called == []


def test_what_is_no_body_is_refused_by_name():
    with kthreads.Pool(2) as pool:
        with pytest.raises(TypeError, match="body must be a native function or callable, not str"):
            pool.parallel_for("axpy", 10)
        with pytest.raises(kthreads.errors.SymbolNotFoundError, match="no_such_function"):
            pool.parallel_for(kthreads.symbol("libc.so.6", "no_such_function", "void(long, long)"), 10)
        with pytest.raises(TypeError, match="first two parameters must be integers"):
            pool.parallel_for(kthreads.symbol("libm.so.6", "pow", "double(double, double)"), 10)


def test_a_body_cannot_be_given_an_output_that_is_read_only(native_library):
    add_one = kthreads.symbol(native_library, "add_one_to_each", "void(long, long, double *)")
    values = np.zeros(10)
    values.flags.writeable = False
    with kthreads.Pool(2) as pool:
        for use in (pool.parallel_for, pool.prepare):
            with pytest.raises(TypeError, match="read-only"):
                use(add_one, 10, values)


def test_a_body_may_work_in_place(native_library):
    axpy = kthreads.symbol(native_library, "axpy", "void(size_t, size_t, double, const double *, double *)")
    values = np.ones(1000)
    with kthreads.Pool(2) as pool:
        pool.parallel_for(axpy, 1000, 1.0, values, values)
    assert (values == 2).all()


@pytest.mark.parametrize("wait", [True, False])
def test_after_shutdown_nothing_is_taken_and_nothing_is_left(wait):
    pool = kthreads.Pool(3, name="shut")
    pool.shutdown(wait=wait)
    for use in (lambda: pool.submit(abs, 1), lambda: pool.submit_many(abs, [1]), lambda: pool.parallel_for(print, 2)):
        with pytest.raises(kthreads.ThreadStateError, match="after shutdown"):
            use()
    pool.shutdown()
    while names_of_workers("shut"):  # the kernel takes a while to clear away what has ended
        pass


def test_a_shutdown_ends_the_wait_for_room(native_library):
    arrived, gate = np.zeros(1, "i4"), np.zeros(1, "i4")
    pool = kthreads.Pool(1, queue_size=2)
    pass_gate = kthreads.symbol(native_library, "pass_gate", "int(int *, const int *)")
    told = []

    def fill():
        try:
            while True:
                pool.submit(pass_gate, arrived, gate)
        except kthreads.ThreadStateError as error:
            told.append(str(error))

    submitter = threading.Thread(target=fill)
    submitter.start()
    pool.shutdown(wait=False)
    submitter.join(30)
    gate[0] = 1
    pool.shutdown()
    assert told == ["cannot use the pool after shutdown"]
