"""Processes: a clone with its own memory, the steps of the child before its program, and containers.

May use functions, flags and the list of namespaces."""

from typing import TYPE_CHECKING

from kthreads.late_names import late_names

if TYPE_CHECKING:
    from kthreads.processes.clone import Child
    from kthreads.processes.process import Process

__all__ = ["Child", "Process"]

__getattr__, __dir__ = late_names(
    __name__, {"kthreads.processes.clone": ["Child"], "kthreads.processes.process": ["Process"]}
)
