"""What kthreads.Thread can do that threading.Thread cannot."""

from __future__ import annotations

import gc
import os
import select
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

import kthreads
from kthreads import CloneFlags

BACKENDS = ["clone", "clone3", "pthread"]


def run(target, *args, **options):
    thread = kthreads.Thread(target=target, args=args, **options)
    thread.start()
    thread.join()
    return thread.result


# ---- Native targets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_native_function_runs_on_another_kernel_thread(function, backend):
    thread = kthreads.Thread(target=function("thread_id", "int64_t(void)"), backend=backend)
    thread.start()
    thread.join()
    assert thread.result == thread.native_id != threading.get_native_id()


@pytest.mark.parametrize("backend", BACKENDS)
def test_its_ident_is_pthread_self(function, backend):
    thread = kthreads.Thread(target=function("self", "uint64_t(void)"), backend=backend)
    thread.start()
    thread.join()
    assert thread.result == thread.ident


def test_a_bare_thread_runs_a_leaf_function(function):
    assert run(function("same_i32", "int(int)"), 5, backend="bare_without_libc") == 5


def test_the_gil_is_not_needed_by_a_native_thread(function):
    """The thread ends while this one holds the GIL in a loop that never gives it up."""
    thread = kthreads.Thread(target=function("burn", "int(int64_t)"), args=(1000,))
    thread.start()
    task = f"/proc/self/task/{thread.native_id}"
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        deadline = time.monotonic() + 20
        while os.access(task, os.F_OK) and time.monotonic() < deadline:
            pass
    finally:
        sys.setswitchinterval(interval)
    assert not os.access(task, os.F_OK)
    thread.join()
    assert thread.result == 1


def test_the_result_is_known_only_after_the_end(gate):
    thread = gate.thread()
    with pytest.raises(kthreads.ThreadStateError, match="join"):
        _ = thread.result
    thread.start()
    with pytest.raises(kthreads.ThreadStateError, match="join"):
        _ = thread.result
    gate.open()
    thread.join()
    assert thread.result == 7


def test_arguments_outlive_a_thread_object_that_nobody_holds(gate):
    word = gate.word
    alive = weakref.ref(gate.thread())
    gc.collect()
    assert alive() is None
    thread = gate.thread()
    alive = weakref.ref(thread)
    thread.start()
    tid = thread.native_id
    del thread
    gc.collect()
    assert alive() is not None
    word[0] = 1
    while os.path.exists(f"/proc/self/task/{tid}"):
        pass


def test_ended_threads_that_nobody_joined_are_let_go_of(function):
    nothing = function("nothing", "void(void)")
    threads = [kthreads.Thread(target=nothing) for _ in range(50)]
    references = [weakref.ref(thread) for thread in threads]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        pass
    del threads, thread
    gc.collect()
    assert not any(reference() for reference in references)


def test_pthread_exit_ends_the_thread_alone(function):
    for options in ({}, {"reuse": True}, {"backend": "pthread"}):
        thread = kthreads.Thread(target=function("exit_thread", "void(void)"), **options)
        thread.start()
        thread.join()
        assert not thread.is_alive()


def test_cpu_time_is_that_of_the_run(function):
    thread = kthreads.Thread(target=function("burn", "int(int64_t)"), args=(20_000_000,))
    thread.start()
    thread.join()
    assert 0.001 < thread.cpu_time() < 60


def test_cpu_time_can_be_read_while_it_runs(gate):
    thread = gate.thread()
    thread.start()
    assert thread.cpu_time() >= 0
    gate.open()
    thread.join()


# ---- Stacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16384, 65536, 1 << 20, 64 << 20])
def test_the_whole_stack_size_can_be_used(function, size):
    assert run(function("use_stack", "int(size_t)"), size - 8192, stack_size=size) >= 0


@pytest.mark.parametrize("size", [0, 16383, -1, 1 << 63])
def test_a_senseless_stack_size_is_refused(function, size):
    with pytest.raises(ValueError, match="stack_size"):
        kthreads.Thread(target=function("nothing", "void(void)"), stack_size=size)


# ---- Sharing less --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_fs_a_thread_has_its_own_directory(function, tmp_path, backend):
    (tmp_path / "marker").mkdir()
    before = os.getcwd()
    is_there = function("is_directory", "int(const char *, const char *)")
    share = kthreads.flags.SHARE_ALL & ~CloneFlags.FS
    assert run(is_there, str(tmp_path), "marker", share=share, backend=backend) == 1
    assert os.getcwd() == before


