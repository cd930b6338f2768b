"""Calling functions at the same time, on a thread each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence


def run_at_once(calls: Sequence[Callable[[], object]]) -> None:
    """Calls each function on a thread of its own. They begin together; returns when all have ended. Raises the first exception
    of one."""
    barrier = threading.Barrier(len(calls))
    raised: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            call()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
