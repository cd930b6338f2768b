"""What happens in a forked child and at the end of the interpreter: all hooks, in their order.

The C engine has a hook of its own (csrc/base/fork.c), which runs before those of Python in a child: its threads, queues and
locks are whole there. Hooks of the children of other modules, such as processes, stand here, too.
"""

from __future__ import annotations

import atexit
import os

from kthreads._native import lib
from kthreads.iteration import for_each
from kthreads.pools import completions, executor_threads, pool, python_task
from kthreads.processes import running
from kthreads.threads import registry, threading_hooks

__all__: list[str] = []


def _in_a_forked_child() -> None:
    """Resets what the parent's other threads would have completed. Every hook runs, even if another one raises."""
    for_each(
        lambda reset: reset(),
        (
            completions.reset_after_fork,  # ends the futures of native tasks, closes descriptors
            python_task.reset_after_fork,  # ends the futures of Python tasks
            executor_threads.reset_after_fork,  # executors start new threads
            running.forget_all,  # processes are the child's siblings, not its children
        ),
    )


def _as_the_interpreter_begins_to_end() -> None:
    """Threads can still run Python here, but start no new threads."""
    for_each(
        lambda end: end(),
        (
            executor_threads.finish_at_exit,  # executors: waits for all tasks
            pool.close_at_exit,  # pools: cancels the tasks that have not begun
            registry.join_at_exit,  # threads that are not daemons
        ),
    )


def _at_its_end() -> None:
    """After this no thread enters the interpreter, but native functions continue. Keeps the memory that they use."""
    for_each(
        lambda keep: keep(),
        (
            lib.kt_python_end,
            pool.keep_at_exit,  # what the threads of pools use
            completions.keep_running_at_exit,  # their tasks
            registry.keep_running_at_exit,  # daemon threads
        ),
    )


os.register_at_fork(after_in_child=_in_a_forked_child)
threading_hooks.at_shutdown(_as_the_interpreter_begins_to_end)
atexit.register(_at_its_end)
