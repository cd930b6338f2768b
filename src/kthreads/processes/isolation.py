"""How a process is isolated: the settings of `Process`, checked, and the steps that each of them adds."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from kthreads._native import lib
from kthreads.cpus import check_cpus
from kthreads.descriptors import Descriptors
from kthreads.flags.clone_flags import KINDS, NAMESPACES, CloneFlags, all_but, flags_of
from kthreads.namespaces.kinds import kind_of
from kthreads.processes.capabilities import ALL, capability_mask
from kthreads.processes.checks import check_cgroup, check_path, check_signal
from kthreads.processes.child_steps import Steps
from kthreads.processes.file_system import Root, add_file_system, check_mounts
from kthreads.processes.idmap import IdMap, IdMapping
from kthreads.processes.mount_points import Setup
from kthreads.processes.mounts import Bind, Directory, Mount, Overlay, Proc, Tmpfs
from kthreads.processes.resource_limits import ResourceLimit, ResourceLimits, resource_limits
from kthreads.processes.seccomp import Filter, build_filter, read_filter
from kthreads.processes.sysctls import Sysctls, sysctl_files
from kthreads.record import Record

__all__ = ["RESTORED_SIGNALS", "Isolation"]


class Isolation(Record, frozen=False):
    """The settings of `Process` that subprocess.Popen does not have. `Process` documents them."""

    namespaces: CloneFlags | int = 0
    join: tuple[tuple[int, int], ...] = ()
    uid_map: IdMapping | None = None
    gid_map: IdMapping | None = None
    setgroups: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    sysctls: Sysctls | None = None
    rlimits: ResourceLimits | None = None
    cpus: Iterable[int] | None = None
    root: Root | None = None
    read_only: bool = False
    mounts: Iterable[Mount] = ()
    proc: bool | None = None
    writable_kernel_files: bool = False
    keep_session: bool = False
    controlling_terminal: bool = False
    cgroup: int | str | os.PathLike[str] | None = None
    seccomp: Filter | None = None
    disable_userns: bool = False
    no_new_privs: bool = True
    keep_capabilities: Iterable[str] | str | None = None
    parent_death_signal: int | None = None
    init: bool = False
    before_go: Callable[[int], None] | None = None

    @classmethod
    def of(cls, **settings: Any) -> Isolation:
        """An object with these settings. Most processes have none; they share one object."""
        given = {name: value for name, value in settings.items() if value is not getattr(_NONE, name)}
        return cls(**given) if given else _NONE

    @cached_property
    def new(self) -> CloneFlags:
        """`namespaces`, as flags."""
        return flags_of(self.namespaces)

    def __post_init__(self) -> None:
        if extra := self.new & all_but(NAMESPACES):
            raise ValueError(f"namespaces= takes NEW* flags of namespaces, not {extra!r}")
        self._check_users()
        self._check_files()
        for what, name in (("hostname", self.hostname), ("domainname", self.domainname)):
            if name is not None:
                self._check_name(what, name)
        self._check_privileges()
        self._check_start()
        _ = self.limits, self.sysctl_files, self.capabilities  # which raise what is wrong with them

    def _check_users(self) -> None:
        self.uids: IdMap | None = None
        self.gids: IdMap | None = None
        if self.new & CloneFlags.NEWUSER:
            self.uids, self.gids = IdMap.of("uid", self.uid_map), IdMap.of("gid", self.gid_map)
        elif self.uid_map is not None or self.gid_map is not None:
            raise ValueError("maps of ids belong to a user namespace: add CloneFlags.NEWUSER to namespaces=")
        if self.setgroups not in (None, "allow", "deny"):
            raise ValueError(f'setgroups must be "allow" or "deny", not {self.setgroups!r}')
        if self.setgroups is not None and self.uids is None:
            raise ValueError("setgroups= is of a user namespace: add CloneFlags.NEWUSER to namespaces=")

    def _check_files(self) -> None:
        if self.root is not None and not isinstance(self.root, Bind | Tmpfs | Overlay):
            check_path("root", self.root)
        elif self.root is not None and self.root.target != "/":
            raise ValueError(f'the target of root= is "/", not {self.root.target!r}: Tmpfs(), or Bind(source, "/")')
        self.mounts = check_mounts(self.mounts)
        files = self.root is not None or self.read_only or bool(self.mounts) or bool(self.proc)
        self._needs("root=, read_only=, mounts= and proc=", files, CloneFlags.NEWNS, self.new)
        if self.sysctls and self.joined & CloneFlags.NEWNS:
            raise ValueError("sysctls= are written to /proc, which may be anything in a mount namespace that is joined")

    def _check_name(self, what: str, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{what} must be a str, not {name!r}")
        if (size := len(os.fsencode(name))) > _LONGEST_NAME:
            raise ValueError(f"{what} must have at most {_LONGEST_NAME} bytes, not {size}")
        self._needs(f"{what}=", True, CloneFlags.NEWUTS, self.new | self.joined)

    def _check_privileges(self) -> None:
        if self.controlling_terminal and self.keep_session:
            raise ValueError("controlling_terminal= needs a session of its own: leave keep_session= out")
        if isinstance(self.seccomp, str) and self.seccomp != "default":
            raise ValueError(f'seccomp must be "default", bytes or an open file, not {self.seccomp!r}')
        if self._filters_userns and self.seccomp not in (None, "default"):
            raise ValueError(
                "without a user namespace disable_userns= is a rule of the default filter: put it into the filter of seccomp="
            )

    def _check_start(self) -> None:
        check_cgroup(self.cgroup)
        self.cpus = None if self.cpus is None else check_cpus(self.cpus)
        if self.parent_death_signal is not None:
            check_signal("parent_death_signal", self.parent_death_signal)
        if self.before_go is not None and not callable(self.before_go):
            raise TypeError(f"before_go must be a function of a pid, not {self.before_go!r}")
        self._needs("init=True", self.init, CloneFlags.NEWPID, self.new)
        if twice := self.new & self.joined & (CloneFlags.NEWUSER | CloneFlags.NEWPID):
            raise ValueError(f"{twice!r} can be joined or new, not both: the kernel would put the process into one")

    def _needs(self, what: str, asked: bool, flag: CloneFlags, having: CloneFlags) -> None:
        """Refuses a setting that would change a namespace that other processes are in."""
        if asked and not having & flag:
            whom = "the processes that are in the namespace already" if self.joined & flag else "the host"
            raise ValueError(f"{what} would change {whom}: add CloneFlags.{flag.name} to namespaces=")

    @cached_property
    def joined(self) -> CloneFlags:
        """The kinds of the namespaces that the process enters."""
        kinds = CloneFlags(0)
        for fd, flags in self.join:
            kind = None if flags else kind_of(fd)
            kinds |= KINDS[kind] if kind is not None else flags_of(flags)
        return kinds

    @cached_property
    def limits_userns(self) -> bool:
        """Whether `disable_userns` is kept by a limit of the new user namespace, which gives it no namespace below it. A
        program with CAP_SYS_RESOURCE could raise it, and a container's own /proc/sys cannot be written."""
        raises = self.capabilities & capability_mask("SYS_RESOURCE")
        has_own = self.new & CloneFlags.NEWUSER and not self.joined & CloneFlags.NEWNS
        return bool(self.disable_userns and has_own and not raises and _can_write("/proc/sys/user"))

    @property
    def _filters_userns(self) -> bool:
        return self.disable_userns and not self.limits_userns

    @cached_property
    def isolates(self) -> bool:
        """Whether the process gets or enters any namespace. It then must not share memory, and loses its capabilities."""
        return bool(self.new) or bool(self.join)

    @cached_property
    def is_container(self) -> bool:
        """Whether it has files of its own, and a root or processes of its own."""
        return bool(self.new & CloneFlags.NEWNS) and (self.root is not None or bool(self.new & CloneFlags.NEWPID))

    @property
    def leaves_session(self) -> bool:
        """Whether it leaves the session of its starter, into whose terminal it could type (TIOCSTI)."""
        foreign = self.is_container or self.meets_foreign_files
        return self.controlling_terminal or (foreign and not self.keep_session)

    @cached_property
    def meets_foreign_files(self) -> bool:
        """Whether the process is in a root that another user, or a program in it, may have filled."""
        return self.root is not None or bool(self.joined & CloneFlags.NEWNS)

    @cached_property
    def needs_steps_of_parent(self) -> bool:
        return self.uids is not None or self.before_go is not None or bool(self.join)

    @cached_property
    def limits(self) -> tuple[ResourceLimit, ...]:
        """`rlimits`, checked."""
        return () if self.rlimits is None else resource_limits(self.rlimits)

    @cached_property
    def sysctl_files(self) -> tuple[tuple[str, str], ...]:
        """`sysctls`, checked: the files to write, and their texts."""
        return () if self.sysctls is None else tuple(sysctl_files(self.sysctls, self.new))

    @cached_property
    def may_share_memory(self) -> bool:
        """Whether the child may run in our memory until it executes its program, which saves the copy.

        It may not if a change of ids would make that memory unreadable to this process, too (commit_creds,
        kernel/cred.c); or if other processes are in its namespaces, which could read our memory through it. The kernel
        refuses it with a time namespace.
        """
        strangers = self.uids is not None and self.uids.inside(os.geteuid()) is None
        strangers |= self.gids is not None and self.gids.inside(os.getegid()) is None
        return not (strangers or self.join or self.new & CloneFlags.NEWTIME)

    @cached_property
    def capabilities(self) -> int:
        """The mask of the capabilities that are kept."""
        if self.keep_capabilities is None:
            return 0 if self.isolates else ALL
        return capability_mask(self.keep_capabilities)

    @cached_property
    def by_clone(self) -> CloneFlags:
        """The namespaces that clone makes. The root of a cgroup namespace is where its maker is, so it is made after the move."""
        return self.new & ~CloneFlags.NEWCGROUP if self.cgroup is not None else self.new

    @contextlib.contextmanager
    def spec_options(self) -> Iterator[dict[str, Any]]:
        """The options of `start`, which are valid within the with block."""
        options: dict[str, Any] = {}
        if self.uids is not None and self.gids is not None:
            options["setgroups"] = self._setgroups(self.gids)
            helped = [ids for ids in (self.uids, self.gids) if not ids.is_own_id and os.geteuid() != 0]
            options["uid_map"] = None if self.uids in helped else self.uids.text
            options["gid_map"] = None if self.gids in helped else self.gids.text
            raised = [limit for limit in self.limits if limit.is_raised]  # no process in a user namespace may do that
            options["before_go"] = _all_of(
                [*(ids.write_by_helper for ids in helped), *(limit.raise_for for limit in raised), self.before_go]
            )
        elif self.before_go is not None:
            options["before_go"] = self.before_go
        if self.cgroup is None or isinstance(self.cgroup, int):
            yield options | {"cgroup": self.cgroup}
            return
        with Descriptors() as opened:
            fd = opened.open(os.open, self.cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            yield options | {"cgroup": fd}

    def _setgroups(self, gids: IdMap) -> str | None:
        """Denied where the kernel allows nothing else, and where the map has only one group."""
        if self.setgroups is not None:
            return self.setgroups
        return "deny" if gids.is_own_id or (os.geteuid() != 0 and len(gids.ranges) == 1) else None

    def add_go(self, steps: Steps) -> None:
        """Waits for the parent, which writes the maps of ids and calls `before_go`."""
        if self.needs_steps_of_parent:
            steps.go()

    def add_parent_death(self, steps: Steps) -> None:
        """Has the kernel send a signal when the parent's thread ends. Once more after each change of ids, which takes it
        back."""
        if self.parent_death_signal is not None:
            steps.parent_death(self.parent_death_signal)

    def add_not_dumpable(self, steps: Steps, *, shares_memory: bool) -> None:
        """Hides the copy of our memory from processes in the new namespaces. Not before the maps are written: the files of
        /proc that the parent writes would belong to root."""
        if self.isolates and not shares_memory:
            steps.not_dumpable()

    def add_joins(self, steps: Steps) -> None:
        """Enters existing namespaces, before the process is cloned in them. The copy of our memory is hidden before."""
        if self.join:
            steps.not_dumpable()
            for fd, flags in self.join:
                steps.setns(fd, flags)
            steps.clone()

    def add_cgroup_namespace(self, steps: Steps) -> None:
        """Makes the cgroup namespace that clone could not make, as the child was moved to its cgroup first."""
        if self.by_clone != self.new:
            steps.unshare(int(CloneFlags.NEWCGROUP))

    def add_mapped_ids(self, steps: Steps) -> None:
        """Takes the lowest id inside the user namespace where the own id is not mapped."""
        if self.uids is not None and self.gids is not None:
            if self.gids.inside(os.getegid()) is None:
                steps.gid(self.gids.lowest)
            if self.uids.inside(os.geteuid()) is None:
                steps.uid(self.uids.lowest)
            self.add_parent_death(steps)

    @property
    def binds(self) -> list[Bind]:
        """All binds, that of the root included."""
        return [mount for mount in (self.root, *self.mounts) if isinstance(mount, Bind)]

    def add_names_and_files(self, steps: Steps, taken: Mapping[Bind, int]) -> None:
        """Sets up the new UTS, network and mount namespaces."""
        if self.hostname is not None:
            steps.hostname(self.hostname)
        if self.domainname is not None:
            steps.domainname(self.domainname)
        for path, text in self.sysctl_files:
            steps.write(path, text)
        if self.limits_userns:
            steps.write("/proc/sys/user/max_user_namespaces", "0")
        if self.new & CloneFlags.NEWNET:
            steps.loopback()
        if self.new & CloneFlags.NEWNS:
            protects = self.is_container and not self.writable_kernel_files
            setup = Setup(steps, bool(self.new & CloneFlags.NEWUSER), taken)
            add_file_system(setup, self.root, self.read_only, self._all_mounts(), protects_kernel_files=protects)

    def add_init(self, steps: Steps) -> None:
        """Leaves a process behind as the init of the PID namespace. The init of a program is the launcher."""
        if self.init:
            steps.fork()

    @property
    def launch(self) -> int:
        """How a program is executed: by the launcher where an enemy may look at what executes it."""
        if self.init:
            return int(lib.KT_EXEC_INIT)
        return int(lib.KT_EXEC_LAUNCH) if self.is_container or self.meets_foreign_files else 0

    def add_limits(self, steps: Steps) -> None:
        """Sets the limits and CPUs. To raise a limit takes a capability, and few descriptors may be left for later steps."""
        if self.cpus is not None:
            steps.cpus(self.cpus)
        for limit in self.limits:
            steps.rlimit(limit)

    def add_bounds(self, steps: Steps) -> None:
        """Drops the capabilities that no program is to get back. A change of ids would take the right to do so."""
        if self.capabilities != ALL:
            steps.bound_capabilities(self.capabilities)

    def add_privileges(self, steps: Steps) -> None:
        """Drops the capabilities that the program is not to have, and forbids it to gain any."""
        if self.capabilities != ALL:
            steps.capabilities(self.capabilities)
        if self.no_new_privs:
            steps.no_new_privs()

    def add_filter(self, steps: Steps) -> None:
        """Filters the system calls of the program. The last step of all, as the steps make such calls."""
        if self._filters_userns or self.seccomp == "default":
            has_default = self.seccomp == "default"
            kept = 0 if self.keep_capabilities is None else self.capabilities  # those that were asked for
            steps.filter(build_filter(default=has_default, user_namespaces=not self._filters_userns, kept=kept))
        elif self.seccomp is not None and not isinstance(self.seccomp, str):
            steps.filter(read_filter(self.seccomp))

    def _all_mounts(self) -> list[Mount]:
        asked = bool(self.new & CloneFlags.NEWPID) if self.proc is None else self.proc
        has = any(mount.target == "/proc" and not isinstance(mount, Directory) for mount in self.mounts)
        return [Proc(), *self.mounts] if asked and not has else list(self.mounts)


_LONGEST_NAME = 64  # __NEW_UTS_LEN
_NONE = Isolation()


def _can_write(folder: str) -> bool:
    """Whether the mount that it is in can be written at all."""
    try:
        return not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        return False


def _all_of(functions: Iterable[Callable[[int], None] | None]) -> Callable[[int], None] | None:
    wanted = [function for function in functions if function is not None]
    if not wanted:
        return None

    def call(pid: int) -> None:
        for function in wanted:
            function(pid)

    return call


RESTORED_SIGNALS = int(signal.SIGPIPE), int(signal.SIGXFSZ)
"""The signals that the interpreter ignores and a program expects not to be ignored (Popen's restore_signals)."""
