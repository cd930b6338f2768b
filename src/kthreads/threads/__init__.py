"""Threads: one thread's life from start to join, waiting for several, and what Python knows of them.

May use functions and flags."""

from kthreads.threads.thread import Thread
from kthreads.threads.wait import WaitResult

__all__ = ["Thread", "WaitResult"]
