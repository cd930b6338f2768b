"""kthreads.clone: processes with chosen flags. The cases follow the kernel's own tests of clone3 (tools/testing/selftests)."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading

import pytest

import kthreads
from kthreads import CloneFlags, ProcessStartError
from kthreads.processes import request

ROOT = os.geteuid() == 0
CGROUP = next(
    (path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{path}/cgroup.procs")), ""
)

getppid = kthreads.symbol(None, "getppid", "int(void)")
getpid = kthreads.symbol(None, "getpid", "int(void)")
pause = kthreads.symbol(None, "pause", "int(void)")
abort = kthreads.symbol(None, "abort", "void(void)")

NO_VM = [CloneFlags(0), CloneFlags.VFORK, CloneFlags.FILES, CloneFlags.FS, CloneFlags.SYSVSEM, CloneFlags.IO]
WITH_VM = [
    CloneFlags.VM,
    CloneFlags.VM | CloneFlags.VFORK,
    CloneFlags.VM | CloneFlags.SIGHAND,
    CloneFlags.VM | CloneFlags.FILES | CloneFlags.FS | CloneFlags.SIGHAND,
]


pytestmark = pytest.mark.usefixtures("leaves_nothing_behind")


def user_namespaces() -> bool:
    try:
        kthreads.clone(getpid, CloneFlags.NEWUSER).wait()
    except kthreads.KThreadsError:
        return False
    return True


needs_root = pytest.mark.skipif(not ROOT, reason="needs CAP_SYS_ADMIN")
needs_user_namespaces = pytest.mark.skipif(not user_namespaces(), reason="this system allows no user namespaces here")


@pytest.mark.parametrize("flags", NO_VM + WITH_VM, ids=repr)
def test_a_native_function_s_result_is_the_exit_status(flags):
    assert kthreads.clone(getppid, flags).wait() == os.getpid() & 0xFF


def test_arguments_reach_a_native_function():
    absolute = kthreads.symbol(None, "abs", "int(int)")
    assert kthreads.clone(absolute, 0, (-41,)).wait() == 41
    assert kthreads.clone(absolute, CloneFlags.VM, (-42,)).wait() == 42


@pytest.mark.parametrize("exit_signal", [0, signal.SIGCHLD, signal.SIGUSR1, signal.SIGRTMIN + 3, 64])
@pytest.mark.parametrize("flags", [CloneFlags(0), CloneFlags.VM], ids=repr)
def test_any_exit_signal_can_be_waited_for(flags, exit_signal):
    old = signal.signal(exit_signal, signal.SIG_IGN) if exit_signal not in (0, signal.SIGCHLD) else None
    try:
        assert kthreads.clone(getppid, flags, exit_signal=exit_signal).wait() == os.getpid() & 0xFF
    finally:
        if old is not None:
            signal.signal(exit_signal, old)


def test_the_exit_signal_arrives():
    arrived = threading.Event()
    old = signal.signal(signal.SIGUSR2, lambda *_: arrived.set())
    try:
        kthreads.clone(getpid, exit_signal=signal.SIGUSR2).wait()
        assert arrived.wait(5)
    finally:
        signal.signal(signal.SIGUSR2, old)


def test_without_vm_memory_is_a_copy_and_with_it_the_same(native_library):
    store = kthreads.symbol(None, "memset", "void *(void *, int, size_t)")
    memory = bytearray(1)
    kthreads.clone(store, 0, (memory, 7, 1)).wait()
    assert memory == b"\0"
    kthreads.clone(store, CloneFlags.VM, (memory, 7, 1)).wait()
    assert memory == b"\7"


def test_a_child_that_shares_memory_has_an_errno_of_its_own():
    close = kthreads.symbol(None, "close", "int(int)")
    children = [kthreads.clone(close, CloneFlags.VM, (-1,)) for _ in range(50)]
    assert {child.wait() for child in children} == {0xFF}


@pytest.mark.parametrize(("flag", "stays"), [(CloneFlags.FILES, False), (CloneFlags(0), True)], ids=repr)
def test_descriptors_are_shared_with_files_alone(flag, stays):
    close = kthreads.symbol(None, "close", "int(int)")
    reader, writer = os.pipe()
    os.close(writer)
    assert kthreads.clone(close, flag, (reader,)).wait() == 0
    if stays:
        os.close(reader)
    else:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(reader)


@pytest.mark.parametrize(("flag", "changes"), [(CloneFlags.FS, True), (CloneFlags(0), False)], ids=repr)
def test_the_working_directory_is_shared_with_fs_alone(flag, changes, tmp_path):
    chdir = kthreads.symbol(None, "chdir", "int(const char *)")
    before = os.getcwd()
    assert kthreads.clone(chdir, flag, (str(tmp_path),)).wait() == 0
    changed = os.getcwd() != before
    os.chdir(before)
    assert changed is changes


def test_a_signal_that_ends_the_child_is_a_negative_returncode():
    assert kthreads.clone(abort, CloneFlags.CLEAR_SIGHAND).wait() == -signal.SIGABRT  # pytest's faulthandler, too
    child = kthreads.clone(pause)
    child.terminate()
    assert child.wait() == -signal.SIGTERM
    child.kill()  # after the end: nothing happens


def test_wait_gives_up_after_its_timeout():
    with kthreads.clone(pause) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.01)
        assert child.poll() is None
        child.kill()
    assert child.returncode == -signal.SIGKILL


def test_a_child_can_be_awaited():
    async def two():
        children = [kthreads.clone(getpid, flags) for flags in (0, CloneFlags.VM)]
        return [await asyncio.gather(child, child) for child in children], [child.pid for child in children]

    codes, pids = asyncio.run(two())
    assert codes == [[pid & 0xFF] * 2 for pid in pids]


def test_threads_may_wait_for_one_child_at_once():
    child = kthreads.clone(pause)
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(child.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    child.kill()
    for thread in threads:
        thread.join()
    assert codes == [-signal.SIGKILL] * 8


def test_the_pidfd_tells_the_end():
    child = kthreads.clone(pause)
    assert select.select([child], [], [], 0) == ([], [], [])
    child.kill()
    assert select.select([child], [], [], 5)[0] == [child]
    child.wait()
    with pytest.raises(kthreads.ProcessStateError):
        child.fileno()


@pytest.mark.parametrize("api", ["clone3", "clone"])
def test_handlers_that_are_shared_are_not_reset(monkeypatch, api):
    """They are the parent's."""
    monkeypatch.setattr(request, "_api", lambda: api)
    flags = CloneFlags.CLEAR_SIGHAND | CloneFlags.SIGHAND | CloneFlags.VM
    with pytest.raises(kthreads.FlagError, match="CLONE_CLEAR_SIGHAND"):
        kthreads.clone(pause, flags)


