"""Namespaces: which there are, which processes are in them, and how the caller enters or leaves one.

May use flags.
"""

from typing import TYPE_CHECKING

from kthreads.late_names import late_names

if TYPE_CHECKING:
    from kthreads.namespaces.enter import Entry, setns, unshare
    from kthreads.namespaces.listing import Member, Namespace, list_namespaces

__all__ = ["Entry", "Member", "Namespace", "list_namespaces", "setns", "unshare"]

__getattr__, __dir__ = late_names(
    __name__,
    {
        "kthreads.namespaces.enter": ["Entry", "setns", "unshare"],
        "kthreads.namespaces.listing": ["Member", "Namespace", "list_namespaces"],
    },
)
