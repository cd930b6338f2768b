"""A program for coverage: `threads_to_measure.py KIND...` runs kinds of threads. The lines that run on a kind of thread, and on
no other, end with the name of the kind."""

from __future__ import annotations

import os
import sys
import threading

import kthreads

JOBS = 4


def target():
    return 1  # on: thread


class Subclass(kthreads.Thread):
    def run(self):
        return self.name  # on: subclass


def thread():
    run(kthreads.Thread(target=target))


def subclass():
    run(Subclass())


def run(thread):
    thread.start()
    thread.join()


def task_of_executor():
    return 2  # on: executor


def executor():
    with kthreads.ThreadPoolExecutor(1) as executor:
        executor.submit(task_of_executor).result()


def initialize():
    sys.getrecursionlimit()  # on: initializer


def initializer():
    with kthreads.Pool(1, initializer=initialize) as pool:
        pool.submit(len, ()).result()


def task_of_pool():
    return 3  # on: pool


def pool():
    with kthreads.Pool(1) as pool:
        pool.submit(task_of_pool).result()


body_runs = threading.Barrier(2)


def body_of_loop(begin, end):
    body_runs.wait()
    if threading.current_thread() is not threading.main_thread():
        sys.getrecursionlimit()  # on: loop


def loop():
    with kthreads.Pool(2) as pool:
        pool.parallel_for(body_of_loop, 2, schedule="static")


called_back = threading.Event()


def call_back(future):
    called_back.set()  # on: callback


def callback():
    read = kthreads.symbol(None, "read", "ssize_t(int, void *, size_t)")
    output, input = os.pipe()
    with kthreads.Pool(1) as pool:
        pool.submit(read, output, bytearray(1), 1).add_done_callback(call_back)
        os.write(input, b"x")
        called_back.wait()


def job(number):
    return number + 1  # on: joblib


def joblib():
    from joblib import Parallel, delayed, parallel_config

    from kthreads.integrations.joblib import register

    register()
    with parallel_config(backend="kthreads"):
        results = Parallel(n_jobs=2)(delayed(job)(number) for number in range(JOBS))
    assert results == list(range(1, JOBS + 1))


def nothing():
    return 4  # on: none


for kind in sys.argv[1:]:
    globals()[kind]()