def test_with_fs_the_directory_is_everybody_s(function, tmp_path):
    before = os.getcwd()
    try:
        assert run(function("change_directory", "int(const char *)"), str(tmp_path)) == 0
        assert os.path.samefile(os.getcwd(), tmp_path)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_files_a_thread_has_its_own_descriptors(function, backend):
    read, write = os.pipe()
    share = kthreads.flags.SHARE_ALL & ~CloneFlags.FILES
    assert run(function("close_descriptor", "int(int)"), read, share=share, backend=backend) == 0
    os.fstat(read)
    os.close(read)
    os.close(write)


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs CAP_SYS_ADMIN")
def test_a_thread_has_a_host_name_of_its_own(function):
    before = os.uname().nodename
    buffer = np.zeros(64, "u1")
    result = run(
        function("host_name", "int(const char *, char *, size_t)"),
        "elsewhere",
        buffer,
        64,
        namespaces=CloneFlags.NEWUTS,
    )
    assert result == 0
    assert bytes(buffer).rstrip(b"\0") == b"elsewhere"
    assert os.uname().nodename == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"share": CloneFlags.VM}, "share= takes FS, FILES and SYSVSEM"),
        ({"namespaces": CloneFlags.NEWPID}, "namespaces= takes"),
        ({"namespaces": CloneFlags.NEWNS}, "cannot be combined with CLONE_FS"),
        ({"namespaces": CloneFlags.NEWIPC}, "cannot be combined with CLONE_SYSVSEM"),
        ({"backend": "fibers"}, "backend must be one of"),
        ({"nice": 40}, "nice must be"),
        ({"cpus": []}, "at least one CPU"),
        ({"cpus": [-1]}, "CPU numbers"),
    ],
)
def test_a_senseless_option_is_refused(function, options, why):
    with pytest.raises(ValueError, match=why):
        kthreads.Thread(target=function("nothing", "void(void)"), **options)


def test_a_bare_thread_runs_no_python():
    with pytest.raises(ValueError, match="native leaf functions only"):
        kthreads.Thread(target=print, backend="bare_without_libc")


# ---- CPUs, nice value, name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_cpus_pins_the_thread(function, backend):
    cpu = min(os.sched_getaffinity(0))
    assert run(function("count_cpus", "int(void)"), cpus=[cpu], backend=backend) == 1


def test_cpus_that_do_not_exist_are_refused_and_leave_nothing_behind(function):
    before = kthreads.memory.usage().stacks
    thread = kthreads.Thread(target=function("nothing", "void(void)"), cpus=[4000])
    with pytest.raises(kthreads.errors.SettingError, match=r"cpus=\[4000\]"):
        thread.start()
    assert kthreads.memory.usage().stacks == before
    assert not thread.is_alive()


def test_nice_sets_the_nice_value_of_the_thread_alone(function):
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert run(function("get_nice", "int(void)"), nice=5) == 5
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_the_kernel_knows_the_first_15_bytes_of_the_name(gate):
    thread = gate.thread(name="ein sehr langer name")
    thread.start()
    comm = Path(f"/proc/self/task/{thread.native_id}/comm")
    own = Path("/proc/self/comm").read_text()
    while (name := comm.read_text()) == own:
        pass
    gate.open()
    thread.join()
    assert name == "ein sehr langer\n"


# ---- Reuse ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["clone", "clone3", "pthread"])
def reuse(request, function):
    """Runs a function on a parked thread and says on which."""
    kthreads.memory.trim()

    def start(name, signature, *args):
        thread = kthreads.Thread(target=function(name, signature), args=args, reuse=True, backend=request.param)
        thread.start()
        thread.join()
        return thread

    return start


def test_a_parked_thread_is_started_again(reuse):
    first, second = reuse("thread_id", "int64_t(void)"), reuse("thread_id", "int64_t(void)")
    assert (first.reused, second.reused) == (False, True)
    assert first.result == second.result == second.native_id


def test_thread_local_variables_are_fresh(reuse):
    assert [reuse("count_up", "int(void)").result for _ in range(3)] == [42, 42, 42]


def test_keys_are_fresh_and_their_destructors_have_run(reuse, function):
    function("make_key", "int(void)")()
    before = function("destroyed_count", "int(void)")()
    assert [reuse("use_key", "int(void)").result for _ in range(3)] == [0, 0, 0]
    assert function("destroyed_count", "int(void)")() == before + 3


