"""A trace of what a pool does, as a file for chrome://tracing and ui.perfetto.dev.

The format is Chrome's "JSON Object Format" (Trace Event Format): complete events ("ph": "X") in microseconds.
"""

from __future__ import annotations

import json
import os
from typing import Any, TextIO

from kthreads import lifecycle
from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError
from kthreads.iteration import for_each
from kthreads.pools.handle import PoolHandle

__all__ = ["Trace", "end_at_exit"]

_KINDS = {lib.KT_EVENT_LOOP: "loop", lib.KT_EVENT_CHUNK: "chunk", lib.KT_EVENT_TASK: "task"}
_traced: dict[int, Trace] = {}  # by the ids of handles; the engine writes into their memory


class Trace:
    """Records what a pool does between `begin` and `end`, and writes it to a file."""

    def __init__(self, handle: PoolHandle, path: str | os.PathLike[str], capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"events must be 1 or more, not {capacity}")
        self._handle = handle
        self._path = path
        self._capacity = capacity
        self._process = os.getpid()
        self._file: TextIO | None = None
        self._has_ended = False

    def begin(self) -> None:
        """Opens the file and starts recording. The caller calls `end` also after an exception."""
        if _traced.setdefault(id(self._handle), self) is not self:
            raise ThreadStateError("the pool is being traced already")
        self._file = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 (closed by `end`)
        self._events = ffi.new("kt_event[]", self._capacity)
        lib.kt_pool_trace(self._handle.cdata, self._events, self._capacity)

    def end(self) -> None:
        """Stops recording, and writes the file if it was opened. After an exception the caller may call it again."""
        if self._has_ended or _traced.get(id(self._handle)) is not self:
            return
        recorded = int(lib.kt_pool_trace(self._handle.cdata, ffi.NULL, 0))
        try:
            if self._file is not None and not self._file.closed:
                with self._file as file:
                    if os.getpid() == self._process:  # else this is a forked child; the file belongs to the parent
                        self._write(file, recorded)
        finally:
            _traced.pop(id(self._handle), None)
            self._has_ended = True

    def _write(self, file: TextIO, recorded: int) -> None:
        kept = min(recorded, self._capacity)
        document = {
            "traceEvents": [*self._names(kept), *(self._event(self._events[number]) for number in range(kept))],
            "displayTimeUnit": "ns",
            "otherData": {"dropped": recorded - kept},
        }
        json.dump(document, file)

    def _names(self, kept: int) -> list[dict[str, Any]]:
        workers = sorted({int(self._events[number].worker) for number in range(kept)})
        return [
            {
                "ph": "M",
                "name": "thread_name",
                "pid": os.getpid(),
                "tid": worker,
                "args": {"name": f"worker {worker}" if worker else "callers"},
            }
            for worker in workers
        ]

    def _event(self, event: Any) -> dict[str, Any]:
        kind = _KINDS[event.kind]
        args = {"number": event.first} if kind == "task" else {"begin": event.first, "end": event.last}
        return {
            "ph": "X",
            "name": kind,
            "cat": kind,
            "pid": os.getpid(),
            "tid": event.worker,
            "ts": event.begin_ns / 1000,
            "dur": (event.end_ns - event.begin_ns) / 1000,
            "args": args,
        }


@lifecycle.as_the_interpreter_begins_to_end.add
def end_at_exit() -> None:
    """As the interpreter begins to end: ends all traces. A with block that never ends, as in a generator, is left when the
    functions that end its trace may be gone."""
    for_each(Trace.end, list(_traced.values()))
