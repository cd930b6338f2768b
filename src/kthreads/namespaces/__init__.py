"""Namespaces: which there are, which processes are in them, and how the caller enters or leaves one.

May use flags.
"""

from kthreads.namespaces.enter import Entry, setns, unshare
from kthreads.namespaces.listing import Member, Namespace, list_namespaces

__all__ = ["Entry", "Member", "Namespace", "list_namespaces", "setns", "unshare"]
