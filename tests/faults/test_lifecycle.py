"""Every hook of kthreads.lifecycle: what it does in a forked child, or at the end of the interpreter, and in which order."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from programs import FORK, ended, printed

import kthreads
from kthreads import lifecycle

PRELUDE = (
    FORK
    + """
import atexit, concurrent.futures, threading
import kthreads
from kthreads.pools import completions, executor_threads, python_task
from kthreads.threads import registry
minus = kthreads.symbol(sys.argv[1], "minus", "double(double, double)")
pass_gate = kthreads.symbol(sys.argv[1], "pass_gate", "int(int *, const int *)")
from array import array
arrived, word = array("i", [0]), array("i", [0])
"""
)
QUIET = ("-W", "ignore::DeprecationWarning")


def in_child(library, body, before=""):
    """Runs `use` in a forked child, which is to leave with 3."""
    return (
        printed(f"{PRELUDE}{before}\ndef use():\n{body}\nprint(status_of(fork()))\n", library, options=QUIET) == "3\n"
    )


def test_hooks_are_registered_in_one_place_alone():
    package = Path(kthreads.__file__).parent
    registers = re.compile(r"register_at_fork\(|atexit\.register\(|at_shutdown\(|_register_atexit\(")
    found = {path.name for path in package.rglob("*.py") if registers.search(path.read_text())}
    # threading_hooks defines at_shutdown, and pools/__init__ calls it after the import of concurrent.futures.thread.
    assert found == {"lifecycle.py", "threading_hooks.py", "__init__.py"}


def test_the_hooks_come_in_this_order():
    assert list(lifecycle.in_a_forked_child.functions) == [
        "completions.reset_after_fork",
        "python_task.reset_after_fork",
        "executor_threads.reset_after_fork",
        "registry.reset_after_fork",
        "known_to_threading.reset_after_fork",
        "running.reset_after_fork",
    ]
    assert list(lifecycle.as_the_interpreter_begins_to_end.functions) == [
        "executor_threads.finish_at_exit",
        "trace.end_at_exit",
        "pool.close_at_exit",
        "pool.end_threads_at_exit",
    ]
    assert list(lifecycle.at_its_end.functions) == [
        "interpreter.close",
        "pool.keep_at_exit",
        "completions.keep_running_at_exit",
        "registry.keep_running_at_exit",
    ]


def test_each_of_them_was_added():
    for stage in (
        lifecycle.in_a_forked_child,
        lifecycle.as_the_interpreter_begins_to_end,
        lifecycle.at_its_end,
    ):
        for name, function in stage.functions.items():
            assert function is not None, name


def test_a_hook_without_a_place_in_the_order_is_refused():
    with pytest.raises(LookupError, match=r"test_lifecycle\.test_a_hook_without_a_place_in_the_order_is_refused"):
        lifecycle.in_a_forked_child.add(test_a_hook_without_a_place_in_the_order_is_refused)


# ---- In a forked child ---------------------------------------------------------------------------------------------------

HELD = """
pool = kthreads.Pool(1)
running = pool.submit(pass_gate, arrived, word)
running.add_done_callback(lambda _: None)
waiting, python = pool.submit(minus, 1, 2), pool.submit(abs, 1)
batch = pool.submit_many(minus, [1.0], [2.0])
while not arrived[0]: pass
"""


def test_in_a_child_native_tasks_of_the_parent_are_lost_and_the_collector_is_gone(native_library):
    assert in_child(
        native_library,
        """
    assert not completions.all_queues()
    for future in (running, waiting, batch[0]):
        try:
            future.result(0)
        except concurrent.futures.BrokenExecutor:
            continue
        raise AssertionError(future)
    done = threading.Event()
    pool.submit(minus, 1, 2).add_done_callback(lambda _: done.set())
    assert done.wait(20)
