"""What a process with a mount namespace of its own finds in its root: the kinds of mounts, and what else is made there.

Each is made or taken in the old root, and put into its place in the new one (file_system.py). Each has a method `take`, which
adds the steps that make or take it, and returns what adds the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Literal

from kthreads.processes.checks import check_path
from kthreads.processes.idmap import IdMap
from kthreads.processes.kernel_files import KernelFiles
from kthreads.processes.mount_flags import ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY
from kthreads.processes.mount_points import (
    Place,
    Setup,
    absolute,
    attach,
    attach_kernel_files,
    attributes_of,
    check_mode,
    make_parents,
    on_host,
)
from kthreads.processes.overlay import Overlay
from kthreads.record import Record

__all__ = ["Bind", "Dev", "Device", "Directory", "Mount", "Overlay", "Proc", "Symlink", "Sys", "Tmpfs"]


FileIds = str | Iterable[tuple[int, int, int]]


def _map_of(kind: Literal["uid", "gid"], given: FileIds | None, own: IdMap | None) -> IdMap:
    if given != "process":
        return IdMap.of(kind, _AS_THEY_ARE if given is None else given)
    if own is None:
        raise ValueError(f'{kind}_map="process" needs a user namespace: add CloneFlags.NEWUSER to namespaces=')
    return own


_AS_THEY_ARE = ((0, 0, 2**32 - 1),)


class Bind(Record):
    """A file or folder of the host, with all that is mounted below it.

    Attributes:
        source: its path on the host.
        target: where it is seen; as `source` when not given.
        read_only: whether nothing below it can be written.
        devices: whether device nodes in it can be opened.
        set_user_ids: whether programs in it can gain the privileges of their set-user-id bits and capabilities.
        missing_ok: whether it is left out where there is no such file. It is an error otherwise.
        uid_map: with what user ids the files are seen: ranges of (id in the files, id on the host, count), or "process": each
            id in the files is the id inside the process's own user namespace. None is as they are. It needs CAP_SYS_ADMIN
            where the file system was mounted, which for most is root of the host, and Linux 5.12.
        gid_map: the same for groups; where only one of both is given, the others are as they are.
    """

    source: str | os.PathLike[str]
    target: str = ""
    read_only: bool = False
    devices: bool = False
    set_user_ids: bool = False
    missing_ok: bool = False
    uid_map: FileIds | None = None
    gid_map: FileIds | None = None

    def __post_init__(self) -> None:
        check_path("source", self.source)
        if not self.target:
            object.__setattr__(self, "target", on_host(self.source))
        for name, given in (("uid_map", self.uid_map), ("gid_map", self.gid_map)):
            if isinstance(given, str) and given != "process":
                raise ValueError(f'{name} of a bind must be "process" or ranges, not {given!r}')
            if given is not None and not isinstance(given, str):
                kind: Literal["uid", "gid"] = "uid" if name == "uid_map" else "gid"
                object.__setattr__(self, name, IdMap.of(kind, given).ranges)

    def maps(self, uids: IdMap | None, gids: IdMap | None) -> tuple[IdMap, IdMap]:
        """The maps of its user and group ids, for a process with these maps."""
        return _map_of("uid", self.uid_map, uids), _map_of("gid", self.gid_map, gids)

    @property
    def is_left_out(self) -> bool:
        try:
            os.stat(self.source)
        except FileNotFoundError:
            return self.missing_ok
        except OSError:
            pass  # the step that takes it says so
        return False

    def take(self, setup: Setup) -> Place:
        target = absolute(self.target)
        put = attach(setup.steps, self.tree(setup, read_only=False), target, os.path.isdir(self.source))

        def place(make: bool, kernel_files: KernelFiles | None) -> None:
            put(make, kernel_files)
            if kernel_files is not None:
                kernel_files.protect_below(os.fspath(self.source), target, [])

        return place

    def tree(self, setup: Setup, *, read_only: bool) -> int:
        """Takes the files; returns their slot."""
        source = on_host(self.source)
        taken = setup.taken.get(self) if self.uid_map is not None or self.gid_map is not None else None
        slot = setup.steps.tree(source) if taken is None else setup.steps.taken_tree(taken, source)
        if attributes := attributes_of(self.devices, self.set_user_ids) | (
            ATTR_RDONLY if self.read_only or read_only else 0
        ):
            setup.steps.attributes(slot, attributes)
        return slot


class Tmpfs(Record):
    """A file system in memory. As `root=` an empty one, to be filled with binds.

    Attributes:
        target: where.
        size: at most this many bytes; None is half of the memory.
        mode: of its root folder.
    """

    target: str = "/"
    size: int | None = None
    mode: int = 0o755

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if self.size is not None and (not isinstance(self.size, int) or self.size <= 0):
            raise ValueError(f"size must be a number of bytes above 0, not {self.size!r}")

    def make(self, setup: Setup) -> int:
        """Makes it; returns its slot."""
        options = {"mode": f"{self.mode:o}"}
        if self.size is not None:
            options["size"] = str(self.size)
        return setup.steps.filesystem("tmpfs", options, ATTR_NOSUID | ATTR_NODEV, target=self.target)

    def take(self, setup: Setup) -> Place:
        target = absolute(self.target)
        return attach(setup.steps, self.make(setup), target)


class Proc(Record):
    """The processes of the process's own PID namespace."""

    target: str = "/proc"

    def take(self, setup: Setup) -> Place:
        target = absolute(self.target)
        slot = setup.steps.filesystem("proc", {}, ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC, target=target)
        return attach_kernel_files(setup.steps, slot, target, "proc")


