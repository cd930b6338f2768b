"""The lives of threads as a trace for ui.perfetto.dev and chrome://tracing (Trace Event Format)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kthreads.programs.lives import HANDED, Life

__all__ = ["document"]


def document(lives: Iterable[Life], end_ns: int) -> dict[str, Any]:
    """A document for `json.dump`.

    Args:
        lives: threads that have begun or not.
        end_ns: the end of the program, for threads that did not end before it.
    """
    return {
        "traceEvents": [event for life in lives if life.begin_ns for event in _events(life, end_ns)],
        "displayTimeUnit": "ns",
    }


def _events(life: Life, end_ns: int) -> Iterator[dict[str, Any]]:
    end = life.end_ns or max(end_ns, life.begin_ns)
    yield _event(life, "create", life.create_ns, life.begin_ns)
    yield _event(life, "run", life.begin_ns, end, made_by=HANDED.get(life.handed, "kthreads"), reused=bool(life.reused))
    if life.joined_ns:
        yield _event(life, "join", end, life.joined_ns)


def _event(life: Life, name: str, begin: int, end: int, **args: Any) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": name,
        "cat": "thread",
        "pid": life.pid,
        "tid": life.tid,
        "ts": begin / 1000,
        "dur": max(end - begin, 0) / 1000,
        "args": args,
    }
