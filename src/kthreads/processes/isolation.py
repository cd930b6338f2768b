"""How a process is isolated: the settings of `Process`, checked, and the steps that they mean, in their order."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kthreads.descriptors import Descriptors
from kthreads.flags.clone_flags import NAMESPACES, CloneFlags, flags_of
from kthreads.namespaces.listing import KINDS, kind_of
from kthreads.processes.capabilities import ALL, capability_mask
from kthreads.processes.child_steps import Steps
from kthreads.processes.idmap import IdMap, IdMapping
from kthreads.processes.mounts import Mount, Proc, Tmpfs, add_mounts

__all__ = ["RESTORED_SIGNALS", "Container"]


@dataclass
class Container:
    """The settings of `Process` that subprocess does not have; see there."""

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
    def of(cls, **settings: Any) -> Container:
        """One with these settings; most processes have none, and one object serves them."""
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
        """Refuses what would be done to others. Mounts are made in new namespaces alone, not in one that was there."""
        if asked and not having & flag:
            whom = "those who are in the namespace already" if self.joined & flag else "the host"
            raise ValueError(f"{what} would change {whom}: add CloneFlags.{flag.name} to namespaces=")

    @cached_property
    def joined(self) -> CloneFlags:
        """The kinds of the namespaces that are entered."""
        kinds = CloneFlags(0)
        for fd, flags in self.join:
            kind = None if flags else kind_of(fd)
            kinds |= KINDS[kind] if kind is not None else flags_of(flags)
        return kinds

    @cached_property
    def isolates(self) -> bool:
        """Whether anything is new or entered, so that memory must not be shared and capabilities are given up."""
        return bool(self.new) or bool(self.join)

    @cached_property
    def needs_steps_of_parent(self) -> bool:
        return self.uids is not None or self.before_go is not None

    @cached_property
    def may_share_memory(self) -> bool:
        """Whether the child may run in our memory until it executes its program, which saves the copy.

        Not where a change of ids would make that memory, and so us, unreadable to ourselves (commit_creds,
        kernel/cred.c); nor where others are in its namespaces, who could read ours through it; nor where a process stays.
        The kernel refuses it with a time namespace.
        """
        strangers = self.uids is not None and self.uids.inside(os.geteuid()) is None
        strangers |= self.gids is not None and self.gids.inside(os.getegid()) is None
        return not (strangers or self.join or self.init or self.new & CloneFlags.NEWTIME)

    @cached_property
    def capabilities(self) -> int:
        """The mask of those that are kept."""
        if self.keep_capabilities is None:
            return 0 if self.isolates else ALL
        return capability_mask(self.keep_capabilities)

    @cached_property
    def by_clone(self) -> CloneFlags:
        """The namespaces that clone makes. One of cgroups begins where its maker is, so it comes after the move."""
        return self.new & ~CloneFlags.NEWCGROUP if self.cgroup is not None else self.new

    @contextlib.contextmanager
    def spec_options(self) -> Iterator[dict[str, Any]]:
        """What `launch` is to be told, valid within."""
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
        """Denied where nothing else is allowed, and where there is but one group to set."""
        if self.setgroups is not None:
            return self.setgroups
        return "deny" if gids.is_own_id or (os.geteuid() != 0 and len(gids.ranges) == 1) else None

    # ---- Steps, in this order ----------------------------------------------------------------------------------

    def enter(self, steps: Steps, *, shares_memory: bool) -> None:
        """Waits for the maps, enters and furnishes the namespaces."""
        if self.needs_steps_of_parent:
            steps.go()
        if self.parent_death_signal is not None:
            steps.parent_death(self.parent_death_signal)
        if self.isolates and not shares_memory:
            # Not before the maps: the files of /proc that the parent writes would be root's.
            steps.not_dumpable()
        for fd, flags in self.join:
            steps.setns(fd, flags)
        if self.join:
            steps.fork()  # a PID namespace is entered by children alone
        if self.by_clone != self.new:
            steps.unshare(int(CloneFlags.NEWCGROUP))
        if self.uids is not None and self.gids is not None:
            self._become_mapped(steps, self.uids, self.gids)
        if self.hostname is not None:
            steps.hostname(self.hostname)
        if self.new & CloneFlags.NEWNET:
            steps.loopback()
        if self.new & CloneFlags.NEWNS:
            add_mounts(steps, self.root, self.read_only, self._all_mounts())
        if self.init:
            steps.fork()

    def _become_mapped(self, steps: Steps, uids: IdMap, gids: IdMap) -> None:
        """Who has no id inside becomes the lowest that is there."""
        if gids.inside(os.getegid()) is None:
            steps.gid(gids.lowest)
        if uids.inside(os.geteuid()) is None:
            steps.uid(uids.lowest)

    def _all_mounts(self) -> list[Mount]:
        asked = bool(self.new & CloneFlags.NEWPID) if self.proc is None else self.proc
        has = any(mount.target == "/proc" for mount in self.mounts)
        return [Proc(), *self.mounts] if asked and not has else list(self.mounts)

    def confine(self, steps: Steps) -> None:
        """Gives up what the program is not to have; the last before it begins."""
        if self.capabilities != ALL:
            steps.capabilities(self.capabilities)
        if self.no_new_privs:
            steps.no_new_privs()
        if self.parent_death_signal is not None:
            steps.parent_death(self.parent_death_signal)  # a change of ids has cleared it
        elif self.join:
            steps.parent_death(signal.SIGKILL)  # which the process cannot pass on to its child


_NONE = Container()


def _all_of(functions: Iterable[Callable[[int], None] | None]) -> Callable[[int], None] | None:
    wanted = [function for function in functions if function is not None]
    if not wanted:
        return None

    def call(pid: int) -> None:
        for function in wanted:
            function(pid)

    return call


RESTORED_SIGNALS = int(signal.SIGPIPE), int(signal.SIGXFSZ)
"""What the interpreter ignores and a program expects not to be (Popen's restore_signals)."""
