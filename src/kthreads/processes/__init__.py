"""Processes: a clone with its own memory, the steps of the child before its program, and containers.

May use functions, flags and the list of namespaces."""

from kthreads.processes.clone import Child
from kthreads.processes.process import Process

__all__ = ["Child", "Process"]
