"""A description of each flag: the one text for `explain`, the laboratory and the documentation.

Sources: clone(2), unshare(2), setns(2), namespaces(7) and the pages it names, and the kernel's kernel/fork.c.
"""

from __future__ import annotations

from typing import NamedTuple

from kthreads.flags.clone_flags import CloneFlags

__all__ = ["EXIT_SIGNAL", "FACTS", "Fact", "version_text"]

F = CloneFlags


class Fact(NamedTuple):
    """One flag of clone.

    Attributes:
        since: the first kernel that has the flag.
        given: what the flag does.
        absent: what happens without the flag.
        why: why the flag exists and when it matters, as a paragraph.
        privilege: the privilege that the flag needs; empty for none.
        unshared: what unshare does with the flag, where that differs from `given`.
    """

    since: tuple[int, ...]
    given: str
    absent: str
    why: str
    privilege: str = ""
    unshared: str = ""


def version_text(version: tuple[int, ...]) -> str:
    """``Linux 5.3`` for (5, 3)."""
    return "Linux " + ".".join(str(part) for part in version)


_ADMIN = "CAP_SYS_ADMIN in the user namespace, or CLONE_NEWUSER in the same call"

FACTS = {
    F.VM: Fact(
        (2, 0),
        "the child shares the memory: each sees what the other writes",
        "the child has a copy of the memory; the kernel copies a page when one of the two first writes to it",
        "It makes the difference between a thread and a process. Data in shared memory needs no copying and no pipe, "
        "but one stray write can crash both. Without the flag the kernel copies the page tables. The more memory the "
        "creator has, the longer that takes: this is the cost of fork, and the reason why posix_spawn and vfork share "
        "the memory until exec.",
        unshared="the call fails if the caller shares its memory: unshare cannot copy it",
    ),
    F.FS: Fact(
        (2, 0),
        "the child shares the root directory, the working directory and the umask: chdir in one changes both",
        "the child has its own root directory, working directory and umask, which start as copies",
        "A relative path is resolved from the working directory, so a program whose threads all share one cannot walk "
        "two trees by relative paths. pthread_create always sets CLONE_FS. A clone without it gives each thread its "
        "own working directory, which file servers use to act on behalf of each client.",
        unshared="the thread gets its own root directory, working directory and umask",
    ),
    F.FILES: Fact(
        (2, 0),
        "the child shares the descriptor table: a descriptor that one opens or closes is open or closed in both",
        "the child has its own table with the same open files: closing a descriptor in one leaves the other's open",
        "The table maps a number such as 3 to an open file. A shared table lets one thread open a file and another "
        "read it. With its own table a child can close all descriptors before exec without affecting its creator. The "
        "open file behind both entries, with its position, is still shared.",
        unshared="the thread gets its own descriptor table",
    ),
    F.SIGHAND: Fact(
        (2, 0),
        "the child shares the table of signal handlers: sigaction in one holds for both",
        "the child has its own table of signal handlers, which starts as a copy",
        "A handler is the address of a function, so the table can be shared only with the memory. Each thread keeps its "
        "own signal mask and its own pending signals. A program that installs a handler for SIGINT expects it to hold "
        "for all its threads: for this reason CLONE_THREAD requires this flag.",
        unshared="the call fails if the caller shares its signal handlers: unshare cannot copy them",
    ),
    F.PIDFD: Fact(
        (5, 2),
        "the creator gets a descriptor that refers to this child, and never to another process",
        "the creator knows the child by its id, which the kernel may reuse after the child has been waited for",
        "The kernel reuses pids, so a late kill may hit an unrelated process. A signal sent through a pidfd cannot. "
        "A process can poll a pidfd for the child's end, wait for the child by it and pass it to another process, "
        "whatever the exit signal is.",
    ),
    F.PTRACE: Fact(
        (2, 2),
        "the tracer of the creator traces the child too",
        "the child is traced only if the tracer asked to follow clones",
        "Debuggers use it to follow a program into its children. Without a tracer it has no effect.",
    ),
    F.VFORK: Fact(
        (2, 2),
        "the creator is suspended until the child executes a program or ends",
        "the creator and the child run at the same time",
        "With CLONE_VM the child runs in its creator's memory, and on the creator's stack if it has none of its own. "
        "Because the creator is suspended, it never sees a half-prepared state. This is how vfork and posix_spawn "
        "start a program without copying page tables.",
    ),
    F.PARENT: Fact(
        (2, 3, 12),
        "the child's parent is the creator's parent: it is a sibling",
        "the creator is the parent: it gets the exit signal and can wait for the child",
        "The parent gets the exit signal and may wait for the child. A helper that starts a program on behalf of its "
        "own parent can then exit, and the program is still a child of that parent. Container runtimes do this.",
    ),
    F.THREAD: Fact(
        (2, 4),
        "the child is a thread of the same process: it has the same pid, exit_group ends it, and no process can wait for it",
        "the child is a process: it has its own pid, ends by itself, and its parent can wait for it",
        "POSIX requires that all threads have one pid, that kill signals them as one, and that exec and exit end them "
        "all. The kernel calls this a thread group. Its members must share signal handlers and memory. They cannot be "
        "waited for and have no exit signal: libc learns of a thread's end from the word that CLONE_CHILD_CLEARTID "
        "clears.",
        unshared="the call fails if the process has more than one thread",
    ),
    F.NEWNS: Fact(
        (2, 4, 19),
        "a new mount namespace: a mount made there is not visible elsewhere, unless it propagates",
        "the child sees the same mounts",
        "A mount namespace is a list of mounts. The new one is a copy, so a child can mount over /tmp or /proc, or "
        "change the root, without changing the host. Mounts below a shared mount still propagate between the copies: "
        "make it private first, recursively.",
        _ADMIN,
    ),
    F.SYSVSEM: Fact(
        (2, 5, 10),
        "the child shares the list of semaphore operations to undo (SEM_UNDO)",
        "the child has its own list, initially empty; the kernel undoes the operations when the child ends",
        "With SEM_UNDO the kernel undoes a process's operations on a System V semaphore when the process ends. With a "
        "shared list this happens when the last thread that shares it ends, as POSIX threads expect. With its own list, "
        "a thread that ends releases only its own semaphores.",
        unshared="the kernel undoes the operations in the thread's list now, and the thread gets a new one",
    ),
    F.SETTLS: Fact(
        (2, 5, 32),
        "the kernel sets the child's thread pointer: the child has its own errno and thread-local variables",
        "the child has the creator's thread pointer: with CLONE_VM both use the same errno and thread-local variables",
        "C code finds errno, malloc's cache and the stack protector's canary through one register. Two threads with the "
        "same value in that register overwrite each other's data. libc allocates a block for each thread, and the "
        "kernel sets the register before the thread's first instruction.",
    ),
    F.PARENT_SETTID: Fact(
        (2, 5, 49),
        "the kernel stores the child's id at an address in the creator's memory before clone returns",
        "the creator learns the id only from the return value",
        "With shared memory the child can read its id there from its first instruction on. A signal handler of the "
        "creator finds the id even if the child ends before clone returns.",
    ),
    F.CHILD_CLEARTID: Fact(
        (2, 5, 49),
        "when the child ends, the kernel clears a word in the child's memory and wakes a waiter on it (futex)",
        "the kernel writes nothing to memory when the child ends",
        "pthread_join waits for this word: when it is zero, the child no longer uses its stack, and the stack can be "
        "freed. It needs no exit signal, no zombie and no call of wait.",
    ),
    F.DETACHED: Fact(
        (2, 5, 32),
        "the flag has had no effect since Linux 2.6.2",
        "nothing changes",
        "In a few early versions it made a thread that sends no signal when it ends. musl still passes it to clone. "
        "clone3 refuses it, and clone refuses it together with CLONE_PIDFD, so that the bit can be reused.",
    ),
    F.UNTRACED: Fact(
        (2, 5, 46),
        "a tracer cannot trace this child from its start",
        "a tracer that follows clones traces the child",
        "The kernel uses it for its own threads.",
    ),
    F.CHILD_SETTID: Fact(
        (2, 5, 49),
        "the kernel stores the child's id at an address in the child's memory before the child runs",
        "the child calls gettid to learn its id",
        "The store happens in the child's memory, so it works without CLONE_VM too: fork uses it to correct the id that "
        "libc keeps in its thread descriptor.",
    ),
    F.NEWCGROUP: Fact(
        (4, 6),
        "a new cgroup namespace: the child sees its own cgroup as the root",
        "the child sees the whole path of its cgroup",
        "A container should not see its place in the host's tree, and should be able to move to a host where that place "
        "differs. The namespace hides the path above the cgroup. Limits and memberships do not change.",
        _ADMIN,
    ),
    F.NEWUTS: Fact(
        (2, 6, 19),
        "a new UTS namespace: it has its own hostname and domain name, which start as copies",
        "the child has the same hostname: sethostname in one changes it for both",
        "The hostname in prompts and logs distinguishes one container from another. It is the smallest of the namespaces, and "
        "the first that was built.",
        _ADMIN,
    ),
    F.NEWIPC: Fact(
        (2, 6, 19),
        "a new IPC namespace: it has its own System V queues, semaphores and shared memory, and its own POSIX queues",
        "the child sees the same objects under the same keys",
        "The keys of System V objects are numbers, and two programs that choose the same key share the object, "
        "intended or not. The namespace keeps the objects of a container separate, and the kernel removes them all "
        "with the namespace.",
        _ADMIN,
    ),
    F.NEWUSER: Fact(
        (3, 8),
        "a new user namespace: the child has all capabilities there, and ids are mapped",
        "the child has the same user and group ids with the same privileges",
        "It is the only namespace that needs no privilege, and it gives the privilege to create the others: its "
        "capabilities apply to the namespaces that it owns. Until uid_map and gid_map are written, every id appears as "
        "the overflow id 65534. Without privilege, write deny to setgroups before gid_map.",
        "no privilege, unless the system restricts it (kernel.unprivileged_userns_clone, AppArmor, user.max_user_namespaces)",
    ),
    F.NEWPID: Fact(
        (2, 6, 24),
        "a new PID namespace: the child is process 1 there, and sees no process outside",
        "the child has an id in the same namespace",
        "Process 1 is init: it becomes the parent of orphans and has to reap them, it ignores signals that it has no "
        "handler for, and when it ends, the kernel kills all other processes in the namespace. Each process also has "
        "an ordinary id in the parent namespace. /proc shows the namespace for which it was mounted: mount it again.",
        _ADMIN,
        "the thread's next child is process 1 of a new PID namespace; the thread itself stays",
    ),
    F.NEWNET: Fact(
        (2, 6, 29),
        "a new network namespace: it has its own interfaces, addresses, routes, ports and firewall, and a loopback that is down",
        "the child uses the same network",
        "The new namespace has only a loopback, which is down, so the child has no connection to any network. A veth "
        "pair, with one end in each namespace, connects it. Abstract Unix sockets also belong to one namespace.",
        _ADMIN,
    ),
    F.IO: Fact(
        (2, 6, 25),
        "the child shares the I/O context: the block layer treats both as one, with one I/O priority",
        "the child has its own I/O context",
        "Threads that do I/O on behalf of each other are scheduled better as one. It matters only to schedulers that "
        "use the context (BFQ).",
    ),
    F.NEWTIME: Fact(
        (5, 6),
        "a new time namespace: it has its own offsets of CLOCK_MONOTONIC and CLOCK_BOOTTIME",
        "the child sees the same clocks",
        "A container that is moved to another machine must not see its clocks jump back. Offsets are written to "
        "/proc/PID/timens_offsets before the first process enters the namespace. clone3 accepts the flag from Linux "
        "6.4 and its stable predecessors on. clone cannot carry it, because the bit is part of the exit signal.",
        _ADMIN,
        "the thread's next children are in a new time namespace; the thread itself stays",
    ),
    F.CLEAR_SIGHAND: Fact(
        (5, 5),
        "a signal that has a handler gets the default action in the child; an ignored signal stays ignored",
        "the child has its creator's handlers, shared or copied",
        "The creator's handlers are of no use to a child that will execute a program, and a handler that runs before "
        "exec may find a state that it was not written for. The flag replaces 64 calls of sigaction.",
    ),
    F.INTO_CGROUP: Fact(
        (5, 7),
        "the child starts in the cgroup (version 2) that a descriptor of its directory names",
        "the child starts in its creator's cgroup",
        "A process that is moved after its start runs for a while without the limits, and the move takes a system-wide "
        "lock. A child that starts in its cgroup is limited and accounted from its first instruction.",
        "write access to cgroup.procs of the target and of the common ancestor",
    ),
    F.AUTOREAP: Fact(
        (7, 1),
        "the kernel reaps the child when it ends: it leaves no zombie, sends no exit signal and cannot be waited for",
        "the child stays a zombie until its parent waits for it",
        "The program's own wait() must not find a helper process that a library started. A pidfd still becomes readable "
        "when the child ends.",
    ),
    F.NNP: Fact(
        (7, 1),
        "the child gains no privileges by executing programs (no_new_privs)",
        "set-user-ID programs and file capabilities take effect in the child as in its creator",
        "A sandbox sets no_new_privs first. With the flag, the child has it from its first instruction.",
    ),
    F.PIDFD_AUTOKILL: Fact(
        (7, 1),
        "the kernel kills the child when the last copy of its pidfd is closed",
        "the child runs on after its pidfd is closed",
        "A child that must not outlive its supervisor is killed when the supervisor ends, because the kernel then closes "
        "the supervisor's descriptors.",
        "CLONE_NNP, or CAP_SYS_ADMIN",
    ),
    F.EMPTY_MNTNS: Fact(
        (7, 1),
        "a new mount namespace that contains only the root; implies CLONE_NEWNS",
        "a new mount namespace is a copy of all mounts",
        "A sandbox that makes its own mounts need not copy the mounts of the host and then unmount them.",
        _ADMIN,
    ),
}
"""All flags of `CloneFlags`."""

EXIT_SIGNAL = Fact(
    (2, 0),
    "the parent gets this signal when the child ends; if it is not SIGCHLD, wait() finds the child only with __WALL "
    "or __WCLONE",
    "the parent gets no signal; it waits with __WALL or __WCLONE",
    "The low byte of clone's flags is the signal that the kernel sends to the parent when the child ends. fork passes "
    "SIGCHLD. A library that makes its own children, as early thread libraries did, passes 0 or another signal, so that "
    "the program's own wait() does not find them. After exec the exit signal is SIGCHLD again.",
)
"""The exit signal, the low byte of clone's flags."""
