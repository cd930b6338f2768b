"""What `kthreads nsenter` is to enter. All of it is opened before the first step: afterwards /proc may be another one."""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import os
import select
from typing import NamedTuple

from kthreads import cgroups
from kthreads._native import lib
from kthreads.cli.namespace_options import NAMESPACE_OPTIONS
from kthreads.errors import KThreadsError
from kthreads.flags.clone_flags import KINDS
from kthreads.namespaces.enter import setns
from kthreads.namespaces.kinds import kind_of
from kthreads.namespaces.listing import open_owner

__all__ = ["FOLLOW", "OF_TARGET", "Plan"]

OF_TARGET = True
"""The value of an option that was given without one."""
FOLLOW = -1
"""The user or group id that the target has."""

_ORDER = ("user", "cgroup", "ipc", "uts", "net", "pid", "mnt", "time")
_SIOCGSKNS = 0x894C  # linux/sockios.h: the network namespace of a socket


class _Step(NamedTuple):
    """A namespace to enter."""

    kind: str
    fd: int

    def fileno(self) -> int:
        return self.fd


class Plan:
    """The namespaces to enter, and what else the program gets of the target.

    Attributes:
        entered: the kinds of the namespaces that were entered.
        root: a descriptor of the root directory; None for the one that there is.
        wd: the same for the working directory.
        environment: the target's variables; None for those of this process.
        owner: whom the target belongs to; None where that is not asked for.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._target = options.target or None
        self._pidfd = self._open_target()
        self.entered: set[str] = set()
        self._steps = self._named(options)
        if options.user_parent:
            self._steps["user"] = self._parent_of_users()
        if options.net_socket is not None:
            self._steps["net"] = self._network_of_socket(options.net_socket)
        self.root = self._directory("root", options.root)
        self.wd = self._directory("cwd", options.wd)
        self.environment = self._environment() if options.env else None
        self.owner = self._owner() if FOLLOW in (options.setuid, options.setgid) else None
        self._cgroup = self._open_cgroup() if options.join_cgroup else None
        self._check_target()

    def _open_target(self) -> int | None:
        """A pidfd of the target; None where it is a thread that the kernel has none for."""
        if self._target is None:
            return None
        with contextlib.suppress(OSError):
            return os.pidfd_open(self._target)
        with contextlib.suppress(OSError):
            return os.pidfd_open(self._target, os.O_EXCL)  # PIDFD_THREAD, Linux 6.9
        return None

    def _check_target(self) -> None:
        """What was opened by the id of the target was of one and the same process if that is still alive."""
        if self._pidfd is None:
            return
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if poll.poll(0):
            raise ProcessLookupError(errno.ESRCH, f"process {self._target} has ended")

    def _of_target(self, name: str, option: str) -> str:
        if self._target is None:
            raise ValueError(f"no target PID specified: {option} needs --target")
        if not os.path.exists(f"/proc/{self._target}"):
            raise ProcessLookupError(errno.ESRCH, f"there is no process {self._target}")
        return f"/proc/{self._target}/{name}"

    def _named(self, options: argparse.Namespace) -> dict[str, _Step]:
        """The namespaces that options name, by their kinds."""
        given = {kind: getattr(options, kind) for kind in NAMESPACE_OPTIONS if getattr(options, kind) is not None}
        if options.all:
            given = dict.fromkeys(self._all_kinds(), OF_TARGET) | given
        steps = {}
        for kind, file in given.items():
            of_target = file is OF_TARGET
            path = (
                self._of_target(f"ns/{kind}", f"{NAMESPACE_OPTIONS[kind].name} without a file") if of_target else file
            )
            steps[kind] = _Step(kind, _open_namespace(kind, path))
        return steps

    def _all_kinds(self) -> set[str]:
        """Those that the target has, except those that this process is in already: to enter one again may need a privilege in
        it, and is refused for a user namespace. Entering a mount namespace again leads to its root, and a PID namespace to a
        child."""
        kinds = set(os.listdir(self._of_target("ns", "--all"))) & set(KINDS)
        return {kind for kind in kinds if kind in ("mnt", "pid") or not self._is_in(kind)}

    def _is_in(self, kind: str) -> bool:
        return os.path.samefile(self._of_target(f"ns/{kind}", "--all"), f"/proc/self/ns/{kind}")

    def _parent_of_users(self) -> _Step:
        path = self._of_target("ns/user", "--user-parent")
        of = self._steps.get("user") or _Step("user", _open_namespace("user", path))
        try:
            return _Step("user", open_owner(of.fd))
        except OSError as error:
            raise OSError(error.errno, "the parent of the user namespace is out of reach", path) from None

    def _network_of_socket(self, number: int) -> _Step:
        path = self._of_target(f"fd/{number}", "--net-socket")
        if self._pidfd is None:
            raise ProcessLookupError(errno.ESRCH, f"there is no process {self._target}")
        fd = lib.kt_descriptor_of(self._pidfd, number)
        if fd < 0:
            raise OSError(-fd, f"cannot get the socket: {os.strerror(-fd)}", path)
        try:
            return _Step("net", fcntl.ioctl(fd, _SIOCGSKNS))
        except OSError as error:
            raise OSError(error.errno, f"it is no socket of a network: {error.strerror}", path) from None
        finally:
            os.close(fd)

    def _directory(self, name: str, given: str | bool | None) -> int | None:
        if given is None:
            return None
        option = f"--{'wd' if name == 'cwd' else name} without a directory"
        return _open(self._of_target(name, option) if given is OF_TARGET else str(given))

    def _environment(self) -> dict[str, str]:
        with open(self._of_target("environ", "--env"), "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0") if b"=" in pair]
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}

    def _owner(self) -> os.stat_result:
        return os.stat(self._of_target("", "follow"))

    def _open_cgroup(self) -> int:
        self._of_target("cgroup", "--join-cgroup")
        cgroup = cgroups.of_version_2(self._target)
        if cgroup is None:
            raise ValueError("--join-cgroup needs cgroups of version 2, and none are mounted here")
        return os.open(cgroup.folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    @property
    def has_users(self) -> bool:
        """Whether a user namespace is among those to enter."""
        return "user" in self._steps

    def enter(self) -> None:
        """Enters all: the user namespace last where the caller can do the rest before, to give privileges up with it;
        else first, to gain them. Then joins the target's cgroup."""
        for kind in _ORDER[1:]:
            with contextlib.suppress(KThreadsError, OSError):
                self._enter(kind)
        for kind in _ORDER:
            self._enter(kind)
        if self._cgroup is not None:
            os.write(self._cgroup, b"0")

    def _enter(self, kind: str) -> None:
        if kind in self._steps:
            setns(self._steps[kind], KINDS[kind])
            self.entered.add(kind)
            os.close(self._steps.pop(kind).fd)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _open_namespace(kind: str, path: str) -> int:
    fd = _open(path)
    found = kind_of(fd)
    if found != kind:
        what = "it is not the file of a namespace" if found is None else f"it is a {found} namespace, not {kind}"
        raise OSError(errno.EINVAL, what, path)
    return fd
