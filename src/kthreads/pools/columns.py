"""The arguments of many calls as columns in memory: one array for each parameter."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence, Sized
from itertools import islice
from typing import Any

from kthreads import _call
from kthreads._native import lib
from kthreads.functions.c_types import CType
from kthreads.functions.element_types import ELEMENT_TYPES
from kthreads.functions.function import NativeFunction
from kthreads.pools.slices import Slices

__all__ = ["Scalar", "column_of", "columns_of", "item_of", "results_of", "rows_of"]

_WORD = "Q"  # of an array of pointers, or of results of type void


class Scalar:
    """One argument for all calls."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def is_scalar(value: Any) -> bool:
    """Whether an argument is one value for all calls: None, a number, or what cannot be iterated over."""
    if value is None or isinstance(value, (int, float)) or getattr(value, "shape", None) == ():
        return True
    return not (hasattr(type(value), "__iter__") or hasattr(type(value), "__getitem__"))


def columns_of(iterables: Sequence[Any]) -> tuple[list[Any], int]:
    """The arguments of all calls: for each parameter a sequence or a `Scalar`; and the length of all sequences.

    Raises:
        ValueError: the lengths differ.
        TypeError: there is no iterable.
    """
    columns = [Scalar(each) if is_scalar(each) else each for each in iterables]
    sequences = [each for each in columns if not isinstance(each, Scalar)]
    if not sequences:
        raise TypeError(
            "all arguments are scalars: at least one has to be an iterable, which gives the number of calls"
        )
    lengths = {len(each) for each in sequences if isinstance(each, Sized)}
    if len(lengths) > 1:
        raise ValueError(f"the iterables of arguments have different lengths: {', '.join(map(str, sorted(lengths)))}")
    if not lengths:  # none knows its length
        rows = list(zip(*sequences, strict=True))
        made = iter(map(list, zip(*rows, strict=True)) if rows else [[] for _ in sequences])
        return [each if isinstance(each, Scalar) else next(made) for each in columns], len(rows)
    count = lengths.pop()
    columns = [_sequence(each, count) for each in columns]
    for column in columns:
        if not isinstance(column, Scalar) and len(column) != count:
            raise ValueError(f"an iterable of arguments ended after {len(column)} of {count}")
    return columns, count


def _sequence(column: Any, count: int) -> Any:
    if isinstance(column, Scalar) or hasattr(column, "__getitem__"):
        return column
    return list(islice(column, count))


def rows_of(iterables: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
    """The arguments of each call. Raises as `columns_of`."""
    columns, count = columns_of(iterables)
    return zip(*([each.value] * count if isinstance(each, Scalar) else each for each in columns), strict=True)


def column_of(function: NativeFunction, number: int, values: Any, count: int) -> _call.Held:
    """A column in memory, which keeps alive what its items point to.

    Raises:
        TypeError, OverflowError, ValueError: an argument is invalid; the message says which, and a note says in which call.
    """
    if isinstance(values, Scalar):
        return function.column_of_scalar(number, values.value)
    if isinstance(values, Slices):
        return function.column_of_slices(number, values.view, values.begins, values.view.itemsize)
    if type(values) not in (list, tuple):
        found = function.column_of_buffer(number, values, count)
        if found is not None:
            return found
    return function.column_of_tuple(number, _items_of(values, count))


def _items_of(values: Iterable[Any], count: int) -> tuple[Any, ...]:
    """Exactly `count` items. An iterable whose length lies may be endless."""
    items = tuple(values if type(values) in (list, tuple) else islice(iter(values), count + 1))
    if len(items) != count:
        what = f"after {len(items)} of" if len(items) < count else "later than after"
        raise ValueError(f"an iterable of arguments ended {what} {count}, which is its length")
    return items


def item_of(ctype: CType) -> int:
    """The ``enum kt_item`` of results of a type: of pointers, that of their words."""
    return ELEMENT_TYPES[ctype.layout].kind if ctype.layout in ELEMENT_TYPES else int(lib.KT_ITEM_UINT64)


def results_of(ctype: CType, count: int) -> array[Any]:
    """Memory for so many results of a type."""
    code = ELEMENT_TYPES[ctype.layout].code if ctype.layout in ELEMENT_TYPES else _WORD
    return array(code, bytes(array(code).itemsize * count))
