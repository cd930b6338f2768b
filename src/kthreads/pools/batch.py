"""Many calls of one native function, submitted at once.

The arguments are columns in memory, and each task of the engine makes the calls of a unit: some rows, one where there are
few. The futures of single calls come to be when somebody looks at them.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import CancelledError, Future
from itertools import islice
from typing import Any, overload

from kthreads._native import ffi, lib
from kthreads.functions.element_types import ITEMS
from kthreads.functions.function import NativeFunction
from kthreads.functions.signature import CType
from kthreads.iteration import for_each
from kthreads.pools.completions import Collector, next_tag
from kthreads.pools.futures import TaskFuture, lost, wait_for

__all__ = ["Batch", "columns_of"]

_UNITS_MOST = 4096  # a queue has room for them, and they are enough for any number of workers
_MAKE_CALLS = ffi.cast("kt_function", ffi.addressof(lib, "kt_map_chunk"))
_TASK_SIZE: int = ffi.sizeof("kt_task")
_BOUNDS_AT: int = ffi.offsetof("kt_call", "integers")
_TAG_AT: int = ffi.offsetof("kt_task", "tag")
_pack_bounds, _pack_tag = struct.Struct("<QQ").pack_into, struct.Struct("<Q").pack_into
_WORD = "Q"  # of an array of pointers, or of what nobody looks at


# ---- Columns -------------------------------------------------------------------------------------------------------------


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


def _packed(function: NativeFunction, number: int, values: Any, count: int, keep: list[Any]) -> Any:
    """A column of so many calls as memory of the parameter's type."""
    layout = function.parsed.parameters[number].layout
    if layout in ITEMS and layout[0] in ("integer", "float"):
        code = ITEMS[layout].code
        if _holds(values, code, count):
            return values
        try:
            return _array_of(code, values, count)
        except (TypeError, OverflowError):  # the strict conversion says what is wrong, and where
            pass
    code = ITEMS[layout].code if layout in ITEMS else _WORD
    return _array_of(code, _converted(function, number, values, keep), count)


def _array_of(code: str, values: Iterable[Any], count: int) -> array[Any]:
    """Exactly `count` items. The values are iterated over, whatever they are: bytes given to an array's constructor would
    be taken for its memory."""
    packed = array(code)
    packed.extend(islice(iter(values), count + 1))  # not for ever, where a length is not true
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


def _kind_of(ctype: CType) -> int:
    return ITEMS[ctype.layout].kind if ctype.layout in ITEMS else int(lib.KT_ITEM_UINT64)


def _room_for(result: CType, count: int) -> array[Any]:
    code = ITEMS[result.layout].code if result.layout in ITEMS else _WORD
    return array(code, bytes(array(code).itemsize * count))


# ---- The batch ------------------------------------------------------------------------------------------------------------