def test_a_status_that_another_wait_took_is_0():
    child = kthreads.clone(abort, CloneFlags.CLEAR_SIGHAND)
    os.waitpid(child.pid, 0)
    assert child.wait() == 0


def test_a_child_of_our_parent_is_waited_for_by_its_pidfd():
    child = kthreads.clone(pause, CloneFlags.PARENT, exit_signal=0)
    assert child.poll() is None
    child.kill()
    assert child.wait(10) == 0  # its status is our parent's


def test_a_child_that_nobody_waits_for_warns_and_is_reaped_by_a_later_clone():
    child = kthreads.clone(getpid)
    select.select([child], [], [], 5)
    with pytest.warns(ResourceWarning, match="not waited for"):
        del child
    kthreads.clone(getpid).wait()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# ---- Python callables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "status"),
    [(None, 0), (7, 7), (SystemExit(9), 9), (SystemExit("text"), 1), (ValueError("no"), 1)],
    ids=repr,
)
def test_a_python_callable_s_result_is_the_exit_status(returned, status, capfd):
    def run():
        if isinstance(returned, BaseException):
            raise returned
        return returned

    assert kthreads.clone(run).wait() == status
    error = capfd.readouterr().err
    assert ("ValueError: no" in error) == isinstance(returned, ValueError)


