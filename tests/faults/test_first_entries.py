"""Threads that enter Python for the first time, while others fork, and what they find there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from programs import FORK, printed

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no compiler")
    library = tmp_path_factory.mktemp("faults") / "libslow_state.so"
    source = HERE / "slow_state.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-pthread", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def slow_state(library, monkeypatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", str(library))


PROGRAM = (
    FORK
    + """
import ctypes, threading, time, warnings
import kthreads
warnings.simplefilter("ignore")     # 3.12 and later warn of forks in processes with threads
preloaded = ctypes.CDLL(None)

def status_or_hang(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (ended := os.waitpid(pid, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"
"""
)

WAYS = {
    "a thread": """
thread = kthreads.Thread(target=lambda: None)
starter = threading.Thread(target=thread.start)   # start() waits until the thread has entered
enter = starter.start
def end():
    starter.join()
    thread.join()
""",
    "a task": """
pool = kthreads.Pool(2)
def enter():
    global future
    future = pool.submit(abs, -3)
def end():
    future.result()
    pool.shutdown()
""",
    "an initializer": """
def enter():
    global pool
    pool = kthreads.Pool(2, initializer=int)
def end():
    pool.shutdown()
""",
    "a loop": """
pool = kthreads.Pool(2)
begin = threading.Event()
def loop():
    begin.wait()
    pool.parallel_for(lambda begin, end: time.sleep(0.01), 100, grain=1)
caller = threading.Thread(target=loop)
caller.start()
enter = begin.set
def end():
    caller.join()
    pool.shutdown()
""",
}


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="later versions have the lock through a fork, or make it anew first"
)
@pytest.mark.parametrize("way", WAYS)
def test_a_child_forked_while_a_thread_enters_for_the_first_time_does_not_hang(way, slow_state):
    program = (
        PROGRAM
        + WAYS[way]
        + """
preloaded.arm()
enter()
assert preloaded.await_thread()
print(status_or_hang(fork(lambda: None)))
end()
"""
    )
    assert printed(program) == "3\n"


def test_forks_and_first_entries_do_not_wait_for_each_other_where_each_allocation_takes_the_gil():
    program = (
        FORK
        + """
import tracemalloc, warnings
import kthreads
warnings.simplefilter("ignore")
tracemalloc.start()
for _ in range(200):
    pool = kthreads.Pool(1)     # its thread keeps its state until the fork is over: CPython frees one without the GIL,
    future = pool.submit(int)   # under a lock of tracemalloc, which a child would inherit
    assert status_of(fork(lambda: None)) == 3
    future.result()
    pool.shutdown()
print("done")
"""
    )
    assert printed(program) == "done\n"


CALLBACKS = """
import ctypes, threading
import kthreads
seen = []
callback = ctypes.CFUNCTYPE(None)(lambda: seen.append((threading.get_ident(), threading.current_thread().name)))
def target():
    callback()
    seen.append((threading.get_ident(), threading.current_thread().name))
"""


def test_a_callback_on_a_thread_of_ours_finds_the_state_that_the_thread_has():
    program = (
        CALLBACKS
        + """
thread = kthreads.Thread(target=target, name="ours")
thread.start()
thread.join()
print(seen[0] == seen[1], seen[0][1], seen[0][0] == thread.ident)
"""
    )
    assert printed(program) == "True ours True\n"


def test_a_native_thread_that_calls_back_has_its_state_made_and_ended_by_who_calls():
    program = (
        CALLBACKS
        + """
address = ctypes.cast(callback, ctypes.c_void_p).value
for _ in range(3):
    thread = kthreads.Thread(target=kthreads.native(address, "void(void)"), reuse=True)
    thread.start()
    thread.join()
print(len(seen), len(threading.enumerate()))
"""
    )
    assert printed(program).split()[0] == "3"


def test_values_of_a_worker_stay_from_task_to_task_and_a_thread_begins_without_any():
    program = """
import threading
import kthreads
local, values = threading.local(), []
def count():
    local.count = getattr(local, "count", 0) + 1
    return local.count
with kthreads.Pool(1) as pool:
    values = [pool.submit(count).result() for _ in range(3)]
for _ in range(2):
    thread = kthreads.Thread(target=lambda: values.append(count()), reuse=True)
    thread.start()
    thread.join()
print(values)
"""
    assert printed(program) == "[1, 2, 3, 1, 1]\n"
