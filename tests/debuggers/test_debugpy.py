"""What debugpy shows of threads of kthreads, to a client that speaks its protocol; threading's threads are the reference."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("debugpy", reason="debugpy is not installed")
from debug_client import marked, stops_of

PROGRAM = Path(__file__).with_name("threads_to_debug.py")

BREAKPOINTS = {
    ("of-target", "target"),
    ("of-subclass", "run"),
    ("of-executor_0", "task_of_executor"),
    ("of-pool-1", "task_of_pool"),
    ("of-loop-1", "body_of_loop"),
}
"""The threads of the program, and the functions with breakpoints that they run."""

places = pytest.mark.parametrize("place", ["standard", "kthreads"])


def of(place, expected):
    """Those of the threads that the place has."""
    return {each for each in expected if place == "kthreads" or not each[0].startswith(("of-pool", "of-loop"))}


def shown(stops):
    return {(stop.thread, stop.frames[0][0]) for stop in stops}


@functools.cache
def runs():
    """All runs of the program, at the same time: most of it they wait for debugpy's sockets."""
    with ThreadPoolExecutor(4) as executor:
        return {
            (place, kind): executor.submit(stops_of, PROGRAM, place, kind, filters=("uncaught", "userUnhandled"))
            for place in ("standard", "kthreads")
            for kind in ("begin", "attach")
        }


def stops(place, kind):
    return runs()[place, kind].result()


def stops_at_the_begin(place):
    return [stop for stop in stops(place, "begin") if not stop.thread.startswith("bad-")]


def stops_at_failures(place):
    return [stop for stop in stops(place, "begin") if stop.thread.startswith("bad-")]


@places
def test_a_breakpoint_in_what_a_thread_runs_is_hit_once(place):
    stops = stops_at_the_begin(place)
    assert shown(stops) == of(place, BREAKPOINTS)
    assert len(stops) == len(shown(stops))
    assert {stop.reason for stop in stops} == {"breakpoint"}


@places
def test_the_innermost_frame_is_that_of_the_breakpoint(place):
    assert {stop.frames[0][1] for stop in stops_at_the_begin(place)} <= set(marked(PROGRAM))


def test_library_frames_are_hidden_from_the_stack_as_those_of_threading_are():
    standard, ours = (
        {stop.thread: stop.frames for stop in stops_at_the_begin(place)} for place in ("standard", "kthreads")
    )
    assert {thread: ours[thread] for thread in standard} == standard


@places
def test_the_list_of_threads_has_the_main_thread_and_the_one_that_stopped(place):
    for stop in stops_at_the_begin(place):
        assert stop.threads == ["MainThread", stop.thread]


def test_an_exception_that_ends_a_thread_stops_the_program_as_with_threading():
    standard, ours = (
        [(stop.thread, stop.reason, stop.frames) for stop in stops_at_failures(place) if "pool" not in stop.thread]
        for place in ("standard", "kthreads")
    )
    assert standard == ours
    assert ("bad-target", "failing") in {(thread, frames[0][0]) for thread, _, frames in ours}


def test_an_exception_of_a_pool_task_stops_the_program_where_it_leaves_the_users_code():
    assert ("bad-pool-1", "failing_task") in shown(stops_at_failures("kthreads"))


@places
def test_a_debugger_that_attaches_later_stops_threads_that_already_run(place):
    late = {each for each in BREAKPOINTS if each[0] not in ("of-subclass", "of-loop-1")}
    assert shown(stops(place, "attach")) == of(place, late)
