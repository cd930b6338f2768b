"""Parts of one buffer as the arguments of many calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from kthreads import _call

__all__ = ["Slices"]


class Slices(Sequence[memoryview]):
    """Parts of one buffer, which follow each other, as an argument of `Pool.submit_many`: each call gets a pointer to one.

    Variable-length columns of Apache Arrow have this form, and so have ragged arrays.

    Args:
        data: a C-contiguous buffer of one dimension.
        offsets: a buffer of integers, one more than there are parts. Part `i` is from ``offsets[i]`` up to, not including,
            ``offsets[i + 1]``, counted in items of `data`. They are copied.

    Attributes:
        data: the buffer.
        lengths: the length of each part in items, as a buffer of 64-bit integers: the argument that goes with the pointers.

    Raises:
        TypeError: `data` or `offsets` is not such a buffer.
        ValueError: a part is not within the buffer, or ends before it begins; the message says which.
    """

    def __init__(self, data: Any, offsets: Any) -> None:
        view = _buffer("data", data)
        if view.ndim != 1 or not view.c_contiguous:
            raise TypeError("the data of Slices must be a contiguous buffer with one dimension")
        self.data = data
        self.view = view  # as long as it exists, the buffer keeps its size
        self.begins, lengths = _call.slices(_buffer("offsets", offsets), len(view))
        self.lengths = memoryview(lengths).cast("q")

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[memoryview]: ...
    def __getitem__(self, index: int | slice) -> memoryview | Sequence[memoryview]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} slices, and none with the number {index}")
        begin = memoryview(self.begins).cast("q")[number]
        return self.view[begin : begin + self.lengths[number]]

    def __repr__(self) -> str:
        return f"<Slices: {len(self)} parts of a {type(self.data).__name__}>"


def _buffer(name: str, value: Any) -> memoryview:
    try:
        return memoryview(value)
    except TypeError:
        raise TypeError(f"{name} of Slices must be a buffer, such as an array, not {type(value).__name__}") from None
