"""Files of the host that are seen with other user and group ids (MOUNT_ATTR_IDMAP, Linux 5.12).

The kernel takes the ids from the maps of a user namespace. That is made for this alone, by a child that ends at once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from kthreads._native import lib
from kthreads.descriptors import Descriptors
from kthreads.errors import process_error
from kthreads.flags.clone_flags import CloneFlags
from kthreads.processes.child_steps import Steps
from kthreads.processes.idmap import IdMap
from kthreads.processes.mount_points import on_host
from kthreads.processes.mounts import Bind
from kthreads.processes.start import start

__all__ = ["take_mapped"]

_REASONS = {
    errno.EPERM: ", which needs CAP_SYS_ADMIN where its file system was mounted",
    errno.EINVAL: ", which the file systems there cannot do",
}


def _user_namespace(uids: IdMap, gids: IdMap, descriptors: Descriptors) -> int:
    """A descriptor of a new user namespace with these maps."""
    from kthreads.functions.symbol import symbol
    from kthreads.processes.clone import Child

    steps = Steps()
    steps.go()
    child = Child(CloneFlags.NEWUSER, "a user namespace for the ids of files")
    running = child._running_process
    try:
        start(
            running,
            CloneFlags.NEWUSER,
            steps,
            call=symbol(None, "getpid", "int(void)").bind(()),
            uid_map=uids.text,
            gid_map=gids.text,
            before_go=lambda pid: _hold(descriptors, f"/proc/{pid}/ns/user"),
        )
        running.kept = True
    except BaseException:
        running.abandon()
        raise
    running.wait()
    return descriptors[-1]


def _hold(descriptors: Descriptors, path: str) -> None:
    descriptors.open(os.open, path, os.O_RDONLY | os.O_CLOEXEC)


def _take(bind: Bind, uids: IdMap, gids: IdMap, descriptors: Descriptors) -> int:
    source = on_host(bind.source)
    with Descriptors() as passing:
        try:
            namespace = _user_namespace(uids, gids, passing)
        except PermissionError:
            raise _error(errno.EPERM, source) from None
        fd = descriptors.open(lib.kt_tree_with_ids, os.fsencode(source), namespace)
    if fd < 0:
        raise _error(-fd, source)
    return fd


def _error(code: int, source: str) -> Exception:
    does = f"map the ids of the files at {source}{_REASONS.get(code, '')}"
    return process_error(code, does, filename=None, path=source)


def take_mapped(
    binds: Iterable[Bind], uids: IdMap | None, gids: IdMap | None, descriptors: Descriptors
) -> dict[Bind, int]:
    """Takes the files of the binds that map ids, as descriptors of the process that starts another.

    Args:
        binds: all binds of the other process.
        uids, gids: its own maps; None without a user namespace of its own.
        descriptors: what holds the descriptors.

    Raises:
        ProcessPermissionError: this process may not map ids of these files.
        ProcessStartError: the file systems cannot do it.
    """
    return {
        bind: _take(bind, *bind.maps(uids, gids), descriptors)
        for bind in binds
        if bind.uid_map is not None or bind.gid_map is not None
    }
