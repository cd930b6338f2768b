"""What happens in a forked child and at the end of the interpreter: the order of all hooks.

Each hook stands beside what it is about, in a module that adds it when it is imported. The C engine has a hook of its own
(csrc/base/fork.c), which runs before those of Python in a child: its threads, queues and locks are whole there.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import TypeVar

from kthreads.iteration import contents, for_each

__all__ = ["Hooks", "as_the_interpreter_begins_to_end", "at_its_end", "in_a_forked_child"]

Hook = TypeVar("Hook", bound=Callable[[], object])


class Hooks:
    """Functions that are called one after the other, in an order that does not depend on that of the imports.

    Args:
        names: all that there may be, as module.function, in their order.
    """

    def __init__(self, *names: str) -> None:
        self.functions: dict[str, Callable[[], object] | None] = dict.fromkeys(names)

    def add(self, function: Hook) -> Hook:
        """Adds one of the functions; a decorator.

        Raises:
            LookupError: the order does not have it.
        """
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        if name not in self.functions:
            raise LookupError(f"{name} is not among the hooks {', '.join(self.functions)}")
        self.functions[name] = function
        return function

    def run(self) -> None:
        """Calls those that were added. Every one runs, even if another one raises."""
        for_each(lambda function: function and function(), contents(self.functions.values()))


in_a_forked_child = Hooks(  # resets what the parent's other threads would have completed
    "completions.reset_after_fork",  # ends the futures of native tasks, closes descriptors
    "python_task.reset_after_fork",  # ends the futures of Python tasks
    "executor_threads.reset_after_fork",  # executors start new threads
    "registry.reset_after_fork",  # threads are not waited for
    "known_to_threading.reset_after_fork",  # the thread of a pool that has forked is the child's main thread
    "running.reset_after_fork",  # processes are the child's siblings, not its children
)

as_the_interpreter_begins_to_end = Hooks(  # threads can still run Python here, but start no new threads
    "executor_threads.finish_at_exit",  # executors: waits for all tasks
    "trace.end_at_exit",  # traces: writes their files
    "pool.close_at_exit",  # pools: cancels the tasks that have not begun
    "pool.end_threads_at_exit",  # in a subinterpreter
)

at_its_end = Hooks(  # after the first one no thread enters the interpreter, but native functions continue
    "interpreter.close",
    "pool.keep_at_exit",  # keeps what the threads of pools use
    "completions.keep_running_at_exit",  # their tasks
    "registry.keep_running_at_exit",  # daemon threads
)

os.register_at_fork(after_in_child=in_a_forked_child.run)
atexit.register(at_its_end.run)
