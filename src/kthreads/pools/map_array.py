"""Native functions over NumPy arrays: element by element, on all workers."""

from __future__ import annotations

from functools import cache
from typing import Any

from kthreads._native import ffi, lib
from kthreads.functions.c_types import CType
from kthreads.functions.element_types import ELEMENT_TYPES
from kthreads.functions.function import NativeFunction
from kthreads.functions.pointers import know_numpy
from kthreads.functions.sources import native
from kthreads.pools.cancel import CancelToken
from kthreads.pools.fast_loop import run_fast
from kthreads.pools.handle import PoolHandle
from kthreads.pools.loop import Loop

__all__ = ["map_array"]

_CHUNK = native(ffi.cast("void(*)(uint64_t, uint64_t, const void *)", ffi.addressof(lib, "kt_map_chunk")))
_MAP, _NUMBERS = ffi.typeof("kt_map *"), ffi.typeof("int64_t[]")
_FUNCTION, _SHAPE, _ITEMS_AT = ffi.typeof("kt_function"), ffi.typeof("uint64_t *"), ffi.typeof("void *")
_new, _cast = ffi.new, ffi.cast

_MOST_GRAIN = 65536  # a larger chunk would delay Ctrl-C
_PYTHON_NUMBERS = (int, float)  # exactly these: a subclass, such as NumPy's, has a dtype of its own


def map_array(
    handle: PoolHandle,
    fn: Any,
    arrays: tuple[Any, ...],
    out: Any,
    grain: int | None,
    schedule: str,
    workers: int | None,
    timeout: float | None,
    cancel: CancelToken | None,
) -> Any:
    """Runs a native function over the elements of arrays. See `Pool.map_array`, which has these arguments."""
    np = _numpy()
    function = native(fn)
    if (grain, workers, timeout, cancel, schedule) == (None, None, None, None, "dynamic") and (
        mapped := _map_plain(np, handle, function, arrays, out)
    ) is not None:
        return mapped
    parameters, result = function.parsed.parameters, function.parsed.result
    if len(arrays) != len(parameters):
        raise TypeError(f"{function.name} takes {len(parameters)} arrays ({function.signature}), not {len(arrays)}")
    types = [_item_of(function, ctype) for ctype in (*parameters, result)]
    if not arrays and out is None:
        raise TypeError(f"{function.name} ({function.signature}) takes no arrays: pass out=, which tells the shape")
    operands = [_input(np, function, number, value, types[number][0]) for number, value in enumerate(arrays)]
    dtype = types[-1][0]
    is_direct = out is None or _is_direct(np, function, out, dtype, operands)
    operands.append(out if is_direct else np.empty_like(out, dtype, subok=False))
    iterator = np.nditer(
        operands,
        flags=["zerosize_ok"],
        op_flags=[["readonly"]] * len(arrays) + [["writeonly", "allocate", "no_broadcast", "no_subtype"]],
        op_dtypes=[None] * len(arrays) + [dtype],
    )
    cdata, _shape_and_strides = _map_of(function, types, iterator.itviews)
    if grain is None and _is_large(iterator.itersize, handle):
        grain = _MOST_GRAIN
    Loop(handle, _CHUNK, iterator.itersize, (cdata,), grain, schedule, workers, cancel)(timeout)
    computed = iterator.operands[-1]
    if out is None:
        return computed if computed.ndim else computed[()]
    if not is_direct:
        np.copyto(out, computed, casting="same_kind")
    return out


def _map_plain(np: Any, handle: PoolHandle, function: NativeFunction, arrays: tuple[Any, ...], out: Any) -> Any:
    """The result, if all arrays are contiguous, of one shape and of the function's own types, and not very large. None for
    others, and for what is wrong; nothing has been done then."""
    if len(arrays) != len(function.parsed.parameters) or not arrays or type(arrays[0]) is not np.ndarray:
        return None
    dtype = _dtype_of(function.parsed.result)
    if dtype is None or _is_large(arrays[0].size, handle):
        return None
    if out is None:
        out = np.empty(arrays[0].shape, dtype)
    prepared = function.map(arrays, out)
    if prepared is None:
        return None
    _held, address, count = prepared
    return out if run_fast(handle, _CHUNK, count, (address,)) else None


