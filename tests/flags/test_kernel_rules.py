"""The rules for flags against the running kernel: every pair of flags and a random sample, tried by real calls."""

from __future__ import annotations

import functools
import itertools
import operator
import random
import signal

import pytest

from kthreads import CloneFlags
from kthreads.flags import Situation
from kthreads.flags.kernel_rules import problems
from kthreads.flags.rule_model import Request
from kthreads.flags.text import text
from kthreads.lab.ask_kernel import answers

pytestmark = pytest.mark.any_python

F = CloneFlags
NOBODY = 65534
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
AT_FDCWD, O_WRONLY = -100, 1
WHOLE_TEST_NS = 300 * 10**9  # who waits so long is killed or let go before

# Left out: CLONE_INTO_CGROUP, whose answer is for the cgroup's descriptor to decide.
FLAGS = [flag for flag in F if flag is not F.INTO_CGROUP]
YOUNG = F.AUTOREAP | F.NNP | F.PIDFD_AUTOKILL | F.EMPTY_MNTNS
UNSHARED = F.FS | F.FILES | F.SYSVSEM | F.NEWNS | F.NEWUTS | F.NEWIPC | F.NEWPID | F.NEWUSER | F.NEWCGROUP | F.NEWTIME
ENTERED = UNSHARED & ~(F.FS | F.FILES | F.SYSVSEM) | F.NEWNET


# ---- Who calls: steps before the call, and what the rules are told ------------------------------------------------


def as_we_are(_stage, _script):
    pass


def as_nobody(_stage, script):
    script("setresgid", NOBODY, NOBODY, NOBODY)
    script("setresuid", NOBODY, NOBODY, NOBODY)
    script("prctl", PR_SET_DUMPABLE, 1)  # or setns may not look at a child of its own


def write(script, path, content):
    descriptor = script("openat", AT_FDCWD, path, O_WRONLY)
    script("write", descriptor, content, len(content))
    script("close", descriptor)


def as_root_of_a_user_namespace(stage, script):
    as_nobody(stage, script)
    script("unshare", F.NEWUSER)
    write(script, "/proc/self/setgroups", "deny")
    write(script, "/proc/self/uid_map", f"0 {NOBODY} 1")
    write(script, "/proc/self/gid_map", f"0 {NOBODY} 1")


def without_capabilities_in_a_user_namespace(stage, script):
    as_root_of_a_user_namespace(stage, script)
    header = stage.place(content=(0x20080522).to_bytes(4, "little") + bytes(4))  # _LINUX_CAPABILITY_VERSION_3, self
    script("capset", header, stage.place(24))


