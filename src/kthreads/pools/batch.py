"""Many calls of one native function, submitted at once.

The arguments are columns in memory. Each task of the engine makes the calls of a unit: several rows, or one row where
there are few calls. The future of a single call is made when a caller looks at it.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, overload

from kthreads._native import ffi, lib
from kthreads.functions.function import NativeFunction
from kthreads.iteration import for_each
from kthreads.pools.columns import column_of, columns_of, item_of, results_of
from kthreads.pools.completions import CompletionQueue, next_tag
from kthreads.pools.futures import abandoned_error, wait_for
from kthreads.pools.native_task import NativeFuture

__all__ = ["Batch", "Unit"]

_UNITS = 1024  # in large batches; more would cost more than they gain in balance
_RUN_UNIT = ffi.cast("kt_function", ffi.addressof(lib, "kt_map_chunk"))
_TASK_SIZE: int = ffi.sizeof("kt_task")
_BOUNDS_AT: int = ffi.offsetof("kt_call", "integers")
_TAG_AT: int = ffi.offsetof("kt_task", "tag")
_pack_bounds, _pack_tag = struct.Struct("<QQ").pack_into, struct.Struct("<Q").pack_into


class Batch(Sequence[Future[Any]]):
    """The calls that `Pool.submit_many` has queued: a sequence of their futures, in the order of the arguments."""

    def __init__(
        self,
        function: NativeFunction,
        iterables: Sequence[Iterable[Any]],
        completions: CompletionQueue,
        owner: int,
        spin_ns: int,
        workers: int,
    ) -> None:
        parameters = function.parsed.parameters
        if len(iterables) != len(parameters) or not parameters:
            wanted = f"{len(parameters)} iterables of arguments" if parameters else "no arguments: use submit"
            raise TypeError(f"{function.name} takes {wanted} ({function.signature}), not {len(iterables)}")
        columns, self._count = columns_of(iterables)
        self.function, self.completions, self.owner, self.spin_ns = function, completions, owner, spin_ns
        self.unit = max(1, -(-self._count // max(_UNITS, workers)))
        self._keep: list[Any] = [column_of(function, number, each, self._count) for number, each in enumerate(columns)]
        self._results = results_of(function.parsed.result, self._count)
        self._map = self._make_map(self._keep[:])
        self.tasks = self._make_tasks()
        self._futures: dict[int, BatchFuture] = {}
        self.units = [Unit(self, number) for number in range(len(self.tasks))]
        self._unfinished = set(range(len(self.units)))

    def _make_map(self, columns: list[Any]) -> Any:
        """The ``kt_map *`` from the columns to the results."""
        map_ = ffi.new("kt_map *")
        shape, results = ffi.new("uint64_t[1]", [self._count]), ffi.from_buffer(self._results)
        strides = ffi.new("int64_t[]", [*(column.stride for column in columns), self._results.itemsize])
        map_.function, map_.parameters, map_.dimensions = (
            ffi.cast("kt_function", self.function.address),
            len(columns),
            1,
        )
        map_.shape, map_.strides = shape, strides
        for operand, column in zip(map_.operands, columns, strict=False):
            operand.items, operand.type = ffi.cast("void *", column.items), column.item
        last = map_.operands[len(columns)]
        last.items, last.type = results, item_of(self.function.parsed.result)
        self._keep += [shape, strides, results]
        return map_

    def _make_tasks(self) -> Any:
        """A ``kt_task[]``: one for each unit."""
        count = -(-self._count // self.unit)
        template = ffi.new("kt_task *")
        template.call.function, template.completions = _RUN_UNIT, self.completions.cdata
        template.call.integers[2] = int(ffi.cast("uintptr_t", self._map))
        tasks = ffi.new("kt_task[]", count)
        memory = ffi.buffer(tasks)
        memory[:] = bytes(ffi.buffer(template)) * count
        for number in range(count):
            begin = number * self.unit
            _pack_bounds(memory, number * _TASK_SIZE + _BOUNDS_AT, begin, min(begin + self.unit, self._count))
            _pack_tag(memory, number * _TASK_SIZE + _TAG_AT, next_tag())
        return tasks

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
        """The futures of one unit that a caller has looked at."""
        numbers = range(unit * self.unit, min((unit + 1) * self.unit, self._count)) if self._futures else ()
        return [self._futures[number] for number in numbers if number in self._futures]

    def unit_completed(self, unit: int) -> None:
        """Notes the end of a unit. After the last one, buffers are released."""
        self._unfinished.discard(unit)
        if not self._unfinished:
            self._keep.clear()

    def results(self) -> list[Any]:
        """Waits for all calls and returns their results, which costs a fraction of asking each future.

        Raises:
            concurrent.futures.CancelledError: some of the calls were cancelled.
        """
        self._wait()
        return self.read(slice(None))

    def array(self) -> array[Any]:
        """Waits for all calls and returns their results in one array, without an object for each: that of the batch itself.
        ``numpy.asarray`` of it makes no copy. Pointers are addresses in it, and truth values 0 or 1.

        Raises:
            TypeError: the function returns nothing.
            concurrent.futures.CancelledError: some of the calls were cancelled.
        """
        if self.function.parsed.result.kind == "void":
            raise TypeError(f"{self.function.name} ({self.function.signature}) returns nothing: call results() to wait")
        self._wait()
        return self._results

    def _wait(self) -> None:
        for unit in reversed(self.units):  # the last first: to wake up for each would take CPU time from the workers
            if lib.kt_task_state_of(unit.task) != lib.KT_TASK_DONE:
                wait_for(unit.task, self.spin_ns, None)
                if lib.kt_task_state_of(unit.task) != lib.KT_TASK_DONE:
                    raise unit.error or CancelledError

    def read(self, which: slice) -> list[Any]:
        """Results as Python values."""
        result = self.function.parsed.result
        words = self._results[which].tolist()
        if result.kind in ("integer", "float"):
            return words
        return [self.function.read(word % (1 << 64)) for word in words]

    def cancel(self) -> bool:
        """Cancels the calls that have not begun. Returns whether that was all of them."""
        cancelled = [
            lib.kt_task_cancel(unit.task) == 0 for unit in self.units
        ]  # all units, also those after one that has begun
        for_each(Unit.settle, self.units)
        return all(cancelled)

    def done(self) -> bool:
        """Whether all calls have ended or were cancelled."""
        return all(lib.kt_task_state_of(unit.task) >= lib.KT_TASK_DONE for unit in self.units)

    def __repr__(self) -> str:
        return f"<Batch of {self._count} calls of {self.function.name}>"


class Unit:
    """The calls of a batch that one task makes. The completion queue waits for units.

    Attributes:
        task: the ``kt_task *``.
        owner: the number that the tasks of its pool have in common.
        error: the exception that its calls have as their result, after `fail`.
    """

    __slots__ = ("_batch", "_number", "error", "owner", "task")

    def __init__(self, batch: Batch, number: int) -> None:
        self._batch, self._number, self.owner = batch, number, batch.owner
        self.task = batch.tasks + number
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Takes over the outcome of the task, if it has completed or was cancelled."""
        self.settle_futures()
        if lib.kt_task_state_of(self.task) >= lib.KT_TASK_DONE:
            self._batch.unit_completed(self._number)

    def settle_futures(self) -> None:
        """Settles the futures that a caller has looked at, if the task has ended."""
        for_each(NativeFuture.settle, self._batch.futures_in(self._number))

    def cancel(self) -> bool:
        """Cancels the calls if none has begun. Returns whether they will not run."""
        cancelled = bool(lib.kt_task_cancel(self.task) == 0)
        self.settle()
        return cancelled

    def fail(self, error: BaseException) -> None:
        """Cancels the calls if none has begun; their result is then this exception."""
        if lib.kt_task_state_of(self.task) < lib.KT_TASK_RUNNING:
            self.error = error  # before the state changes: a reader of the new state reads the error, too
            self.cancel()

    def queue_at_once(self, pool: int) -> bool:
        """Never: units are queued together."""
        return False

    def register(self) -> None:
        """Keeps the memory of the task alive until it completes."""
        self._batch.completions.expect(self.task.tag, self)

    def unregister(self) -> None:
        """Undoes `register`, for a task that was never queued."""
        self._batch.completions.pending.pop(self.task.tag, None)

    def ensure_drained(self) -> None:
        """Makes sure that the completion of the task will be noticed."""
        self._batch.completions.ensure_drained()

    def abandon_in_child(self) -> None:
        """In a forked child: ends the futures, unless the calls had ended before the fork."""
        if lib.kt_task_state_of(self.task) < lib.KT_TASK_DONE:
            self.error = abandoned_error()
            self.task.state = lib.KT_TASK_CANCELLED
        for_each(NativeFuture.abandon_in_child, self._batch.futures_in(self._number))


class BatchFuture(NativeFuture):
    """The future of one call of a batch. It can be cancelled alone only if its unit has no other call."""

    __slots__ = ("_batch", "_number")

    def __init__(self, batch: Batch, number: int) -> None:
        self._batch, self._number = batch, number
        self.task = batch.tasks + number // batch.unit
        self._completions, self._function, self._spin_ns, self.owner = (
            batch.completions,
            batch.function,
            batch.spin_ns,
            batch.owner,
        )

    def _release(self) -> None:
        pass  # the batch does, after its last call

    @property
    def _error(self) -> BaseException | None:
        return self._batch.units[self._number // self._batch.unit].error

    @_error.setter
    def _error(self, error: BaseException | None) -> None:
        self._batch.units[self._number // self._batch.unit].error = error

    def _value(self) -> Any:
        return self._batch.read(slice(self._number, self._number + 1))[0]

    def cancel(self) -> bool:
        """Cancels the call if it has not begun and its unit has no other call. Returns whether it will not run.
        `Batch.cancel` cancels all calls.
        """
        if self._batch.unit == 1:
            self._batch.units[self._number].cancel()
        return self.cancelled()