def _is_large(count: int, handle: PoolHandle) -> bool:
    """Whether the chunks that the engine chooses for so many items would be too large."""
    return count > 16 * _MOST_GRAIN and count > 16 * _MOST_GRAIN * handle.workers


@cache
def _dtype_of(ctype: CType) -> Any:
    return _dtypes().get(ctype.layout, (None,))[0]


@cache
def _numpy() -> Any:
    try:
        import numpy as np
    except ModuleNotFoundError:
        raise ModuleNotFoundError("map_array works on NumPy arrays: install numpy", name="numpy") from None
    know_numpy()
    return np


@cache
def _dtypes() -> dict[tuple[str, int, bool], tuple[Any, int]]:
    """For the layout of a C type, the dtype and the item's type."""
    return {layout: (_numpy().dtype(item.numpy), item.kind) for layout, item in ELEMENT_TYPES.items()}


def _item_of(function: NativeFunction, ctype: CType) -> tuple[Any, int]:
    found = _dtypes().get(ctype.layout)
    if found is not None:
        return found
    if ctype.kind == "void":
        why = "returns nothing to store: run a void function of begin and end with parallel_for"
    else:
        why = f"has a {ctype.text}, which no element of an array is: map_array takes functions of numbers"
    raise TypeError(f"{function.name} ({function.signature}) {why}")


def _input(np: Any, function: NativeFunction, number: int, value: Any, dtype: Any) -> Any:
    """The array for a parameter, of its type."""
    if type(value) in _PYTHON_NUMBERS:
        return np.asarray(function.convert(number, value, []), dtype)
    array = np.asarray(value)
    if array.dtype == dtype:
        return array
    if not np.can_cast(array.dtype, dtype, "safe"):
        raise TypeError(
            f"{function.name}() argument {number + 1}: {array.dtype} does not convert to {dtype}, which is "
            f"{function.parsed.parameters[number].text}, by the casting rule 'safe': convert it with astype() if you mean it"
        )
    return array.astype(dtype)


def _is_direct(np: Any, function: NativeFunction, out: Any, dtype: Any, inputs: list[Any]) -> bool:
    """Whether the function's results can be stored into `out` while the inputs are being read.

    Raises:
        TypeError, ValueError: they cannot be put there at all.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, not {type(out).__name__}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(
            f"{function.name} returns {dtype}, which does not convert to the {out.dtype} of out by the casting rule 'same_kind'"
        )
    return (
        out.dtype == dtype
        and not _overlaps_itself(out)
        and not any(np.may_share_memory(array, out, 1) and not _is_same(array, out) for array in inputs)
    )


def _is_same(array: Any, out: Any) -> bool:
    """Whether each element of one is that of the other."""
    mine, its = array.__array_interface__, out.__array_interface__
    return bool(
        mine["data"][0] == its["data"][0]
        and array.shape == out.shape
        and array.strides == out.strides
        and array.dtype == out.dtype
    )


def _overlaps_itself(out: Any) -> bool:
    """Whether elements may share memory; False only if none do."""
    extent = out.itemsize
    for stride, length in sorted((abs(stride), length) for stride, length in zip(out.strides, out.shape, strict=True)):
        if length > 1:
            if stride < extent:
                return True
            extent += stride * (length - 1)
    return False


def _map_of(function: NativeFunction, types: list[tuple[Any, int]], views: Any) -> tuple[Any, Any]:
    """The ``kt_map *``, and the numbers that it points to. All views have one shape, the fastest dimension last."""
    shape = views[0].shape
    numbers = _new(_NUMBERS, [*shape, *(stride for view in views for stride in view.strides)])
    operands = [
        (_cast(_ITEMS_AT, view.__array_interface__["data"][0]), item)
        for view, (_, item) in zip(views, types, strict=True)
    ]
    strides = numbers + len(shape)
    map_ = (_cast(_FUNCTION, function.address), len(types) - 1, len(shape), _cast(_SHAPE, numbers), strides, operands)
    return _new(_MAP, map_), numbers
