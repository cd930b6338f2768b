"""Children that nobody holds any more: each is reaped once, whoever drops it and whoever starts the next."""

from __future__ import annotations

import gc
import os
import select
import signal
import subprocess
import threading

import pytest
from programs import printed

import kthreads
from kthreads import CloneFlags, Process

WALL = 0x40000000
pause = kthreads.symbol(None, "pause", "int(void)")
getpid = kthreads.symbol(None, "getpid", "int(void)")

pytestmark = [
    pytest.mark.usefixtures("leaves_nothing_behind"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def drop_an_ended_one(start) -> int:
    started = start()
    assert select.select([started], [], [], 10)[0]
    return started.pid


def is_child(pid: int) -> bool:
    """Whether it runs, or is a zombie; it is not reaped by this."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT | WALL)
    except ChildProcessError:
        return False
    return True


STARTS = {
    "clone": lambda: kthreads.clone(getpid),
    "clone with shared memory": lambda: kthreads.clone(getpid, CloneFlags.VM),
    "clone of a callable": lambda: kthreads.clone(lambda: 0),
    "process": lambda: Process(["true"]),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("dropped", STARTS.values(), ids=STARTS)
def test_an_ended_one_is_reaped_by_the_next_start(dropped, start):
    pid = drop_an_ended_one(dropped)
    start().wait()
    assert not is_child(pid)


@pytest.mark.parametrize("start", [*STARTS.values(), lambda: subprocess.Popen(["true"])], ids=[*STARTS, "popen"])
def test_a_process_dropped_while_it_runs_is_reaped_by_any_start(start):
    process = Process(["cat"], stdin=subprocess.PIPE)
    pid, pidfd, stdin = process.pid, os.dup(process.fileno()), process.stdin
    del process
    assert is_child(pid)
    stdin.close()
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    start().wait()
    assert not is_child(pid)


def test_one_dropped_while_it_runs_goes_on_and_is_reaped_later():
    child = kthreads.clone(pause)
    pid, pidfd = child.pid, os.dup(child.fileno())
    del child
    kthreads.clone(getpid).wait()
    assert is_child(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    kthreads.clone(getpid).wait()
    assert not is_child(pid)


def test_one_dropped_in_a_cycle_is_reaped():
    child = kthreads.clone(getpid)
    pid = child.pid
    assert select.select([child], [], [], 10)[0]
    child.itself = child
    del child
    gc.collect()
    kthreads.clone(getpid).wait()
    assert not is_child(pid)


@pytest.mark.parametrize("start", ["kthreads.clone(getpid)", 'kthreads.Process(["true"])'])
def test_one_is_reaped_although_the_warning_is_an_error(start):
    script = f"""if True:
        import os, select, sys, kthreads
        sys.unraisablehook = lambda unraisable: print(unraisable.exc_type.__name__)
        getpid = kthreads.symbol(None, "getpid", "int(void)")
        started = {start}
        select.select([started], [], [])
        del started
        kthreads.clone(getpid).wait()
        try:
            print(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            print("none")
    """
    assert printed(script, options=("-W", "error")) == "ResourceWarning\nnone\n"


def test_six_threads_start_and_drop_at_once():
    script = """if True:
        import os, sys, threading, warnings, kthreads
        warnings.simplefilter("ignore")
        sys.setswitchinterval(1e-6)
        getpid = kthreads.symbol(None, "getpid", "int(void)")
        failures = []
        def run():
            try:
                for number in range(60):
                    kthreads.clone(getpid)                      # dropped, ended or not
                    kthreads.Process(["true"])
                    if kthreads.clone(getpid).wait() is None:
                        failures.append("no status")
            except BaseException as error:
                failures.append(repr(error))
        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(failures)
    """
    assert printed(script, options=("-W", "ignore")) == "[]\n"


def test_none_reaps_the_child_that_has_got_the_pid_of_one_that_somebody_else_reaped():
    """A handler of SIGCHLD that reaps all it finds, say. Then the kernel gives the pid to another."""
    if os.geteuid() != 0:
        pytest.skip("to choose a pid needs privilege")
    dropped = kthreads.clone(getpid)
    pid = dropped.pid
    os.waitpid(pid, 0)
    other = kthreads.clone(pause, set_tid=[pid])
    assert dropped.wait() == 0
    dropped.kill()
    assert other.poll() is None
    other.kill()
    assert select.select([other], [], [], 10)[0]
    del dropped
    kthreads.clone(getpid).wait()
    assert other.wait() == -signal.SIGKILL


def test_a_finalizer_may_start_and_drop_children():
    class Starts:
        def __del__(self):
            kthreads.clone(getpid)

    for _ in range(10):
        Starts()
        kthreads.clone(getpid).wait()
    while kthreads.processes.running.registered:
        kthreads.clone(getpid).wait()


def test_a_handler_may_start_drop_and_signal_whatever_the_thread_does_with_the_same_child():
    script = """if True:
        import random, signal, time, warnings, kthreads
        warnings.simplefilter("ignore")
        pause = kthreads.symbol(None, "pause", "int(void)")
        getpid = kthreads.symbol(None, "getpid", "int(void)")
        child = kthreads.clone(pause)
        process = kthreads.Process(["sleep", "1000"])
        count = 0
        def handle(*_):
            global count
            count += 1
            child.send_signal(0)
            process.send_signal(0)
            process.poll()
            kthreads.clone(getpid)
            if time.monotonic() < end:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 2e-3))   # so that they do not pile up
        end = time.monotonic() + 2
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 1e-3)
        while time.monotonic() < end:
            child.poll()
            process.poll()
            child.send_signal(0)
            kthreads.clone(getpid).wait()
            try:
                process.wait(0.001)
            except kthreads.processes.process.subprocess.TimeoutExpired:
                pass
        child.kill()
        process.kill()
        print(child.wait(), process.wait(), count > 10)
    """
    assert printed(script, options=("-W", "ignore")) == "-9 -9 True\n"


def test_a_forked_child_has_no_part_in_its_parents_children():
    dropped = kthreads.clone(pause)
    held = kthreads.clone(pause)
    pids, pidfd = (dropped.pid, held.pid), os.dup(dropped.fileno())
    del dropped

    def look():
        return 0 if not kthreads.processes.running.registered and kthreads.clone(getpid).wait() is not None else 1

    assert kthreads.clone(look).wait() == 0
    assert all(map(is_child, pids))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert held.wait() == -signal.SIGKILL
    assert select.select([pidfd], [], [], 10)[0]
    os.close(pidfd)
    kthreads.clone(getpid).wait()


def test_arguments_in_shared_memory_stay_until_the_end_of_a_dropped_child():
    script = """if True:
        import gc, os, select, warnings, kthreads
        warnings.simplefilter("ignore")
        read = kthreads.symbol(None, "read", "ssize_t(int, void *, size_t)")
        reader, writer = os.pipe()
        class Memory(bytearray):
            def __del__(self):
                print("freed", flush=True)
        child = kthreads.clone(read, kthreads.CloneFlags.VM, (reader, Memory(8), 8))
        pidfd = os.dup(child.fileno())
        del child
        gc.collect()
        print("runs", flush=True)
        os.write(writer, b"text")
        select.select([pidfd], [], [])
        kthreads.clone(read, 0, (-1, bytearray(1), 1)).wait()
        print("reaped", flush=True)
    """
    assert printed(script, options=("-W", "ignore")) == "runs\nfreed\nreaped\n"


def test_one_that_nobody_has_got_and_that_could_not_be_killed_is_killed_later(monkeypatch):
    """A program with set-user-id may be out of our reach for a while."""

    def refused(*_):
        raise PermissionError

    def fail(pid):
        pids.append(pid)
        raise LookupError

    pids = []
    with monkeypatch.context() as patches:
        patches.setattr(kthreads.processes.running.RunningProcess, "send", refused)
        with pytest.raises(LookupError):
            Process(["sleep", "60"], before_go=fail)
        kthreads.clone(getpid).wait()
        assert is_child(pids[0])
    while is_child(pids[0]):
        kthreads.clone(getpid).wait()


def test_threads_that_wait_for_one_child_all_get_its_status():
    for _ in range(20):
        child = kthreads.clone(lambda: 5)
        codes = []
        threads = [
            threading.Thread(target=lambda child=child, codes=codes: codes.append(child.wait())) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == [5] * 6
