"""Threads awaited on asyncio."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest
from own_threads import threads_of_process

import kthreads


def started_at(gate, **options):
    thread = gate.thread(**options)
    thread.start()
    return thread


def started(target, *args, **options):
    thread = kthreads.Thread(target=target, args=args, **options)
    thread.start()
    return thread


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def others_run(times=5):
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "options", [{}, {"backend": "clone3"}, {"backend": "pthread"}, {"reuse": True}], ids=lambda options: str(options)
)
def test_awaiting_a_native_thread_gives_its_result(gate, options):
    async def main():
        thread = started_at(gate, **options)
        waiting = asyncio.ensure_future(thread)
        await others_run()
        assert not waiting.done()
        gate.open()
        return await waiting, thread.is_alive()

    assert asyncio.run(main()) == (7, False)


def test_awaiting_a_python_thread_gives_what_its_target_returned():
    async def main():
        return await started(divmod, 7, 2)

    assert asyncio.run(main()) == (3, 1)


def test_awaiting_raises_what_the_target_raised(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    async def main():
        with pytest.raises(ZeroDivisionError):
            await started(divmod, 7, 0)

    asyncio.run(main())


def test_a_thread_that_has_ended_is_awaited_at_once():
    thread = started(abs, -3)
    thread.join()

    async def main():
        return [await thread, await thread]

    assert asyncio.run(main()) == [3, 3]


def test_many_tasks_await_one_thread(gate):
    async def main():
        thread = started_at(gate)

        async def waiter():
            return await thread

        waiting = asyncio.gather(*(waiter() for _ in range(20)))
        await others_run()
        gate.open()
        return await waiting

    assert asyncio.run(main()) == [7] * 20


def test_two_event_loops_await_one_thread(gate):
    thread, results = started_at(gate), []

    async def main():
        results.append(await thread)

    loops = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    for loop in loops:
        loop.start()
    gate.open()
    for loop in loops:
        loop.join()
    assert results == [7, 7]


def test_cancelling_who_awaits_harms_neither_the_thread_nor_others(gate):
    async def main():
        thread = started_at(gate)
        first, second = asyncio.ensure_future(thread), asyncio.ensure_future(thread)
        await others_run()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert thread.is_alive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(thread, 0.001)
        gate.open()
        return await second

    assert asyncio.run(main()) == 7


def test_threads_are_gathered():
    async def main():
        return await asyncio.gather(*(started(abs, -number) for number in range(50)))

    assert asyncio.run(main()) == list(range(50))


def test_awaiting_needs_no_other_thread(gate):
    async def main():
        thread = started_at(gate)
        before = threads_of_process()
        waiting = asyncio.ensure_future(thread)
        await others_run()
        assert not threads_of_process() - before
        gate.open()
        await waiting

    asyncio.run(main())


def test_awaiting_leaves_no_descriptor_open(gate):
    async def main():
        before = descriptors()
        thread = started_at(gate)
        waiting = [asyncio.ensure_future(thread) for _ in range(10)]
        await others_run()
        waiting.pop().cancel()
        await others_run()
        gate.open()
        await asyncio.gather(*waiting)
        assert descriptors() == before

    asyncio.run(main())


def test_the_awaiting_thread_may_hold_a_pidfd_too(gate):
    async def main():
        thread = started_at(gate)
        try:
            fd = thread.fileno()
        except kthreads.UnsupportedError:
            pytest.skip("this kernel has no PIDFD_THREAD (Linux 6.9)")
        waiting = asyncio.ensure_future(thread)
        await others_run()
        gate.open()
        await waiting
        assert thread.fileno() == fd
        os.fstat(fd)

    asyncio.run(main())


def test_a_thread_that_was_not_started_cannot_be_awaited():
    async def main():
        with pytest.raises(kthreads.ThreadStateError, match="before it is started"):
            await kthreads.Thread(target=abs, args=(1,))

    asyncio.run(main())


def test_a_thread_cannot_await_itself():
    async def main():
        with pytest.raises(kthreads.ThreadStateError, match="current thread"):
            await threading.current_thread()
        return "refused"

    thread = started(lambda: asyncio.run(main()))
    thread.join()
    assert thread.result == "refused"
