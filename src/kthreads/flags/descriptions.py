"""What is known of each flag: the one text for `explain`, the laboratory and the documentation.

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
        since: the first kernel that has it.
        given: what it does.
        absent: what is the case without it.
        why: why it exists and when it matters, as a paragraph.
        privilege: what it needs, where it needs something.
        unshared: what unshare does with it, where that is not what `given` says.
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
        "the child shares the memory: what one writes, the other reads",
        "the child has a copy of the memory, made page by page as one of the two writes",
        "It makes the difference between a thread and a process. Shared memory needs no copying and no pipe, and one "
        "wild write ends both. Without it the kernel copies the page tables, which takes the longer the more memory "
        "the creator has: that is what fork costs, and why posix_spawn and vfork share the memory until exec.",
        unshared="the caller must not share its memory: unshare cannot copy it",
    ),
    F.FS: Fact(
        (2, 0),
        "the child shares root directory, working directory and umask: chdir in one moves both",
        "the child has its own root directory, working directory and umask, which begin as copies",
        "A relative path means what the working directory says, so a program whose threads all share one cannot walk "
        "two trees by relative paths. pthread_create always shares; a clone without CLONE_FS gives each thread a "
        "working directory of its own, which file servers use to act in the place of each client.",
        unshared="the thread gets its own root directory, working directory and umask",
    ),
    F.FILES: Fact(
        (2, 0),
        "the child shares the descriptor table: what one opens or closes, the other has or lacks",
        "the child has a table of its own with the same open files in it: closing in one leaves the other's open",
        "A number such as 3 means an open file by way of the table. Sharing it lets one thread open a file and another "
        "read it. With a table of its own a child can close everything before exec and disturb no other task; the open file "
        "behind both entries, with its position, stays one.",
        unshared="the thread gets its own descriptor table",
    ),
    F.SIGHAND: Fact(
        (2, 0),
        "the child shares the table of signal handlers: sigaction in one holds for both",
        "the child has its own table of signal handlers, which begins as a copy",
        "A handler is the address of a function, so a shared table makes sense with shared memory only. Each "
        "keeps its own blocked and pending signals. A program that installs a handler for SIGINT expects it to "
        "hold on all its threads: hence CLONE_THREAD requires this flag.",
        unshared="the caller must not share its signal handlers: unshare cannot copy them",
    ),
    F.PIDFD: Fact(
        (5, 2),
        "the creator gets a descriptor that means the child, and this child alone, until it is closed",
        "the creator knows the child by its number, which the kernel gives to another one after the child was waited for",
        "A pid can be used again, so a kill that comes late may reach another process. A pidfd cannot: it can be polled for "
        "the end, signalled, waited for and handed to another process, whatever the exit signal was.",
    ),
    F.PTRACE: Fact(
        (2, 2),
        "a process that traces the creator traces the child too",
        "the child is traced only where the tracer asked to follow clones",
        "Debuggers use it to follow a program into its children. For other programs it changes nothing.",
    ),
    F.VFORK: Fact(
        (2, 2),
        "the creator stands still until the child executes a program or ends",
        "both run at once",
        "With CLONE_VM the child runs in its creator's memory, on its stack if it has none of its own; standing still "
        "keeps the creator from seeing a half-prepared state. This is how vfork and posix_spawn start a program without "
        "copying page tables.",
    ),
    F.PARENT: Fact(
        (2, 3, 12),
        "the child's parent is the creator's parent: it is a sibling",
        "the creator is the parent: it is told of the end, and waits",
        "The parent is the process that gets the exit signal and may wait. A helper that starts a program on behalf of its own "
        "parent can leave without breaking that tie; container runtimes do.",
    ),
    F.THREAD: Fact(
        (2, 4),
        "the child is a thread of the same process: same pid, ended by the same exit, waited for by no process",
        "the child is a process: its own pid, its own end, a parent that waits",
        "POSIX wants one pid for all threads, kill to reach them as one, and exec and exit to end all. The kernel calls "
        "that a thread group. Its members need the same handlers and memory, cannot be waited for, and have no exit "
        "signal: libc learns of the end from the word that CLONE_CHILD_CLEARTID clears.",
        unshared="the process must have one thread",
    ),
    F.NEWNS: Fact(
        (2, 4, 19),
        "a new mount namespace: mounts made there are not seen elsewhere, unless they propagate",
        "the same mounts",
        "A mount namespace is a list of what is mounted where. The new one is a copy, so a child can cover /tmp or "
        "/proc, or exchange the root, without touching the machine. Mounts of a shared tree still propagate between "
        "the copies: make it private first, recursively.",
        _ADMIN,
    ),
    F.SYSVSEM: Fact(
        (2, 5, 10),
        "the child shares the list of semaphore operations to undo (SEM_UNDO)",
        "the child has its own list, empty, which is undone as it ends",
        "With SEM_UNDO the kernel takes back what a process did to a System V semaphore when it ends. With a shared "
        "list that happens when the last sharer ends, as POSIX threads expect; with its own, a thread that ends gives "
        "back its semaphores alone.",
        unshared="the thread's list is undone now, and it gets a new one",
    ),
    F.SETTLS: Fact(
        (2, 5, 32),
        "the child's thread pointer is the one given: errno and all thread-local variables are its own",
        "the child has the creator's thread pointer: with CLONE_VM both use the same errno and thread-local variables",
        "C code finds errno, malloc's cache and the stack protector's canary through one register. Two threads with the "
        "same value there overwrite each other's. libc allocates a block for each thread and has the kernel set the "
        "register before the first instruction.",
    ),
    F.PARENT_SETTID: Fact(
        (2, 5, 49),
        "the kernel stores the child's id at an address in the creator's memory, before either runs on",
        "the creator learns the id from the return value alone",
        "With shared memory the child can read its id there from its first instruction on, and a signal handler of the "
        "creator finds it even where the child ended before clone returned.",
    ),
    F.CHILD_CLEARTID: Fact(
        (2, 5, 49),
        "as the child ends the kernel clears a word in its memory and wakes a waiter on it (futex)",
        "the end leaves no trace in memory",
        "This is what pthread_join waits for: when the word is zero, the child no longer uses its stack, and it can be "
        "freed. No exit signal, no zombie, no wait.",
    ),
    F.DETACHED: Fact(
        (2, 5, 32),
        "nothing: it has had no effect since Linux 2.6.2",
        "nothing",
        "For a few versions it made a thread that signals no process; musl still passes it to clone. clone3 refuses it, and "
        "clone refuses it with CLONE_PIDFD, to be free to give it a new meaning.",
    ),
    F.UNTRACED: Fact(
        (2, 5, 46),
        "a tracer cannot have this child traced from its start",
        "a tracer that follows clones traces the child",
        "The kernel uses it for its own threads.",
    ),
    F.CHILD_SETTID: Fact(
        (2, 5, 49),
        "the kernel stores the child's id at an address in the child's memory before the child runs",
        "the child asks for its id by gettid",
        "The store happens in the child's memory, so it works without CLONE_VM too: fork uses it to correct the id that "
        "libc keeps in its thread descriptor.",
    ),
    F.NEWCGROUP: Fact(
        (4, 6),
        "a new cgroup namespace: the cgroup that the child is in is the root of what it sees",
        "the child sees its cgroup's whole path",
        "A container should not learn where in the host's tree it lives, and should be able to move to a host where it "
        "lives elsewhere. The namespace hides the path above; limits and memberships are as they were.",
        _ADMIN,
    ),
    F.NEWUTS: Fact(
        (2, 6, 19),
        "a new UTS namespace: hostname and domain name of its own, which begin as copies",
        "the same hostname: sethostname in one is seen by both",
        "The name in the prompt and in logs tells one container from another. It is the smallest of the namespaces, and "
        "the first that was built.",
        _ADMIN,
    ),
    F.NEWIPC: Fact(
        (2, 6, 19),
        "a new IPC namespace: no System V queues, semaphores and shared memory, and no POSIX queues, but its own",
        "the same objects under the same keys",
        "System V objects have numbers as keys, and two programs with the same key meet, wanted or not. The namespace "
        "keeps those of a container apart, and they all go when it does.",
        _ADMIN,
    ),
    F.NEWUSER: Fact(
        (3, 8),
        "a new user namespace: the child has all capabilities there, and ids are mapped",
        "the same user and group ids with the same privileges",
        "It is the only namespace that needs no privilege, and it gives the privilege for the others: capabilities in "
        "it count for what it owns. Until uid_map and gid_map are written every id is the overflow id 65534; an "
        "unprivileged gid_map is accepted after setgroups was denied.",
        "no privilege, unless the machine restricts it (kernel.unprivileged_userns_clone, AppArmor, user.max_user_namespaces)",
    ),
    F.NEWPID: Fact(
        (2, 6, 24),
        "a new PID namespace: the child is process 1 there, and sees no process outside",
        "the child has a number in the same namespace",
        "Process 1 is init: it inherits orphans and has to reap them, ignores signals that it has no handler for, and "
        "when it ends, the kernel kills all others. From outside each process has an ordinary number besides. /proc "
        "shows the namespace for which it was mounted: mount it again.",
        _ADMIN,
        "the thread's next child is process 1 of a new PID namespace; the thread itself stays",
    ),
    F.NEWNET: Fact(
        (2, 6, 29),
        "a new network namespace: interfaces, addresses, routes, ports and firewall of its own; a loopback that is down",
        "the same network",
        "With nothing but a loopback that is down, a child can reach no other machine or process. A veth pair, with one end in each "
        "namespace, connects it; abstract Unix sockets, too, belong to one namespace.",
        _ADMIN,
    ),
    F.IO: Fact(
        (2, 6, 25),
        "the child shares the I/O context: the block layer takes both for one, with one I/O priority",
        "the child has an I/O context of its own",
        "Threads that read ahead for each other are scheduled better as one. It matters to the schedulers that look at "
        "the context (BFQ).",
    ),
    F.NEWTIME: Fact(
        (5, 6),
        "a new time namespace: CLOCK_MONOTONIC and CLOCK_BOOTTIME with offsets of its own",
        "the same clocks",
        "A container that is moved to another machine must not see its clocks jump back. Offsets are written to "
        "/proc/PID/timens_offsets before the first process is in. clone3 takes the flag from Linux 6.4 and its "
        "stable predecessors on; clone cannot, as its exit signal has that bit.",
        _ADMIN,
        "the thread's next children are in a new time namespace; the thread itself stays",
    ),
    F.CLEAR_SIGHAND: Fact(
        (5, 5),
        "every signal that has a handler gets the default action in the child; what is ignored stays ignored",
        "the child has its creator's handlers, shared or copied",
        "Handlers of the creator mean nothing to a program about to be executed, and one that runs in between finds a "
        "state that it was not written for. The flag replaces 64 calls of sigaction.",
    ),
    F.INTO_CGROUP: Fact(
        (5, 7),
        "the child begins in the cgroup of version 2 whose directory is given as a descriptor",
        "the child begins in its creator's cgroup",
        "Moving a process after its start leaves a while without limits, and takes a lock of the whole machine. Born in "
        "its cgroup, it is limited and accounted from its first instruction.",
        "write access to cgroup.procs of the target and of the common ancestor",
    ),
    F.AUTOREAP: Fact(
        (7, 1),
        "the kernel reaps the child as it ends: no zombie, no exit signal, and no process waits",
        "the child stays a zombie until its parent waits",
        "A library that starts a helper must not surprise a program whose own wait() would find it. A pidfd still "
        "tells of the end.",
    ),
    F.NNP: Fact(
        (7, 1),
        "the child gains no privileges by executing programs (no_new_privs)",
        "set-user-ID programs and file capabilities work in the child as they do in its creator",
        "It is what a sandbox sets first; with the flag there is no moment without it.",
    ),
    F.PIDFD_AUTOKILL: Fact(
        (7, 1),
        "the kernel kills the child when the last copy of its pidfd is closed",
        "the child outlives its creator's interest",
        "A child that must not outlive its supervisor dies with the supervisor's descriptors, however that one ends.",
        "CLONE_NNP, or CAP_SYS_ADMIN",
    ),
    F.EMPTY_MNTNS: Fact(
        (7, 1),
        "a new mount namespace with nothing but the root in it; implies CLONE_NEWNS",
        "a new mount namespace is a copy of all mounts",
        "A sandbox that brings its own mounts need not copy, and then unmount, those of the machine.",
        _ADMIN,
    ),
}
"""All flags of `CloneFlags`."""

EXIT_SIGNAL = Fact(
    (2, 0),
    "the parent gets this signal as the child ends; one other than SIGCHLD makes a child that wait() does not see "
    "without __WALL or __WCLONE",
    "the parent is not told; it waits with __WALL or __WCLONE",
    "The low byte of clone's flags is the signal that tells the parent. fork passes SIGCHLD. A library that makes "
    "children of its own, as thread libraries did once, passes 0 or another one, so that the program's own wait() does "
    "not come upon them. After exec it is SIGCHLD again.",
)
"""The exit signal, the low byte of clone's flags."""
