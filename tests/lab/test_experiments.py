"""The laboratory's experiments, by what they observe; and that they leave nothing behind."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from own_threads import threads_of_process

import kthreads
from kthreads import CloneFlags
from kthreads.cli import main
from kthreads.flags import Situation
from kthreads.lab import EXPERIMENTS, Experiment, Variant
from kthreads.lab.experiment import accepted
from kthreads.lab.stage import Stage

pytestmark = pytest.mark.any_python

# What is seen without and with the flag, of one thing that the experiment looks at.
SEEN = {
    "VM": ("the creator reads afterwards", ("1", "42")),
    "FS": ("the creator is in", ("/usr", "/")),
    "FILES": ("the descriptor that the child closed", ("open", "EBADF")),
    "SIGHAND": ("SIGUSR1 in the creator", ("default", "ignored")),
    "PIDFD": ("signal 0 through it after the child was waited for", ("EBADF", "ESRCH")),
    "VFORK": ("the child has ended when clone returns", ("no", "yes")),
    "PARENT": ("the child's parent", ("the creator", "the creator's parent")),
    "THREAD": ("getpid in the child", ("its own", "the creator's")),
    "NEWNS": ("the creator", ("ENOENT", "finds the file")),
    "SYSVSEM": ("its value after the child has ended", ("1", "0")),
    "SETTLS": ("the child's thread pointer is", ("the creator's", "the one that clone was given")),
    "PARENT_SETTID": ("the creator finds", ("nothing", "the child's id")),
    "CHILD_CLEARTID": ("the word afterwards", ("1", "0")),
    "CHILD_SETTID": ("the child finds", ("nothing", "the child's id")),
    "NEWCGROUP": ("the child's namespace is", ("the creator's", "its own")),
    "NEWUTS": ("hostname in the creator", ("laboratory", "creator")),
    "NEWIPC": ("the child", ("finds it", "ENOENT")),
    "NEWUSER": ("unshare(CLONE_NEWUTS) in the child", ("EPERM", "allowed")),
    "NEWPID": ("a signal from the child to the creator's id", ("arrives", "ESRCH")),
    "NEWNET": ("the child's namespace is", ("the creator's", "its own")),
    "IO": ("the creator's level", ("4", "7")),
    "NEWTIME": ("ahead by, in seconds", ("0", "0", "1,000,000")),
    "CLEAR_SIGHAND": ("SIGUSR1 in the child", ("a handler", "default")),
    "INTO_CGROUP": ("the child starts", ("in its creator's", "in the new one")),
    "TWO_LIBRARIES": ("threads that the engine made", ("0", "4")),
    "EXIT_SIGNAL": ("the creator gets", ("no signal", "SIGCHLD", "SIGUSR1")),
}


def made(name):
    outcome = EXPERIMENTS[name]()
    if outcome.missing:
        pytest.skip(f"this machine: {outcome.missing}")
    return outcome


def test_every_experiment_has_an_expectation():
    assert set(SEEN) == set(EXPERIMENTS)


@pytest.mark.parametrize("name", SEEN)
def test_an_experiment_shows_what_the_flag_does(name):
    what, seen = SEEN[name]
    assert made(name).seen(what) == seen


def test_a_thread_cannot_be_waited_for_and_a_process_can():
    assert made("THREAD").seen("the creator's wait4") == ("returns the child", "fails: ECHILD")


def test_only_sigchld_makes_a_child_that_a_plain_wait_finds():
    outcome = made("EXIT_SIGNAL")
    assert outcome.seen("waitpid(child)") == ("ECHILD", "finds it", "ECHILD")
    assert outcome.seen("waitpid(child, __WALL)") == ("finds it", "(waited for already)", "finds it")


def test_a_program_notices_nothing_of_the_library_that_makes_its_threads():
    outcome = made("TWO_LIBRARIES")
    assert outcome.seen("the program prints") == ("79800", "79800")
    assert outcome.seen("its exit status") == ("0", "0")
    assert outcome.seen("flags that the engine gave clone")[1] == hex(outcome.variants[1].flags)


def test_a_new_network_has_a_loopback_that_is_down_and_nothing_else():
    outcome = made("NEWNET")
    assert (outcome.seen("interfaces")[1], outcome.seen("the loopback is")[1]) == ("lo", "down")


def test_a_new_user_namespace_gives_all_capabilities_to_a_nobody():
    outcome = made("NEWUSER")
    assert outcome.seen("capabilities in the child")[0] == "none"
    assert int(outcome.seen("capabilities in the child")[1], 16) & 1 << 21  # CAP_SYS_ADMIN
    assert outcome.seen("getuid in the child")[1] == "65534"


def test_experiments_leave_the_process_and_the_machine_as_they_were():
    def state():
        mounts = Path("/proc/self/mounts").read_text()
        objects = [Path(f"/proc/sysvipc/{kind}").read_text().count("\n") for kind in ("sem", "shm", "msg")]
        handlers = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        fds = sorted(os.listdir("/proc/self/fd"))
        return os.getcwd(), socket.gethostname(), mounts, objects, handlers, mask, fds

    before, threads = state(), threads_of_process()
    for experiment in EXPERIMENTS.values():
        experiment()
    assert state() == before
    while threads_of_process() - threads:  # the kernel clears a thread's word before it removes the thread
        time.sleep(0.001)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)  # __WALL


# setresuid, setresgid: the raw system calls concern the calling thread alone (setresuid(2), "C library/kernel differences").
SETRESUID, SETRESGID = {"x86_64": (117, 119), "aarch64": (147, 149)}[platform.machine()]
PR_SET_DUMPABLE = 4


def as_an_ordinary_user(function):
    """The result of a call on a thread that has given up its privileges, and ends with that."""
    libc = ctypes.CDLL(None, use_errno=True)

    def run():
        assert libc.syscall(SETRESGID, 1, 1, 1) == 0
        assert libc.syscall(SETRESUID, 1, 1, 1) == 0
        assert libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0  # or /proc/self belongs to root from here on
        assert not Situation().sys_admin
        return function()

    thread = kthreads.Thread(target=run if os.geteuid() == 0 else function)
    thread.start()
    thread.join()
    if thread.exception():
        raise thread.exception()
    return thread.result


@pytest.mark.parametrize("name", sorted(set(SEEN) - {"INTO_CGROUP"}))
def test_an_experiment_needs_no_privilege(name):
    outcome = as_an_ordinary_user(EXPERIMENTS[name])
    if "CLONE_NEWUSER" in outcome.missing or "cannot be executed" in outcome.missing:  # Python may be in root's home
        pytest.skip(f"this machine: {outcome.missing}")
    what, seen = SEEN[name]
    assert (outcome.missing, outcome.seen(what)) == ("", seen)


def test_what_the_machine_forbids_is_said_with_the_reason():
    outcome = as_an_ordinary_user(EXPERIMENTS["INTO_CGROUP"])
    assert outcome.rows == ()
    assert re.search("cannot create a cgroup|no cgroup hierarchy|needs Linux", outcome.missing)


def test_what_the_kernel_refuses_is_said_with_the_rule():
    def look(stage, variant):
        creator = stage.script()
        made = creator.clone(stage.script(), variant.flags)
        stage.play(creator)
        accepted(made, variant)

    flags = CloneFlags.THREAD | CloneFlags.VM
    outcome = Experiment("THREAD", "Is it made?", (Variant("so", flags, 0),), look)()
    assert "CLONE_THREAD needs CLONE_SIGHAND" in outcome.missing


def test_a_play_that_does_not_end_is_ended():
    with Stage() as stage:
        script = stage.script()
        script("await", stage.place(), 1, 10**12)
        with pytest.raises(TimeoutError):
            stage.play(script, patience=0.05)


def test_the_command_prints_what_was_seen(capsys):
    assert main.main(["lab", "clone_vm", "exit-signal"]) == 0
    printed = capsys.readouterr().out
    assert "clone3(CLONE_VM|SIGCHLD)" in printed
    assert re.search("the creator reads afterwards.*1 .*42", printed)
    assert "SIGUSR1" in printed


def test_the_command_knows_its_experiments(capsys):
    assert main.main(["lab", "frobnicate"]) == 2
    assert "CHILD_CLEARTID" in capsys.readouterr().err
