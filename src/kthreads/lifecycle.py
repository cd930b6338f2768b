"""What becomes of everything in a forked child, and at the end of the interpreter: all hooks, in their order.

The C engine has a hook of its own (csrc/fork.c), which runs before those of Python in a child: its threads, queues and
locks are whole there. Hooks of the children of other modules, such as processes, stand here, too.
"""

from __future__ import annotations

import atexit
import os

from kthreads._native import lib
from kthreads.iteration import for_each
from kthreads.pools import completions, executor_threads, futures, pool
from kthreads.processes import running
from kthreads.threads import registry, threading_hooks

__all__: list[str] = []


def _in_a_forked_child() -> None:
    """All that the parent's other threads would have done never comes. Each is done though another one should fail."""
    for_each(
        lambda forget: forget(),
        (
            completions.forget_all,  # native tasks, whose futures end; descriptors are closed
            futures.forget_after_fork,  # Python tasks, likewise
            executor_threads.forget_all,  # the threads of executors, which start new ones
            running.forget_all,  # processes, which are the child's siblings
        ),
    )


def _as_the_interpreter_begins_to_end() -> None:
    """Threads can still run Python, and start no new threads."""
    for_each(
        lambda end: end(),
        (
            executor_threads.end_all,  # executors: all that was submitted is done
            pool.cancel_all_waiting,  # pools: what has not begun is not
            registry.join_all,  # threads that are not daemons
        ),
    )


def _at_its_end() -> None:
    """No thread of ours enters the interpreter any more, but native functions go on. What they use stays."""
    for_each(
        lambda keep: keep(),
        (
            lib.kt_python_end,
            pool.keep_all,  # what the threads of pools use,
            completions.keep_what_runs,  # their tasks,
            registry.keep_what_runs,  # and daemon threads
        ),
    )


os.register_at_fork(after_in_child=_in_a_forked_child)
threading_hooks.at_shutdown(_as_the_interpreter_begins_to_end)
atexit.register(_at_its_end)
