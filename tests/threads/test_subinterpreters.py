"""Threads, pools and executors in subinterpreters."""

from __future__ import annotations

import sys

import pytest
from programs import ended, printed

testcapi = pytest.importorskip(
    "_testcapi", reason="this Python lacks _testcapi, which runs programs in subinterpreters"
)


def in_a_subinterpreter(program: str) -> str:
    """What a program has printed in a subinterpreter that has ended since."""
    return printed(f"import _testcapi, sys\nsys.exit(_testcapi.run_in_subinterp({program!r}))")


def test_a_thread_runs_in_the_interpreter_of_its_starter():
    program = """
import sys, kthreads
def target():
    print(sys.modules["kthreads"] is kthreads)
thread = kthreads.Thread(target=target)
thread.start()
thread.join()
"""
    assert in_a_subinterpreter(program) == "True\n"


def test_the_end_of_the_interpreter_waits_for_its_threads():
    program = """
import time, kthreads
def late():
    time.sleep(0.2)
    print("late", flush=True)
kthreads.Thread(target=late).start()
"""
    assert in_a_subinterpreter(program) == "late\n"


def test_pools_run_native_and_python_tasks_and_loops():
    program = """
import kthreads
absolute = kthreads.symbol(None, "abs", "int(int)")
with kthreads.Pool(2) as pool:
    chunks = []
    pool.parallel_for(lambda begin, end: chunks.append(end - begin), 10)
    print(pool.submit(absolute, -3).result(), pool.submit(pow, 2, 4).result(), sum(chunks))
"""
    assert in_a_subinterpreter(program) == "3 16 10\n"


def test_executors_run_native_and_python_tasks_and_call_back():
    program = """
import kthreads
absolute = kthreads.symbol(None, "abs", "int(int)")
with kthreads.ThreadPoolExecutor(2) as executor:
    print(list(executor.map(absolute, [-1, -2])), list(executor.map(abs, [-3])))
    executor.submit(absolute, -4).add_done_callback(lambda future: print(future.result(), flush=True))
"""
    assert in_a_subinterpreter(program) == "[1, 2] [3]\n4\n"


def test_no_thread_is_left_at_its_end_where_the_program_closes_nothing():
    program = """
import time, kthreads
usleep = kthreads.symbol(None, "usleep", "int(unsigned)")
pool, executor = kthreads.Pool(2), kthreads.ThreadPoolExecutor(2)
for each in pool, executor:
    each.submit(time.sleep, 0.05)
    each.submit(usleep, 50_000)
"""
    assert in_a_subinterpreter(program) == ""


def test_the_main_interpreter_goes_on_after_it():
    program = """
import _testcapi, kthreads
pool = kthreads.Pool(2)
for _ in range(3):
    assert _testcapi.run_in_subinterp("import kthreads; kthreads.Pool(2).submit(int).result()") == 0
print(pool.submit(int, "5").result())
"""
    assert printed(program) == "5\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters have a GIL of their own since 3.12")
def test_an_interpreter_with_a_gil_of_its_own_is_refused_with_a_sentence():
    if any(hasattr(finder, "_build_path") for finder in sys.meta_path):
        pytest.skip("an editable install runs a build at import, which such an interpreter cannot")
    program = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    print(interpreters.exec(interpreters.create("isolated"), "import kthreads").msg)
else:
    import _xxsubinterpreters as interpreters
    try:
        interpreters.run_string(interpreters.create(isolated=True), "import kthreads")
    except interpreters.RunFailedError as error:
        print(error)
"""
    assert "needs an interpreter that shares the GIL" in ended(program).stdout
