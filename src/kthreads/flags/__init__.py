"""Flags of clone(2): their names, what they do, which go together, and what the kernel refuses, as data and rules.

May use errors, and nothing else of the project.
"""

from kthreads.flags.caller import Situation
from kthreads.flags.clone_flags import NAMESPACES, SHARE_ALL, THREAD_NAMESPACES, CloneFlags
from kthreads.flags.explain import Effect, Explanation, explain
from kthreads.flags.rule_model import Problem

__all__ = [
    "NAMESPACES",
    "SHARE_ALL",
    "THREAD_NAMESPACES",
    "CloneFlags",
    "Effect",
    "Explanation",
    "Problem",
    "Situation",
    "explain",
]
