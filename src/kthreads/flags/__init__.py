"""Flags of clone(2): their names, what they do, which go together, and what the kernel refuses, as data and rules.

May use errors, and nothing else of the project.
"""

from typing import TYPE_CHECKING

from kthreads.flags.clone_flags import NAMESPACES, SHARE_ALL, THREAD_NAMESPACES, CloneFlags
from kthreads.late_names import late_names

if TYPE_CHECKING:
    from kthreads.flags.caller import Situation
    from kthreads.flags.explanation import Effect, Explanation, explain
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

__getattr__, __dir__ = late_names(
    __name__,
    {
        "kthreads.flags.caller": ["Situation"],
        "kthreads.flags.explanation": ["Effect", "Explanation", "explain"],
        "kthreads.flags.rule_model": ["Problem"],
    },
)