class Batch(Sequence[Future[Any]]):
    """The calls that `Pool.submit_many` has queued: a sequence of their futures, in the order of the arguments."""

    def __init__(
        self, function: NativeFunction, iterables: Sequence[Iterable[Any]], home: Collector, owner: int, spin_ns: int
    ) -> None:
        parameters = function.parsed.parameters
        if len(iterables) != len(parameters) or not parameters:
            wanted = f"{len(parameters)} iterables of arguments" if parameters else "no arguments: use submit"
            raise TypeError(f"{function.name} takes {wanted} ({function.signature}), not {len(iterables)}")
        columns = columns_of(iterables)
        self.function, self.home, self.owner, self.spin_ns = function, home, owner, spin_ns
        self._count = len(columns[0])
        self.unit = max(1, -(-self._count // _UNITS_MOST))
        self._keep: list[Any] = []
        self._results = _room_for(function.parsed.result, self._count)
        memories = [_packed(function, number, column, self._count, self._keep) for number, column in enumerate(columns)]
        self._map = self._map_over([*memories, self._results], [*parameters, function.parsed.result])
        self.tasks = self._make_tasks()
        self._futures: dict[int, BatchFuture] = {}
        self.units = [Unit(self, number) for number in range(len(self.tasks))]
        self._out = set(range(len(self.units)))

    def _map_over(self, memories: list[Any], types: list[CType]) -> Any:
        map_ = ffi.new("kt_map *")
        shape, strides = ffi.new("uint64_t[1]", [self._count]), ffi.new("int64_t[]", len(memories))
        map_.function, map_.parameters, map_.dimensions = self.function.template.function, len(memories) - 1, 1
        map_.shape, map_.strides = shape, strides
        for number, (memory, ctype) in enumerate(zip(memories, types, strict=True)):
            items = ffi.from_buffer(memory)
            map_.operands[number].items, map_.operands[number].type = items, _kind_of(ctype)
            strides[number] = memoryview(memory).itemsize
            self._keep.append(items)
        self._keep += [shape, strides]
        return map_

    def _make_tasks(self) -> Any:
        """A ``kt_task[]``: one for each unit."""
        count = -(-self._count // self.unit)
        template = ffi.new("kt_task *")
        template.call.function, template.completions = _MAKE_CALLS, self.home.cdata
        template.call.integers[2] = int(ffi.cast("uintptr_t", self._map))
        tasks = ffi.new("kt_task[]", count)
        memory = ffi.buffer(tasks)
        memory[:] = bytes(ffi.buffer(template)) * count
        for number in range(count):
            begin = number * self.unit
            _pack_bounds(memory, number * _TASK_SIZE + _BOUNDS_AT, begin, min(begin + self.unit, self._count))
            _pack_tag(memory, number * _TASK_SIZE + _TAG_AT, next_tag())
        return tasks

    # ---- A sequence --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Future[Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Future[Any]]: ...
    def __getitem__(self, index: int | slice) -> Future[Any] | Sequence[Future[Any]]:
        if isinstance(index, slice):
            return [self._future(number) for number in range(*index.indices(self._count))]
        number = index + self._count if index < 0 else index
        if not 0 <= number < self._count:
            raise IndexError(f"the batch has {self._count} calls, and none with the number {index}")
        return self._future(number)

    def __iter__(self) -> Iterator[Future[Any]]:
        return map(self._future, range(self._count))

    def _future(self, number: int) -> BatchFuture:
        found = self._futures.get(number)
        return found if found is not None else self._futures.setdefault(number, BatchFuture(self, number))

    def futures_in(self, unit: int) -> list[BatchFuture]:
        """Those of one unit that somebody has looked at."""
        numbers = range(unit * self.unit, min((unit + 1) * self.unit, self._count)) if self._futures else ()
        return [self._futures[number] for number in numbers if number in self._futures]

    def came_back(self, unit: int) -> None:
        """One more unit is done with; after the last one buffers are let go."""
        self._out.discard(unit)
        if not self._out:
            self._keep.clear()

    # ---- All of it ---------------------------------------------------------------------------------------------------

    def results(self) -> list[Any]:
        """Waits for all calls and returns what they returned, at a fraction of what it costs to ask each future. Raises
        concurrent.futures.CancelledError when some were cancelled.
        """
        for unit in reversed(self.units):  # the last begins last: to wake for each would take CPUs from the workers
            wait_for(unit.task, self.spin_ns, None)
            if lib.kt_task_state_of(unit.task) != lib.KT_TASK_DONE:
                raise unit.error or CancelledError
        return self.read(slice(None))

    def read(self, which: slice) -> list[Any]:
        """Results as Python values."""
        result = self.function.parsed.result
        words = self._results[which].tolist()
        if result.kind in ("integer", "float"):
            return words
        return [self.function.read(word % (1 << 64)) for word in words]

    def cancel(self) -> bool:
        """Cancels the calls that have not begun. Returns whether that was all of them."""
        cancelled = [lib.kt_task_cancel(unit.task) == 0 for unit in self.units]  # each, also after one that has begun
        for_each(Unit.settle_futures, self.units)
        return all(cancelled)

    def done(self) -> bool:
        """Whether all calls have ended or were cancelled."""
        return all(lib.kt_task_state_of(unit.task) >= lib.KT_TASK_DONE for unit in self.units)

    def __repr__(self) -> str:
        return f"<Batch of {self._count} calls of {self.function.name}>"


class Unit:
    """Some calls of a batch, which one task makes: what its collector waits for.

    Attributes:
        task: the ``kt_task *``.
        owner: as of a TaskFuture.
        error: the exception of its calls, if it was cancelled by one.
    """

    __slots__ = ("_batch", "_number", "error", "owner", "task")

    def __init__(self, batch: Batch, number: int) -> None:
        self._batch, self._number, self.owner = batch, number, batch.owner
        self.task = batch.tasks + number
        self.error: BaseException | None = None

    def settle(self) -> None:
        """The task has come back."""
        self.settle_futures()
        self._batch.came_back(self._number)

    def settle_futures(self) -> None:
        """Settles those that somebody has looked at, if the task is over."""
        for_each(TaskFuture.settle, self._batch.futures_in(self._number))

    def cancel(self) -> bool:
        """Keeps the calls from being made, if none has begun."""
        cancelled = bool(lib.kt_task_cancel(self.task) == 0)
        self.settle_futures()
        return cancelled

    def fail(self, error: BaseException) -> None:
        """The same, with an exception as their result."""
        if lib.kt_task_state_of(self.task) < lib.KT_TASK_RUNNING:
            self.error = error  # before the state, by which it counts
            self.cancel()

    def enlist(self) -> None:
        """Waits for the task to come back."""
        self._batch.home.expect(self.task.tag, self)

    def withdraw(self) -> None:
        """Takes back what was never queued."""
        self._batch.home.pending.pop(self.task.tag, None)

    def expect_back(self) -> None:
        """It is queued."""
        self._batch.home.start()

    def lose(self) -> None:
        """In a forked child: ends the futures, unless the calls were made before."""
        if lib.kt_task_state_of(self.task) < lib.KT_TASK_DONE:
            self.error = lost()
            self.task.state = lib.KT_TASK_CANCELLED
        for_each(TaskFuture.lose, self._batch.futures_in(self._number))


class BatchFuture(TaskFuture):
    """The future of one call of a batch. It is cancelled by itself only where it has a unit of its own."""

    __slots__ = ("_batch", "_number")

    def __init__(self, batch: Batch, number: int) -> None:
        self._batch, self._number = batch, number
        self.task = batch.tasks + number // batch.unit
        self._home, self._function, self._spin_ns, self.owner = batch.home, batch.function, batch.spin_ns, batch.owner
        self._keep = ()

    @property
    def _error(self) -> BaseException | None:
        return self._batch.units[self._number // self._batch.unit].error

    @_error.setter
    def _error(self, error: BaseException | None) -> None:
        self._batch.units[self._number // self._batch.unit].error = error

    def _value(self) -> Any:
        return self._batch.read(slice(self._number, self._number + 1))[0]

    def cancel(self) -> bool:
        """Keeps the function from being called, if it has not begun and shares its unit with no other call. Returns
        whether it will not be. `Batch.cancel` cancels all.
        """
        return self.cancelled() or (self._batch.unit == 1 and super().cancel())