def test_name_and_cpus_are_fresh(reuse):
    cpus = len(os.sched_getaffinity(0))
    assert reuse("rename_and_pin", "int(void)").result == 0
    assert reuse("is_named_changed", "int(void)").result == 0
    assert reuse("count_cpus", "int(void)").result == cpus


def test_a_thread_of_another_backend_or_stack_size_is_not_taken(function):
    kthreads.memory.trim()
    nothing = function("nothing", "void(void)")
    for options in ({}, {"backend": "pthread"}, {"stack_size": 65536}):
        thread = kthreads.Thread(target=nothing, reuse=True, **options)
        thread.start()
        thread.join()
        assert not thread.reused


def test_a_thread_that_shares_less_is_never_parked(function):
    share = kthreads.flags.SHARE_ALL & ~CloneFlags.FS
    for _ in range(2):
        thread = kthreads.Thread(target=function("nothing", "void(void)"), reuse=True, share=share)
        thread.start()
        thread.join()
        assert not thread.reused


def test_parked_threads_end_after_an_idle_time(function):
    kthreads.memory.trim()
    kthreads.memory.park_timeout(0.01)
    try:
        thread = kthreads.Thread(target=function("nothing", "void(void)"), reuse=True)
        thread.start()
        thread.join()
        deadline = time.monotonic() + 20
        while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < deadline:
            pass
        assert not os.path.exists(f"/proc/self/task/{thread.native_id}")
        assert kthreads.memory.usage().parked == 0
    finally:
        kthreads.memory.park_timeout(2)


def test_trim_ends_parked_threads_and_gives_memory_back(function):
    with kthreads.Pool(1) as pool:
        pool.quiesce()  # ends the thread that collects native tasks, if another test has left it
    threads = [kthreads.Thread(target=function("nothing", "void(void)"), reuse=True) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del thread, threads
    assert kthreads.memory.usage().parked > 0
    deadline = time.monotonic() + 20
    while kthreads.memory.usage() != (0, 0, 0, 0, 0) and time.monotonic() < deadline:
        kthreads.memory.trim()
        gc.collect()
    assert kthreads.memory.usage() == (0, 0, 0, 0, 0)


# ---- pidfd ---------------------------------------------------------------------------------------------------------


def test_a_pidfd_is_readable_when_the_thread_has_ended(gate):
    thread = gate.thread()
    thread.start()
    try:
        fd = thread.fileno()
    except kthreads.UnsupportedError:
        pytest.skip("this kernel has no PIDFD_THREAD (Linux 6.9)")
    poll = select.poll()
    poll.register(thread, select.POLLIN)
    assert poll.poll(0) == []
    gate.open()
    assert poll.poll(20_000) == [(fd, select.POLLIN | select.POLLHUP)] or poll.poll(0)
    thread.join()


def test_a_thread_that_does_not_run_or_is_reusable_has_no_pidfd(gate):
    with pytest.raises(kthreads.ThreadStateError, match="only a running thread"):
        gate.thread().fileno()
    thread = gate.thread(reuse=True)
    thread.start()
    with pytest.raises(kthreads.UnsupportedError, match="reusable"):
        thread.fileno()
    gate.open()
    thread.join()


# ---- Python targets ------------------------------------------------------------------------------------------------


def test_the_value_that_a_python_target_returns_is_the_result():
    assert run(lambda x: x * 2, 21) == 42


def test_a_native_function_takes_no_keyword_arguments(function):
    with pytest.raises(TypeError, match="no keyword arguments"):
        kthreads.Thread(target=function("nothing", "void(void)"), kwargs={"a": 1})


def test_wrong_arguments_are_refused_when_the_thread_is_made(function):
    with pytest.raises(TypeError, match="takes 1 arguments"):
        kthreads.Thread(target=function("same_i32", "int(int)"), args=())


def test_a_python_thread_has_a_stack_like_threading_s(function):
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    expected = threading.stack_size() or (8 << 20 if soft == resource.RLIM_INFINITY else soft)
    assert run(function("use_stack", "int(size_t)").__call__, expected - (1 << 18)) >= 0


def test_a_subclass_may_name_its_attributes_as_it_likes():
    class Own(kthreads.Thread):
        def __init__(self):
            super().__init__()
            self.has_ended = self.was_started = self._settings = self._running = False

        def run(self):
            return 7

    thread = Own()
    thread.start()
    thread.join()
    assert thread.result == 7
