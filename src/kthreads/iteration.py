"""Doing all of something: for each item, whatever changes the collection or raises meanwhile, and to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["carry_through", "for_each", "snapshot"]

T = TypeVar("T")


def snapshot(items: Iterable[T]) -> list[T]:
    """The items now. Another thread, a signal handler or a finalizer may add some at any time, which ends an iteration by
    an exception: it is then begun again."""
    while True:
        try:
            return list(items)
        except RuntimeError:
            continue


def carry_through(action: Callable[[], object]) -> None:
    """Does it, and after an exception once more: a signal handler may have cut it short. It goes on where it was."""
    try:
        action()
    except BaseException:
        action()
        raise


def for_each(action: Callable[[T], object], items: Iterable[T]) -> None:
    """Does it for each item, also after one that raises. The first exception comes when all is done."""
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
            failure = None  # its traceback has this frame