class Sys(Record):
    """Read-only /sys, of the process's own network namespace."""

    target: str = "/sys"

    def take(self, setup: Setup) -> Place:
        target = absolute(self.target)
        attributes = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC
        slot = setup.steps.filesystem("sysfs", {}, attributes, target=target)
        return attach_kernel_files(setup.steps, slot, target, "sysfs")


class Dev(Record):
    """A minimal /dev: null, zero, full, random, urandom and tty of the host, shm and pts of its own, and the usual links."""

    target: str = "/dev"

    def take(self, setup: Setup) -> Place:
        steps, target = setup.steps, absolute(self.target)
        nodes = {name: steps.tree(f"/dev/{name}") for name in ("null", "zero", "full", "random", "urandom", "tty")}
        shm, pts = f"{target}/shm", f"{target}/pts"
        own_pts = {"newinstance": "", "ptmxmode": "0666", "mode": "620"}
        slots = {
            target: steps.filesystem("tmpfs", {"mode": "755"}, ATTR_NOSUID | ATTR_NOEXEC, target=target),
            shm: steps.filesystem("tmpfs", {"mode": "1777"}, ATTR_NOSUID | ATTR_NODEV, target=shm),
            pts: steps.filesystem("devpts", own_pts, ATTR_NOSUID | ATTR_NOEXEC, target=pts),
        }
        links = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}

        def place(make: bool, _: KernelFiles | None) -> None:
            for path, slot in slots.items():
                attach(steps, slot, path)(make or path != target, None)
            for name, slot in nodes.items():
                steps.mkfile(f"{target}/{name}")
                steps.attach(slot, f"{target}/{name}")
            for name, leads_to in links.items():
                steps.symlink(f"{target}/{name}", leads_to)

        return place


def _is_no_device(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file, and it is none. The step that takes a missing one says so."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode))


class Device(Record):
    """A device of the host, such as /dev/fuse, which can be opened with the rights that its node has.

    Attributes:
        source: its node on the host.
        target: where it is seen, after `Dev`; as `source` when not given.
    """

    source: str | os.PathLike[str]
    target: str = ""

    def __post_init__(self) -> None:
        check_path("source", self.source)
        if not self.target:
            object.__setattr__(self, "target", on_host(self.source))

    def take(self, setup: Setup) -> Place:
        if _is_no_device(self.source):
            raise ValueError(f"{os.fspath(self.source)} is no device: Bind() takes other files")
        return Bind(self.source, self.target, devices=True).take(setup)


class Directory(Record):
    """A folder that is made in the root, with those above it. One that is there already is kept as it is.

    Attributes:
        target: where.
        mode: of a new one; those above it get 0o755.
    """

    target: str
    mode: int = 0o755

    def __post_init__(self) -> None:
        check_mode(self.mode)

    def take(self, setup: Setup) -> Place:
        path = absolute(self.target)

        def place(_: bool, __: KernelFiles | None) -> None:
            make_parents(setup.steps, path)
            setup.steps.mkdir(path, self.mode)

        return place


class Symlink(Record):
    """A symbolic link that is made in the root, with the folders above it. The same link may be there already.

    Attributes:
        source: where it leads to.
        target: where it is.
    """

    source: str | os.PathLike[str]
    target: str

    def take(self, setup: Setup) -> Place:
        path = absolute(self.target)
        check_path("source", self.source)

        def place(_: bool, __: KernelFiles | None) -> None:
            make_parents(setup.steps, path)
            setup.steps.symlink(path, self.source)

        return place


Mount = Bind | Tmpfs | Overlay | Proc | Sys | Dev | Device | Directory | Symlink
