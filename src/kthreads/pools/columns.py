"""The arguments of many calls as columns in memory: one array for each parameter."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

from kthreads._native import lib
from kthreads.functions.c_types import CType
from kthreads.functions.element_types import ELEMENT_TYPES
from kthreads.functions.function import NativeFunction

__all__ = ["columns_of", "kind_of", "pack_column", "results_of"]

_WORD = "Q"  # of an array of pointers, or of results of type void


def columns_of(iterables: Sequence[Iterable[Any]]) -> list[Sequence[Any]]:
    """The arguments of all calls: a sequence for each parameter, all of one length.

    Raises:
        ValueError: the lengths differ.
    """
    lengths = {len(each) for each in iterables if isinstance(each, Sized)}
    if len(lengths) > 1:
        raise ValueError(f"the iterables of arguments have different lengths: {', '.join(map(str, sorted(lengths)))}")
    if not lengths:  # none knows its length
        rows = list(zip(*iterables, strict=True))
        return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in iterables]
    count = lengths.pop()
    columns: list[Any] = [each if hasattr(each, "__getitem__") else list(islice(each, count)) for each in iterables]
    for column in columns:
        if len(column) != count:
            raise ValueError(f"an iterable of arguments ended after {len(column)} of {count}")
    return columns


def pack_column(function: NativeFunction, number: int, values: Any, count: int, keep: list[Any]) -> Any:
    """A column as memory of the parameter's type, one value for each of `count` calls."""
    layout = function.parsed.parameters[number].layout
    if layout in ELEMENT_TYPES and layout[0] in ("integer", "float"):
        code = ELEMENT_TYPES[layout].code
        if _holds(values, code, count):
            return values
        try:
            return _array_of(code, values, count)
        except (TypeError, OverflowError):  # the strict conversion says what is wrong, and where
            pass
    code = ELEMENT_TYPES[layout].code if layout in ELEMENT_TYPES else _WORD
    return _array_of(code, _converted(function, number, values, keep), count)


def _array_of(code: str, values: Iterable[Any], count: int) -> array[Any]:
    """Exactly `count` items. The values are iterated over, whatever they are: bytes given to an array's constructor would
    be taken for its memory."""
    packed = array(code)
    packed.extend(islice(iter(values), count + 1))  # an iterable whose length lies may be endless
    if len(packed) != count:
        what = f"after {len(packed)} of" if len(packed) < count else "later than after"
        raise ValueError(f"an iterable of arguments ended {what} {count}, which is its length")
    return packed


def _holds(values: Any, code: str, count: int) -> bool:
    """Whether it is a buffer of just so many such items, one after the other."""
    try:
        view = memoryview(values)
    except TypeError:
        return False
    found = {"l": "q", "L": "Q"}.get(view.format, view.format)
    return found == code and view.shape == (count,) and view.c_contiguous


def _converted(function: NativeFunction, number: int, values: Iterable[Any], keep: list[Any]) -> Iterator[Any]:
    row = 0
    try:
        for value in values:
            yield function.convert(number, value, keep)
            row += 1
    except (TypeError, OverflowError, ValueError) as error:
        error.add_note(f"in call {row} of those that were submitted")
        raise


def kind_of(ctype: CType) -> int:
    """The ``enum kt_item`` of a type: of pointers, that of their words."""
    return ELEMENT_TYPES[ctype.layout].kind if ctype.layout in ELEMENT_TYPES else int(lib.KT_ITEM_UINT64)


def results_of(ctype: CType, count: int) -> array[Any]:
    """Memory for so many results of a type."""
    code = ELEMENT_TYPES[ctype.layout].code if ctype.layout in ELEMENT_TYPES else _WORD
    return array(code, bytes(array(code).itemsize * count))
