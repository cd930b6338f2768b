"""The calls of clone, clone3, unshare and setns that the kernel refuses, in the order of its checks.

The order decides the errno of a call that breaks several rules. Sources: kernel/fork.c (copy_clone_args_from_user,
clone3_args_valid, copy_process, check_unshare_flags), kernel/nsproxy.c (copy_namespaces, create_new_namespaces,
validate_nsset), kernel/user_namespace.c (create_user_ns, userns_install), fs/namespace.c (mntns_install),
kernel/time/namespace.c (timens_install), clone(2), unshare(2), setns(2).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from errno import EINVAL, ENOSPC, ENOSYS, EPERM, EUSERS

from kthreads.flags.caller import Situation
from kthreads.flags.clone_flags import NAMESPACES, CloneFlags, all_but
from kthreads.flags.descriptions import FACTS, version_text
from kthreads.flags.rule_model import Problem, Request, Rule, Sentence
from kthreads.flags.text import signal_text, text

__all__ = ["problems"]

F = CloneFlags
_NONE = F(0)

# The first kernel versions of the flags that a supported kernel may lack.
_SINCE = {flag: fact.since for flag, fact in FACTS.items() if fact.since >= (4,)}

_LAST_SIGNAL = 64
_LOW_BYTE = F(0xFF)
_HIGH_HALF = F(0xFFFF_FFFF_0000_0000)
_PRIVILEGED = NAMESPACES & ~F.NEWUSER | F.EMPTY_MNTNS
_SINGLE_THREADED = F.NEWUSER | F.THREAD | F.SIGHAND | F.VM
_UNSHARE = NAMESPACES | F.VM | F.FS | F.FILES | F.SIGHAND | F.THREAD | F.SYSVSEM


_UNKNOWN = all_but(functools.reduce(operator.or_, F) | _LOW_BYTE)

_CLONES = ("clone", "clone3")
_MAKERS = ("clone", "clone3", "unshare")

_EVERY_BIT = -1

# Each rule with the bits that it looks at. A call without these bits cannot break the rule, so it is not judged: most
# calls pass few flags.
_rules: list[tuple[int, Rule]] = []


def _rule(
    apis: Sequence[str], errno: int, *, add: CloneFlags = _NONE, remove: Sequence[CloneFlags] = ()
) -> Callable[[Sentence], Sentence]:
    def enter(sentence: Sentence) -> Sentence:
        concerned = int(functools.reduce(operator.or_, remove)) if remove else _EVERY_BIT
        _rules.append((concerned, Rule(apis, errno, sentence, add, remove)))
        return sentence

    return enter


def problems(request: Request, situation: Situation) -> Iterator[Problem]:
    """The rules that a call breaks, in the order of the kernel's checks.

    Args:
        request: the call; its `api` is one of `APIS`.
        situation: the caller and the system.
    """
    bits = int(request.flags)
    for concerned, rule in _rules:
        problem = rule.judge(request, situation) if bits & concerned or concerned == _EVERY_BIT else None
        if problem is not None:
            yield problem


@_rule(("clone3",), ENOSYS)
def _kernel_has_clone3(_: Request, here: Situation) -> str | None:
    return f"clone3 needs Linux 5.3; this is {version_text(here.kernel)}: use clone" if here.kernel < (5, 3) else None


@_rule(("clone3",), EINVAL)
def _exit_signal_is_one(call: Request, _: Situation) -> str | None:
    if 0 <= call.exit_signal <= _LAST_SIGNAL:
        return None
    return f"an exit signal is a number from 0 (none) to {_LAST_SIGNAL}, not {call.exit_signal}"


@_rule(("clone3",), EINVAL, remove=(_UNKNOWN,))
def _flags_are_known(call: Request, _: Situation) -> str | None:
    unknown = call.has(_UNKNOWN)
    return f"{text(unknown)} is not a flag of clone3 up to Linux 7.1" if unknown else None


@_rule(("clone3", "unshare"), EINVAL, remove=tuple(_SINCE))
def _kernel_has_flags(call: Request, here: Situation) -> str | None:
    young = [flag for flag, since in _SINCE.items() if call.has(flag) and here.kernel < since]
    if not young:
        return None
    needs = ", ".join(f"{text(flag)} needs {version_text(_SINCE[flag])}" for flag in young)
    return f"{needs}; this is {version_text(here.kernel)}"


@_rule(("clone",), 0, remove=(_HIGH_HALF,))
def _flags_fit_into_clone(call: Request, _: Situation) -> str | None:
    lost = call.has(_HIGH_HALF)
    return f"clone would ignore {text(lost)}: use clone3" if lost else None


@_rule(("clone",), 0)
def _low_byte_is_signal(call: Request, _: Situation) -> str | None:
    if 0 <= call.exit_signal <= _LAST_SIGNAL:
        return None
    return (
        f"clone takes the low byte of the flags as the exit signal, and {call.exit_signal} is not a signal: "
        "CLONE_NEWTIME (0x80) is for clone3 and unshare"
    )


@_rule(("clone3",), EINVAL, remove=(F.DETACHED,))
def _no_detached(call: Request, _: Situation) -> str | None:
    if not call.has(F.DETACHED):
        return None
    return "CLONE_DETACHED has had no effect since Linux 2.6.2, and clone3 refuses it: omit it"


@_rule(("clone3",), EINVAL, remove=(F(0x7F),))
def _no_exit_signal_in_flags(call: Request, _: Situation) -> str | None:
    if not call.has(F(0x7F)):
        return None
    return "clone3 takes the exit signal separately: the low byte of its flags may contain only CLONE_NEWTIME (0x80)"


@_rule(("clone3",), EINVAL, remove=(F.CLEAR_SIGHAND, F.SIGHAND | F.THREAD))
def _handlers_shared_or_cleared(call: Request, _: Situation) -> str | None:
    if not call.has_all(F.SIGHAND | F.CLEAR_SIGHAND):
        return None
    return "CLONE_CLEAR_SIGHAND resets the child's signal handlers, and CLONE_SIGHAND shares them: choose one"


@_rule(("clone3",), EINVAL, remove=(F.THREAD, F.PARENT))
def _no_exit_signal(call: Request, _: Situation) -> str | None:
    if not call.exit_signal or not call.has(F.THREAD | F.PARENT):
        return None
    if call.has(F.THREAD):
        why = "CLONE_THREAD does not take an exit signal: a thread that ends sends no signal"
    else:
        why = "CLONE_PARENT does not take an exit signal: the child has its creator's"
    return f"{why}; omit {signal_text(call.exit_signal)}"


@_rule(("clone",), EINVAL, remove=(F.PARENT_SETTID, F.PIDFD))
def _one_place_for_pidfd_and_tid(call: Request, _: Situation) -> str | None:
    if not call.has_all(F.PIDFD | F.PARENT_SETTID):
        return None
    return "clone stores the pidfd at the same address as CLONE_PARENT_SETTID the tid: choose one, or use clone3"


@_rule(_CLONES, EINVAL, remove=(F.FS, F.NEWNS | F.EMPTY_MNTNS))
def _mounts_with_own_fs(call: Request, _: Situation) -> str | None:
    if not call.has(F.FS) or not call.has(F.NEWNS | F.EMPTY_MNTNS):
        return None
    return (
        f"{text(call.has(F.NEWNS | F.EMPTY_MNTNS))} cannot be combined with CLONE_FS: "
        "threads that share a root and working directory are in one mount namespace"
    )


@_rule(_CLONES, EINVAL, remove=(F.FS, F.NEWUSER))
def _user_namespace_with_own_fs(call: Request, _: Situation) -> str | None:
    if not call.has_all(F.FS | F.NEWUSER):
        return None
    return "CLONE_NEWUSER cannot be combined with CLONE_FS: root in the namespace could change a shared root directory"


@_rule(_CLONES, EINVAL, add=F.SIGHAND | F.VM, remove=(F.THREAD,))
def _thread_shares_handlers(call: Request, _: Situation) -> str | None:
    if not call.has(F.THREAD) or call.has(F.SIGHAND):
        return None
    return "CLONE_THREAD needs CLONE_SIGHAND, which needs CLONE_VM: threads share signal handlers and memory"


@_rule(_CLONES, EINVAL, add=F.VM, remove=(F.SIGHAND | F.THREAD,))
def _handlers_with_memory(call: Request, _: Situation) -> str | None:
    if not call.has(F.SIGHAND) or call.has(F.VM):
        return None
    return "CLONE_SIGHAND needs CLONE_VM: a handler is an address, which is valid in one memory only"


@_rule(_CLONES, EINVAL, remove=(F.PARENT,))
def _init_has_no_siblings(call: Request, here: Situation) -> str | None:
    if not call.has(F.PARENT) or not here.pid_init:
        return None
    return "CLONE_PARENT is refused to the init of a PID namespace: its sibling would have no parent to reap it"


@_rule(_CLONES, EINVAL, remove=(F.NEWUSER | F.NEWPID, F.THREAD))
def _threads_share_ids(call: Request, _: Situation) -> str | None:
    if not call.has(F.THREAD) or not call.has(F.NEWUSER | F.NEWPID):
        return None
    return f"CLONE_THREAD cannot be combined with {text(call.has(F.NEWUSER | F.NEWPID))}: threads of a process share it"


@_rule(_CLONES, EINVAL, remove=(F.THREAD,))
def _thread_stays_in_pid_namespace(call: Request, here: Situation) -> str | None:
    if not call.has(F.THREAD) or not here.pid_pending:
        return None
    return "CLONE_THREAD is refused after unshare(CLONE_NEWPID) or setns: children enter another PID namespace"


@_rule(_CLONES, EINVAL, remove=(F.VM | F.SIGHAND | F.THREAD,))
def _memory_stays_in_time_namespace(call: Request, here: Situation) -> str | None:
    if here.kernel >= (6, 2) or not call.has(F.VM) or not here.time_pending:
        return None
    return "CLONE_VM is refused after unshare(CLONE_NEWTIME) or setns: children enter another time namespace"


@_rule(_CLONES, EINVAL, remove=(F.DETACHED, F.PIDFD))
def _pidfd_without_detached(call: Request, _: Situation) -> str | None:
    if not call.has_all(F.PIDFD | F.DETACHED):
        return None
    return "CLONE_PIDFD cannot be combined with CLONE_DETACHED: omit CLONE_DETACHED, which has no effect"


@_rule(_CLONES, EINVAL, remove=(F.PIDFD,))
def _pidfd_of_thread(call: Request, here: Situation) -> str | None:
    if not call.has_all(F.PIDFD | F.THREAD) or here.kernel >= (6, 9):
        return None
    return f"CLONE_PIDFD with CLONE_THREAD needs Linux 6.9; this is {version_text(here.kernel)}"


@_rule(("clone3",), EINVAL, remove=(F.AUTOREAP | F.NNP | F.PIDFD_AUTOKILL, F.THREAD))
def _supervision_is_of_processes(call: Request, _: Situation) -> str | None:
    of_processes = call.has(F.AUTOREAP | F.NNP | F.PIDFD_AUTOKILL)
    if not call.has(F.THREAD) or not of_processes:
        return None
    return f"CLONE_THREAD cannot be combined with {text(of_processes)}, which is for processes"


@_rule(("clone3",), EINVAL, remove=(F.AUTOREAP | F.PIDFD_AUTOKILL,))
def _autoreap_without_exit_signal(call: Request, _: Situation) -> str | None:
    if not call.has(F.AUTOREAP) or not call.exit_signal:
        return None
    return (
        f"CLONE_AUTOREAP does not take an exit signal, because no process waits: omit {signal_text(call.exit_signal)}"
    )


@_rule(("clone3",), EINVAL, add=F.PIDFD | F.AUTOREAP, remove=(F.PIDFD_AUTOKILL,))
def _autokill_has_pidfd(call: Request, _: Situation) -> str | None:
    if not call.has(F.PIDFD_AUTOKILL) or call.has_all(F.PIDFD | F.AUTOREAP):
        return None
    return "CLONE_PIDFD_AUTOKILL needs CLONE_PIDFD, the descriptor whose closing kills the child, and CLONE_AUTOREAP"


@_rule(("clone3",), EPERM, add=F.NNP, remove=(F.PIDFD_AUTOKILL,))
def _autokill_gains_no_privileges(call: Request, here: Situation) -> str | None:
    if not call.has(F.PIDFD_AUTOKILL) or call.has(F.NNP) or here.sys_admin:
        return None
    return "CLONE_PIDFD_AUTOKILL needs CAP_SYS_ADMIN or a child that gains no privileges: add CLONE_NNP"


@_rule(("unshare",), EINVAL, remove=(all_but(_UNSHARE),))
def _unshare_takes(call: Request, _: Situation) -> str | None:
    other = call.has(all_but(_UNSHARE))
    if not other:
        return None
    return f"unshare does not take {text(other)}: it takes CLONE_FS, CLONE_FILES, CLONE_SYSVSEM and the namespaces"


@_rule(("unshare",), EINVAL, remove=(_SINGLE_THREADED,))
def _unshare_in_one_thread(call: Request, here: Situation) -> str | None:
    if not call.has(_SINGLE_THREADED) or here.threads == 1:
        return None
    return (
        f"unshare({text(call.has(_SINGLE_THREADED))}) needs a process with one thread, and this one has "
        f"{here.threads}: create it for a child process instead"
    )


@_rule(("setns",), 0, remove=(_HIGH_HALF,))
def _setns_takes_32_bits(call: Request, _: Situation) -> str | None:
    lost = call.has(_HIGH_HALF)
    return f"setns would ignore {text(lost)}: it takes the namespaces, CLONE_NEW*" if lost else None


@_rule(("setns",), EINVAL, remove=(all_but(NAMESPACES | _HIGH_HALF),))
def _setns_takes(call: Request, _: Situation) -> str | None:
    other = call.has(all_but(NAMESPACES | _HIGH_HALF))
    return f"setns does not take {text(other)}: it takes the namespaces, CLONE_NEW*" if other else None


@_rule(("setns",), EINVAL, remove=(F.NEWUSER,))
def _setns_in_one_thread(call: Request, here: Situation) -> str | None:
    if not call.has(F.NEWUSER) or here.threads == 1:
        return None
    return (
        f"setns(CLONE_NEWUSER) needs a process with one thread, and this one has {here.threads}: "
        "enter the namespace in a child process"
    )


@_rule(_MAKERS, EPERM, remove=(F.NEWUSER,))
def _user_namespaces_allowed(call: Request, here: Situation) -> str | None:
    if not call.has(F.NEWUSER) or here.user_namespaces:
        return None
    return "CLONE_NEWUSER needs CAP_SYS_ADMIN here: the sysctl kernel.unprivileged_userns_clone is 0"


@_rule(_MAKERS, ENOSPC, remove=(F.NEWUSER,))
def _user_namespaces_left(call: Request, here: Situation) -> str | None:
    return _say_exhausted(call.has(F.NEWUSER) and call.has(here.exhausted & F.NEWUSER))


@_rule(_MAKERS, EPERM, add=F.NEWUSER, remove=(_PRIVILEGED,))
def _namespaces_by_privilege(call: Request, here: Situation) -> str | None:
    wanted = call.has(_PRIVILEGED)
    if not wanted or call.has(F.NEWUSER) or here.sys_admin:
        return None
    needs = f"{text(wanted)} {'needs' if len(wanted) == 1 else 'need'} CAP_SYS_ADMIN"
    if call.api != "unshare" and call.has(F.THREAD):
        return f"{needs}: a thread has no user namespace of its own, so use a process with CLONE_NEWUSER"
    if call.api == "unshare" and here.threads > 1:
        return (
            f"{needs} or a new user namespace, which a process with several threads cannot enter: "
            "create it for a child process, with CLONE_NEWUSER"
        )
    return f"{needs} or a new user namespace: add CLONE_NEWUSER"


@_rule(("setns",), EPERM, remove=(_PRIVILEGED,))
def _setns_by_privilege(call: Request, here: Situation) -> str | None:
    wanted = call.has(_PRIVILEGED)
    if not wanted or call.has(F.NEWUSER) or here.sys_admin:
        return None
    return (
        f"setns({text(wanted)}) needs CAP_SYS_ADMIN in the caller's user namespace and in the one that owns the target: "
        "enter that user namespace too (CLONE_NEWUSER)"
    )


@_rule(("setns",), EINVAL, remove=(F.NEWNS | F.NEWUSER,))
def _setns_with_own_fs(call: Request, here: Situation) -> str | None:
    refused = call.has(F.NEWUSER) or (call.has(F.NEWNS) if call.has(NAMESPACES) == F.NEWNS else _NONE)
    if not refused or here.shares_fs is not True:
        return None
    return f"setns({text(refused)}) needs a root and working directory that no other thread shares: call unshare(CLONE_FS) first"


# Kernels from 5.8 on allowed it, until "mount: refuse setns() with a shared fs_struct again" (Linux 6.12.117).
@_rule(("setns",), EINVAL, remove=(F.NEWNS,))
def _setns_moves_no_others(call: Request, here: Situation) -> str | None:
    if not call.has(F.NEWNS) or call.has(NAMESPACES) == F.NEWNS or here.shares_fs is not True:
        return None
    return (
        "setns(CLONE_NEWNS) with other namespaces would also move the root and working directory of the threads "
        "that share them: call unshare(CLONE_FS) first"
    )


@_rule(("setns",), EUSERS, remove=(F.NEWTIME,))
def _setns_time_in_one_thread(call: Request, here: Situation) -> str | None:
    if not call.has(F.NEWTIME) or here.threads == 1:
        return None
    return (
        f"setns(CLONE_NEWTIME) needs a process with one thread, and this one has {here.threads}: "
        "enter the namespace in a child process"
    )


@_rule(_CLONES, EINVAL, remove=(F.SYSVSEM, F.NEWIPC))
def _ipc_with_own_undo_list(call: Request, _: Situation) -> str | None:
    if not call.has_all(F.NEWIPC | F.SYSVSEM):
        return None
    return "CLONE_NEWIPC cannot be combined with CLONE_SYSVSEM: the semaphores to undo are in the old namespace"


@_rule(_MAKERS, EINVAL, remove=(F.NEWPID,))
def _one_pid_namespace_at_a_time(call: Request, here: Situation) -> str | None:
    if not call.has(F.NEWPID) or not here.pid_pending:
        return None
    return (
        "CLONE_NEWPID is refused after unshare(CLONE_NEWPID) or setns: "
        "the thread is not in the PID namespace that its children enter, so call it in a child"
    )


@_rule(_MAKERS, ENOSPC, remove=(NAMESPACES & ~F.NEWUSER,))
def _namespaces_left(call: Request, here: Situation) -> str | None:
    wanted = call.has(NAMESPACES & ~F.NEWUSER)
    return _say_exhausted(wanted and wanted & here.exhausted)


def _say_exhausted(wanted: CloneFlags) -> str | None:
    if not wanted:
        return None
    return f"cannot create {text(wanted)}: its limit in /proc/sys/user (max_*_namespaces) is 0"


@_rule(_CLONES, EPERM, add=F.NEWUSER | F.NEWPID)
def _set_tid_by_privilege(call: Request, here: Situation) -> str | None:
    if not call.set_tid or here.sys_admin or here.checkpoint_restore or call.has_all(F.NEWUSER | F.NEWPID):
        return None
    return "set_tid needs CAP_CHECKPOINT_RESTORE in the user namespace that owns the PID namespace"
