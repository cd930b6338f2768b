"""Iteration that is complete: also when another thread changes the collection, or an exception interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["carry_through", "for_each", "snapshot"]

T = TypeVar("T")


def snapshot(items: Iterable[T]) -> list[T]:
    """A copy of the items. Another thread, a signal handler or a finalizer may change the collection at any time, and then
    the iteration ends with RuntimeError: it is repeated."""
    while True:
        try:
            return list(items)
        except RuntimeError:
            continue


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