""",
        HELD + "atexit.register(lambda: word.__setitem__(0, 1))",
    )


def test_in_a_child_python_tasks_of_the_parent_are_lost(native_library):
    assert in_child(
        native_library,
        """
    assert not python_task.registered
    assert isinstance(python.exception(0), concurrent.futures.BrokenExecutor)
    assert pool.submit(abs, -1).result(20) == 1
""",
        HELD + "atexit.register(lambda: word.__setitem__(0, 1))",
    )


def test_in_a_child_executors_have_no_threads_and_start_new_ones(native_library):
    assert in_child(
        native_library,
        """
    assert not executor._threads
    assert executor.submit(abs, -1).result(20) == 1
    executor.shutdown()
""",
        "executor = kthreads.ThreadPoolExecutor(2)\nassert executor.submit(abs, -1).result() == 1",
    )


def test_one_hook_that_fails_keeps_no_other_from_its_work(native_library):
    done = ended(
        PRELUDE
        + """
from kthreads import lifecycle
executor = kthreads.ThreadPoolExecutor(2)
executor.submit(abs, -1).result()
def fails(): raise RuntimeError("of a hook")
lifecycle.in_a_forked_child.functions["completions.reset_after_fork"] = fails
def use():
    assert not executor._threads
print(status_of(fork()))
""",
        native_library,
        options=QUIET,
    )
    assert done.stdout == "3\n"
    assert "of a hook" in done.stderr


# ---- At the end of the interpreter ---------------------------------------------------------------------------------------


def test_executors_do_first_what_was_submitted(native_library):
    program = """
executor = kthreads.ThreadPoolExecutor(1)
for number in range(3):
    executor.submit(print, number, flush=True)
atexit.register(print, "end")
"""
    assert printed(PRELUDE + program, native_library) == "0\n1\n2\nend\n"


def test_pools_cancel_what_has_not_begun(native_library):
    program = """
pool = kthreads.Pool(1)
running = pool.submit(pass_gate, arrived, word)
while not arrived[0]: pass
waiting = pool.submit(minus, 1, 2), pool.submit(abs, 1)
def at_end():
    print([future.cancelled() for future in waiting], running.running())
    try:
        pool.submit(abs, 1)
    except kthreads.ThreadStateError as error:
        print(error)
atexit.register(at_end)
"""
    assert printed(PRELUDE + program, native_library) == "[True, True] True\ncannot use the pool after shutdown\n"


def test_threads_that_are_not_daemons_are_waited_for(native_library):
    program = """
thread = kthreads.Thread(target=pass_gate, args=(arrived, word), daemon=False)
thread.start()
def opens():
    while not arrived[0]: pass
    threading.main_thread()
    word[0] = 1
threading.Thread(target=opens).start()
atexit.register(lambda: print(thread.is_alive()))
"""
    assert printed(PRELUDE + program, native_library) == "False\n"


@pytest.mark.parametrize(
    "what", ["pool.submit(pass_gate, arrived, word)", "pool.submit_many(pass_gate, [arrived], [word])"]
)
def test_what_native_functions_use_outlives_the_interpreter(native_library, what):
    program = f"""
pool = kthreads.Pool(2)
future = {what}
thread = kthreads.Thread(target=pass_gate, args=(arrived, word), daemon=True)
thread.start()
while arrived[0] < 2: pass
print("ends")
"""
    assert printed(PRELUDE + program, native_library) == "ends\n"


def test_a_child_that_a_callback_of_a_native_future_forks_ends_when_the_callback_has_returned():
    program = FORK + textwrap.dedent("""
        import threading
        import kthreads

        may_run, forked = threading.Event(), threading.Event()
        pids = []

        def call_back(_):
            if pid := os.fork():
                pids.append(pid)
                forked.set()
            else:
                signal.alarm(20)

        with kthreads.Pool(1) as pool:
            pool.submit(may_run.wait)
            pool.submit(kthreads.symbol(None, "abs", "int(int)"), -1).add_done_callback(call_back)
            may_run.set()
            forked.wait()
        print(status_of(pids[0]))
    """)
    assert ended(program).stdout == "0\n"
