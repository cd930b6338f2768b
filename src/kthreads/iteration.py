"""Iteration that is complete: also when another thread changes the collection, or an exception interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["carry_through", "contents", "for_each", "snapshot"]

T = TypeVar("T")


def snapshot(items: Iterable[T]) -> list[T]:
    """A copy of the items. Another thread, a signal handler or a finalizer may change the collection at any time, and then
    the iteration ends with RuntimeError: it is repeated."""
    while True:
        try:
            return list(items)
        except RuntimeError:
            continue


def contents(view: Iterable[T]) -> list[T]:
    """The keys or values of a dict, for the hooks of a forked child.

    On a free-threaded build each dict has a lock. A thread of the parent that waited for it may have been given it just before
    the fork, and in the child nobody ever gives it back. The iterator of a dict takes the lock only where it must; list(),
    copy() and get() always do. So a hook reads by this function, and then puts a new dict in the place of the parent's.
    """
    return [each for each in view]  # noqa: C416 (list() takes the lock)


def carry_through(action: Callable[[], object]) -> None:
    """Calls an action, and calls it again after an exception, which a signal handler may have raised in it. The second call
    must continue where the first one ended."""
    try:
        action()
    except BaseException:
        action()
        raise


def for_each(action: Callable[[T], object], items: Iterable[T]) -> None:
    """Calls an action for each item, also after a call that raises. Raises the first exception in the end."""
    failure: BaseException | None = None
    for item in items:
        try:
            action(item)
        except BaseException as error:
            failure = failure or error
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # its traceback refers to this frame
