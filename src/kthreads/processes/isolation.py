"""How a process is isolated: the settings of `Process`, checked, and the steps that each of them adds."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kthreads.descriptors import Descriptors
from kthreads.flags.clone_flags import KINDS, NAMESPACES, CloneFlags, flags_of
from kthreads.namespaces.listing import kind_of
from kthreads.processes.capabilities import ALL, capability_mask
from kthreads.processes.child_steps import Steps
from kthreads.processes.idmap import IdMap, IdMapping
from kthreads.processes.mounts import Mount, Proc, Tmpfs, add_mounts

__all__ = ["RESTORED_SIGNALS", "Isolation"]


@dataclass
class Isolation:
    """The settings of `Process` that subprocess.Popen does not have. `Process` documents them."""

    namespaces: CloneFlags | int = 0
    join: tuple[tuple[int, int], ...] = ()
    uid_map: IdMapping | None = None
    gid_map: IdMapping | None = None
    setgroups: str | None = None
    hostname: str | None = None
    root: str | os.PathLike[str] | Tmpfs | None = None
    read_only: bool = False
    mounts: tuple[Mount, ...] = ()
    proc: bool | None = None
    cgroup: int | str | os.PathLike[str] | None = None
    no_new_privs: bool = True
    keep_capabilities: Iterable[str] | str | None = None
    parent_death_signal: int | None = None
    init: bool = False
    before_go: Callable[[int], None] | None = None
    uids: IdMap | None = field(init=False, default=None)
    gids: IdMap | None = field(init=False, default=None)

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
        if extra := self.new & ~NAMESPACES:
            raise ValueError(f"namespaces= takes NEW* flags of namespaces, not {extra!r}")
        if self.new & CloneFlags.NEWUSER:
            self.uids, self.gids = IdMap.of("uid", self.uid_map), IdMap.of("gid", self.gid_map)
        elif self.uid_map is not None or self.gid_map is not None:
            raise ValueError("maps of ids belong to a user namespace: add CloneFlags.NEWUSER to namespaces=")
        if self.setgroups not in (None, "allow", "deny"):
            raise ValueError(f'setgroups must be "allow" or "deny", not {self.setgroups!r}')
        if self.setgroups is not None and self.uids is None:
            raise ValueError("setgroups= is of a user namespace: add CloneFlags.NEWUSER to namespaces=")
        if isinstance(self.root, Tmpfs) and self.root.target != "/":
            raise ValueError(f'root=Tmpfs() is mounted at "/", not at {self.root.target!r}: leave the target out')
        self._needs("hostname=", self.hostname is not None, CloneFlags.NEWUTS, self.new | self.joined)
        files = self.root is not None or self.read_only or bool(self.mounts) or bool(self.proc)
        self._needs("root=, read_only=, mounts= and proc=", files, CloneFlags.NEWNS, self.new)
        self._needs("init=True", self.init, CloneFlags.NEWPID, self.new | self.joined)

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
    def isolates(self) -> bool:
        """Whether the process gets or enters any namespace. It then must not share memory, and loses its capabilities."""
        return bool(self.new) or bool(self.join)

    @cached_property
    def needs_steps_of_parent(self) -> bool:
        return self.uids is not None or self.before_go is not None

    @cached_property
    def may_share_memory(self) -> bool:
        """Whether the child may run in our memory until it executes its program, which saves the copy.

        It may not if a change of ids would make that memory unreadable to this process, too (commit_creds,
        kernel/cred.c); if other processes are in its namespaces, which could read our memory through it; or if it leaves a
        process behind. The kernel refuses it with a time namespace.
        """
        strangers = self.uids is not None and self.uids.inside(os.geteuid()) is None
        strangers |= self.gids is not None and self.gids.inside(os.getegid()) is None
        return not (strangers or self.join or self.init or self.new & CloneFlags.NEWTIME)

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
            options["before_go"] = _all_of([*(ids.write_by_helper for ids in helped), self.before_go])
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
        """Has the kernel send a signal when the parent's thread ends."""
        if self.parent_death_signal is not None:
            steps.parent_death(self.parent_death_signal)

    def add_not_dumpable(self, steps: Steps, *, shares_memory: bool) -> None:
        """Hides the copy of our memory from processes in the new namespaces. Not before the maps are written: the files of
        /proc that the parent writes would belong to root."""
        if self.isolates and not shares_memory:
            steps.not_dumpable()

    def add_joins(self, steps: Steps) -> None:
        """Enters existing namespaces."""
        for fd, flags in self.join:
            steps.setns(fd, flags)
        if self.join:
            steps.fork()  # only a child is in a PID namespace that was entered

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

    def add_names_and_files(self, steps: Steps) -> None:
        """Sets up the new UTS, network and mount namespaces."""
        if self.hostname is not None:
            steps.hostname(self.hostname)
        if self.new & CloneFlags.NEWNET:
            steps.loopback()
        if self.new & CloneFlags.NEWNS:
            add_mounts(steps, self.root, self.read_only, self._all_mounts())

    def add_init(self, steps: Steps) -> None:
        """Leaves a process behind as the init of the PID namespace."""
        if self.init:
            steps.fork()

    def add_privileges(self, steps: Steps) -> None:
        """Drops the capabilities that the program is not to have, and forbids it to gain any."""
        if self.capabilities != ALL:
            steps.capabilities(self.capabilities)
        if self.no_new_privs:
            steps.no_new_privs()

    def add_last_parent_death(self, steps: Steps) -> None:
        """Once more, as a change of ids has cleared the signal."""
        if self.parent_death_signal is None and self.join:
            steps.parent_death(signal.SIGKILL)  # the process cannot pass SIGKILL on to its child
        else:
            self.add_parent_death(steps)

    def _all_mounts(self) -> list[Mount]:
        asked = bool(self.new & CloneFlags.NEWPID) if self.proc is None else self.proc
        has = any(mount.target == "/proc" for mount in self.mounts)
        return [Proc(), *self.mounts] if asked and not has else list(self.mounts)


_NONE = Isolation()


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