def after_unsharing_pid(stage, script):
    """With an init that stays: without one the namespace is dead, and nothing can be made in it (ENOMEM)."""
    script("unshare", F.NEWPID)
    init = stage.script(2)
    init("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    enough = stage.place()
    init("await", enough, 1, WHOLE_TEST_NS)
    script.clone(init, 0, signal.SIGCHLD)
    return enough


def after_unsharing_time(_stage, script):
    script("unshare", F.NEWTIME)


def with_a_second_thread(stage, script):
    peer = stage.script(1)
    peer("await", stage.place(), 1, WHOLE_TEST_NS)
    script.clone(peer, F.VM | F.SIGHAND | F.THREAD | F.FS | F.FILES)


def with_a_child_that_shares_fs(stage, script):
    child = stage.script(2)
    child("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    child("await", stage.place(), 1, WHOLE_TEST_NS)
    script.clone(child, F.FS, signal.SIGCHLD)


PLAIN = {"sys_admin": False, "checkpoint_restore": False}
CALLERS = {
    "as we are": (as_we_are, 0, {}),
    "as nobody": (as_nobody, 0, PLAIN),
    "root of a user namespace": (as_root_of_a_user_namespace, 0, {"sys_admin": True}),
    "no capabilities in a user namespace": (without_capabilities_in_a_user_namespace, 0, PLAIN),
    "init of a PID namespace": (as_we_are, F.NEWPID, {"pid_init": True}),
    "after unshare(NEWPID)": (after_unsharing_pid, 0, {"pid_pending": True}),
    "after unshare(NEWTIME)": (after_unsharing_time, 0, {"time_pending": True}),
    "two threads": (with_a_second_thread, 0, {"threads": 2, "shares_fs": True}),
    "shared FS": (with_a_child_that_shares_fs, 0, {"shares_fs": True}),
}
FOR_CLONE = list(CALLERS)[:7]
FOR_UNSHARE = [name for name in CALLERS if name != "init of a PID namespace"]
FOR_SETNS = [name for name in FOR_UNSHARE if "after" not in name]
NEEDS_ROOT = {"init of a PID namespace", "after unshare(NEWPID)", "after unshare(NEWTIME)"}


def caller(name):
    """The steps, the flags and the situation of a caller; skips where this machine cannot have such a one."""
    prepare, flags, given = CALLERS[name]
    if name in NEEDS_ROOT and not Situation().sys_admin:
        pytest.skip("needs CAP_SYS_ADMIN to become such a caller")
    if "user namespace" in name and answers([Request(F.NEWUSER)], prepare=as_nobody) != [0]:
        pytest.skip("this machine lets nobody make user namespaces")
    return prepare, flags, Situation(**{"threads": 1, "pid_init": False, "shares_fs": False} | given)


# ---- What is called --------------------------------------------------------------------------------------------


def combined(flags):
    return functools.reduce(operator.or_, flags, F(0))


def pairs():
    return [first | second for first, second in itertools.combinations_with_replacement(FLAGS, 2)]


def sample_of_clones(chance, count):
    """More of those that come far: the kernel's first rules would refuse most of an even sample."""
    for _ in range(count):
        flags = combined(chance.sample(FLAGS, chance.choice((3, 4, 5, 6, 8, 10, 12))))
        if chance.random() < 0.7:
            flags &= ~(YOUNG | F.DETACHED)
        if chance.random() < 0.5:
            flags = flags & ~F.FS | F.VM
        if flags & F.THREAD and chance.random() < 0.5:
            flags |= F.SIGHAND | F.VM
        if chance.random() < 0.95:
            flags &= ~F.NEWNET  # takes the kernel longest by far
        yield flags


def clones(api):
    chance = random.Random(20240607)
    for flags in [*pairs(), *sample_of_clones(chance, 1000)]:
        exit_signal = chance.choice((0, 0, signal.SIGCHLD, signal.SIGUSR1))
        yield Request(flags & 0xFFFF_FF00 if api == "clone" else flags, api, exit_signal)


def changes(api, usual):
    chance = random.Random(1066)
    sample = [combined(chance.sample(list(usual), chance.choice((2, 3, 4, 6)))) for _ in range(80)]
    every = [flag | chance.choice(FLAGS) for flag in FLAGS]
    return [Request(flags, api) for flags in [*FLAGS, *every, *sample] if api == "unshare" or flags & 0xFFFF_FFFF]


@functools.cache
def setns_moves_others():
    """Whether the kernel is one of those that did what it refuses again from Linux 6.12.117 on."""
    return answers([Request(F.NEWNS | F.NEWUTS, "setns")], prepare=with_a_child_that_shares_fs) == [0]


def predicted(call, situation):
    for problem in problems(call, situation):
        if problem.errno and not ("would also move" in problem.sentence and setns_moves_others()):
            return problem.errno
    return 0


def assert_predicted(calls, name):
    prepare, flags, situation = caller(name)
    found = answers(calls, prepare=prepare, flags=flags)
    wrong = []
    for call, answer in zip(calls, found, strict=True):
        expected = predicted(call, situation)
        if answer != expected:
            wrong.append(f"{call.api}({text(call.flags, call.exit_signal)}): predicted {expected}, is {answer}")
    assert not wrong, "\n".join(wrong[:20])
    assert 0 < sum(answer == 0 for answer in found) < len(found)


@pytest.mark.parametrize("name", FOR_CLONE)
@pytest.mark.parametrize("api", ["clone", "clone3"])
def test_the_kernel_answers_clone_as_predicted(api, name):
    assert_predicted(list(clones(api)), name)


@pytest.mark.parametrize("name", FOR_UNSHARE)
def test_the_kernel_answers_unshare_as_predicted(name):
    assert_predicted(changes("unshare", UNSHARED), name)


@pytest.mark.parametrize("name", FOR_SETNS)
def test_the_kernel_answers_setns_as_predicted(name):
    assert_predicted(changes("setns", ENTERED), name)


def test_a_dead_pid_namespace_takes_no_more_children():
    """Why `after_unsharing_pid` leaves an init: what no rule says is what kthreads reports as the kernel's answer."""
    if not Situation().sys_admin:
        pytest.skip("needs CAP_SYS_ADMIN for unshare(CLONE_NEWPID)")

    def first_child_ends(stage, script):
        script("unshare", F.NEWPID)
        script.clone(stage.script(1), 0, signal.SIGCHLD)
        script("reap")

    assert answers([Request(F(0), "clone3", signal.SIGCHLD)], prepare=first_child_ends) == [12]  # ENOMEM
