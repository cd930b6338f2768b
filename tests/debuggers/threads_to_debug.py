"""A program for a debugger: `threads_to_debug.py PLACE KIND` runs the threads of a kind from a place, which is `standard` or
`kthreads`. It prints the port where debugpy listens."""

from __future__ import annotations

import concurrent.futures
import sys
import threading

import debugpy

import kthreads

place, kind = sys.argv[1:]
Thread, Executor = {
    "standard": (threading.Thread, concurrent.futures.ThreadPoolExecutor),
    "kthreads": (kthreads.Thread, kthreads.ThreadPoolExecutor),
}[place]


def target():
    return 1  # breakpoint


class Subclass(Thread):
    def run(self):
        return 2  # breakpoint


def task_of_executor():
    return 3  # breakpoint


def task_of_pool():
    return 4  # breakpoint


body_runs = threading.Barrier(2)


def body_of_loop(begin, end):
    body_runs.wait()
    if threading.current_thread() is not threading.main_thread():
        sys.getrecursionlimit()  # breakpoint


def failing():
    raise ValueError("nobody catches this")


def failing_task():
    raise ValueError("the future keeps this")


class FailingSubclass(Thread):
    def run(self):
        failing()


def run(thread):
    thread.start()
    thread.join()


def begin():
    """Each kind of thread runs once, with a breakpoint in what it runs; then exceptions end threads and tasks."""
    listen()
    run(Thread(target=target, name="of-target"))
    run(Subclass(name="of-subclass"))
    with Executor(1, thread_name_prefix="of-executor") as executor:
        executor.submit(task_of_executor).result()
    if place == "kthreads":
        with kthreads.Pool(1, name="of-pool") as pool:
            pool.submit(task_of_pool).result()
        with kthreads.Pool(2, name="of-loop") as pool:
            pool.parallel_for(body_of_loop, 2, schedule="static")
    fail()


def fail():
    threading.excepthook = lambda arguments: None
    run(Thread(target=failing, name="bad-target"))
    run(FailingSubclass(name="bad-subclass"))
    with Executor(1, thread_name_prefix="bad-executor") as executor:
        executor.submit(failing_task).exception()
    if place == "kthreads":
        with kthreads.Pool(1, name="bad-pool") as pool:
            pool.submit(failing_task).exception()


class Turn:
    """What a thread runs: it waits for its turn, and then calls a function. debugpy reports one stop of threads that stop
    at once."""

    def __init__(self, function):
        self._function = function
        self._runs, self._may_call, self._has_called = threading.Event(), threading.Event(), threading.Event()

    def __call__(self):
        self._runs.set()
        while not self._may_call.wait(0.01):
            pass
        self._function()
        self._has_called.set()

    def wait_until_it_runs(self):
        self._runs.wait()

    def take(self):
        self._may_call.set()
        self._has_called.wait()


def attach():
    """The debugger attaches while the threads run; then they come to their breakpoints."""
    turns = [Turn(target), Turn(task_of_executor), Turn(task_of_pool)]
    Thread(target=turns[0], name="of-target").start()
    Executor(1, thread_name_prefix="of-executor").submit(turns[1])
    if place == "kthreads":
        pool = kthreads.Pool(1, name="of-pool")
        pool.submit(turns[2])
    else:
        turns.pop()
    for turn in turns:
        turn.wait_until_it_runs()
    listen()
    for turn in turns:
        turn.take()
    if place == "kthreads":
        pool.shutdown()


def listen():
    print(debugpy.listen(("127.0.0.1", 0))[1], flush=True)
    debugpy.wait_for_client()


{"begin": begin, "attach": attach}[kind]()