def test_python_s_fork_hooks_run_in_the_child():
    """os.register_at_fork cannot be undone: in a process of its own."""
    script = """if True:
        import os, threading, kthreads
        order = []
        os.register_at_fork(before=lambda: order.append("before"), after_in_child=lambda: order.append("child"),
                            after_in_parent=lambda: order.append("parent"))
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        def run():
            same = threading.get_native_id() == os.getpid()
            return 0 if order == ["before", "child"] and threading.active_count() == 1 and same else 1
        print(kthreads.clone(run).wait(), order)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0 ['before', 'parent']\n", "")


def test_a_python_child_has_a_whole_libc(native_library):
    """malloc under load in other threads, threads and children of its own, subprocesses."""

    def run():
        thread = kthreads.Thread(target=kthreads.symbol(native_library, "same_i32", "int(int)"), args=(5,))
        thread.start()
        thread.join()
        assert thread.result == 5
        assert kthreads.clone(lambda: 6).wait() == 6
        assert subprocess.run(["true"], check=False).returncode == 0
        assert len({bytearray(1 << 20)[0] for _ in range(20)}) == 1
        return 0

    stop = threading.Event()

    def load():
        while not stop.is_set():
            os.listdir("/")
            bytearray(300_000)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert [kthreads.clone(run).wait(30) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_python_child_of_a_kernel_thread_knows_its_tid():
    def run():
        return 0 if threading.get_native_id() == os.getpid() == thread.native_id else 1

    codes = []
    thread = kthreads.Thread(target=lambda: codes.append(kthreads.clone(run).wait()))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize(
    ("flags", "options", "words"),
    [
        (CloneFlags.FILES, {}, "fork"),
        (CloneFlags.VM, {}, "fork"),
        (CloneFlags.VFORK, {}, "fork"),
        (0, {"exit_signal": signal.SIGUSR1}, "SIGCHLD"),
        (CloneFlags.THREAD, {}, "Thread"),
        (CloneFlags.SETTLS, {}, "kthreads sets it"),
    ],
    ids=repr,
)
def test_what_python_cannot_run_with_is_refused_with_the_reason(flags, options, words):
    with pytest.raises(ValueError, match=words):
        kthreads.clone(lambda: None, flags, **options)


# ---- Namespaces, cgroups, ids -----------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("python", [False, True], ids=["native", "python"])
def test_in_a_pid_namespace_the_child_is_process_1(python):
    assert kthreads.clone((lambda: os.getpid()) if python else getpid, CloneFlags.NEWPID).wait() == 1


@needs_user_namespaces
@pytest.mark.parametrize("python", [False, True], ids=["native", "python"])
def test_ids_are_mapped_before_the_function_begins(python):
    geteuid = kthreads.symbol(None, "geteuid", "unsigned(void)")
    child = kthreads.clone(
        (lambda: os.geteuid()) if python else geteuid,
        CloneFlags.NEWUSER,
        uid_map=f"9 {os.geteuid()} 1",
        gid_map=f"9 {os.getegid()} 1",
    )
    assert child.wait() == 9


@needs_user_namespaces
@pytest.mark.parametrize("flags", [CloneFlags(0), CloneFlags.VM], ids=["copy", "shared memory"])
def test_a_child_whose_maps_are_refused_leaves_nothing(flags):
    def refused():
        with pytest.raises(ProcessStartError, match="cannot write uid_map"):
            kthreads.clone(getpid, flags | CloneFlags.NEWUSER, uid_map="nonsense")

    refused()
    stacks = kthreads.memory.usage().stacks
    for _ in range(5):
        refused()
    assert kthreads.memory.usage().stacks == stacks


@needs_user_namespaces
def test_setgroups_is_denied_before_a_map_of_groups():
    def run():
        with open("/proc/self/setgroups") as file:
            return 0 if file.read() == "deny\n" else 1

    assert (
        kthreads.clone(run, CloneFlags.NEWUSER, gid_map=f"0 {os.getegid()} 1", uid_map=f"0 {os.geteuid()} 1").wait()
        == 0
    )


@needs_root
@pytest.mark.parametrize("python", [False, True], ids=["native", "python"])
def test_a_pid_can_be_chosen(python):
    """As clone3_set_tid.c: one that is free, then one that is taken."""
    ended = kthreads.clone(getpid)
    ended.wait()
    chosen = ended.pid
    child = kthreads.clone((lambda: 0) if python else getpid, set_tid=[chosen])
    assert child.pid == chosen
    child.wait()
    with pytest.raises(ProcessStartError) as caught:
        kthreads.clone((lambda: 0) if python else getpid, set_tid=[os.getpid()])
    assert caught.value.errno == 17
    assert "clone" in caught.value.step


@pytest.mark.parametrize("python", [False, True], ids=["native", "python"])
def test_a_child_is_born_in_its_cgroup(python):
    """As clone3_cap... of the kernel's cgroup tests: CLONE_INTO_CGROUP."""
    if not CGROUP or not os.access(CGROUP, os.W_OK):
        pytest.skip("no cgroup (version 2) that can be written to")
    path = f"{CGROUP}/kthreads-test-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    try:

        def run():
            signal.pause()

        child = kthreads.clone(run if python else pause, cgroup=path)
        with open(f"{path}/cgroup.procs") as file:
            assert file.read().split() == [str(child.pid)]
        child.kill()
        child.wait()
    finally:
        os.rmdir(path)


def test_what_the_kernel_refuses_comes_back_with_its_errno():
    with pytest.raises((ProcessStartError, ValueError)) as caught:
        kthreads.clone(getpid, CloneFlags.SIGHAND)
    assert not isinstance(caught.value, OSError) or caught.value.errno == 22


def test_handlers_are_cleared_with_clear_sighand():
    """As clone3_clear_sighand.c: handlers become default actions, what is ignored stays ignored."""

    def run():
        return 0 if signal_handlers() == {"USR1": 0, "USR2": 1} else 1

    old = [signal.signal(signal.SIGUSR1, lambda *_: None), signal.signal(signal.SIGUSR2, signal.SIG_IGN)]
    try:
        assert kthreads.clone(run, CloneFlags.CLEAR_SIGHAND).wait() == 0
        assert kthreads.clone(run).wait() == 1
    finally:
        signal.signal(signal.SIGUSR1, old[0])
        signal.signal(signal.SIGUSR2, old[1])


def signal_handlers() -> dict[str, int]:
    """0: default, 1: ignored, 2: caught, as the kernel knows it."""
    with open("/proc/self/status") as file:
        masks = {line.split(":")[0]: int(line.split()[1], 16) for line in file if line.startswith(("SigIgn", "SigCgt"))}
    return {
        name: 1 if masks["SigIgn"] >> number - 1 & 1 else 2 if masks["SigCgt"] >> number - 1 & 1 else 0
        for name, number in (("USR1", signal.SIGUSR1), ("USR2", signal.SIGUSR2))
    }
