"""What a thread may unshare and enter: the rules for flags, and those that other threads of the process bring in."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

from kthreads._native import lib
from kthreads.errors import FlagError, UnsupportedError
from kthreads.flags.caller import Situation
from kthreads.flags.check import check, refused
from kthreads.flags.clone_flags import NAMESPACES, CloneFlags, all_but
from kthreads.flags.text import text

__all__ = ["before_setns", "before_unshare", "no_return", "setns_error", "sharers", "unshare_error"]

_OWN_FS = "run it on a thread that has its own, kthreads.Thread(..., share=kthreads.flags.SHARE_ALL & ~CloneFlags.FS)"


def sharers(resource: int) -> Iterator[int]:
    """The other threads of this process that share a resource (enum kt_resource) with the calling one.

    Where the kernel cannot tell (it was built without kcmp(2)), all of them are said to; where there is no /proc of
    this process, none.
    """
    own = threading.get_native_id()
    try:
        others = [int(tid) for tid in os.listdir("/proc/self/task")]
    except FileNotFoundError:
        return iter(())
    return (tid for tid in others if tid != own and lib.kt_same(own, tid, resource) in (1, -errno.ENOSYS))


def _shares_fs() -> bool:
    return next(sharers(lib.KT_RESOURCE_FS), None) is not None


def before_unshare(flags: CloneFlags) -> None:
    """Raises what `unshare` documents, where the call would be refused or would do more than it says."""
    if not flags:
        raise ValueError("say what to unshare: unshare(CloneFlags.NEWNET | ...)")
    check(flags, "unshare")
    if flags & CloneFlags.NEWNS and not flags & CloneFlags.FS and _shares_fs():
        raise FlagError(
            "with CLONE_NEWNS this thread would also stop sharing its working directory, root and umask with other "
            f"threads, for good, as CLONE_NEWNS implies CLONE_FS: {_OWN_FS}; or add CLONE_FS, if you want that",
            0,
        )


def before_setns(flags: CloneFlags) -> None:
    """Raises what `setns` documents, where the call would be refused."""
    shares = bool(flags & (CloneFlags.NEWNS | CloneFlags.NEWUSER)) and _shares_fs()
    if flags & CloneFlags.NEWNS and shares:
        raise FlagError(
            "setns(2) lets a thread into a mount namespace only where it shares its working directory and root with "
            f"no other: {_OWN_FS}; or call kthreads.unshare(CloneFlags.FS) on this one before, which is for good",
            errno.EINVAL,
        )
    check(flags, "setns", situation=Situation(shares_fs=shares))


def no_return(flags: CloneFlags) -> str | None:
    """Why there is no way back from what is entered with flags; None where there is one."""
    if flags & CloneFlags.NEWUSER:
        return "a user namespace cannot be left: that needs CAP_SYS_ADMIN in the one above, which a thread loses as it enters"
    if others := flags & all_but(NAMESPACES):
        return (
            f"{text(others)} cannot be left: the kernel has no call to share again what was unshared. "
            "Call unshare() without `with`, on a thread that ends afterwards"
        )
    if flags & CloneFlags.NEWTIME and Situation().threads > 1:
        return "a time namespace cannot be left by a process with several threads (setns(2))"
    return None


def unshare_error(code: int, flags: CloneFlags) -> Exception:
    """The exception for an errno value of unshare(2)."""
    return refused(code, flags, "unshare")


def setns_error(code: int, flags: CloneFlags, name: str) -> Exception:
    """The exception for an errno value of setns(2)."""
    if code == errno.ESRCH:
        return ProcessLookupError(code, f"can't enter namespaces of {name}: it has ended")
    if code in (errno.EINVAL, errno.EBADF) and Situation().kernel < (5, 8) and name.startswith("process"):
        return UnsupportedError(
            f"setns(2) takes a process from Linux 5.8 on: enter its namespaces one by one, /proc/PID/ns/... of {name}"
        )
    if code == errno.EINVAL and flags & CloneFlags.NEWPID:
        return FlagError(f"a thread can enter only its own PID namespace or one below it; {name} has another", code)
    return refused(code, flags, "setns")
