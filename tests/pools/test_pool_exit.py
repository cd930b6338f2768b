"""The interpreter ends, with the right exit status, whatever a pool does."""

from __future__ import annotations

import json
import textwrap

import pytest
from programs import ended, printed

PRELUDE = """
import asyncio, atexit, os, sys, threading, time
from array import array
late = []  # called at exit after all that kthreads does there
atexit.register(lambda: [function() for function in late])
import kthreads
library = sys.argv[1]
sleep = kthreads.symbol(None, "sleep", "unsigned(unsigned)")
arrived = array("i", [0])
pass_gate = kthreads.symbol(library, "pass_gate", "int(int *, const int *)")
nap = kthreads.symbol(library, "nap", "void(long, long, int *)")
never = (arrived, array("i", [0]))
pool = kthreads.Pool(2, queue_size=2)

def until(condition):
    while not condition():
        time.sleep(0.001)

def in_thread(what, daemon=True):
    threading.Thread(target=what, daemon=daemon).start()

def print_unless_told_of_the_end(what):
    if what.exc_type is not kthreads.ThreadStateError:
        threading.__excepthook__(what)

threading.excepthook = print_unless_told_of_the_end
"""


@pytest.fixture
def script(native_library):
    """Runs a program in an interpreter of its own; returns its exit status, output and error output."""

    def run(body):
        program = PRELUDE + textwrap.dedent(body)
        done = ended(program, native_library, options=("-W", "ignore::DeprecationWarning"))
        return done.returncode, done.stdout, done.stderr

    return run


WAITS_FOR_A_LOCK = """
    lock = threading.Lock()
    lock.acquire()
    begun = threading.Event()
    pool.submit(lambda: (begun.set(), lock.acquire()))
    begun.wait()
"""


@pytest.mark.parametrize(
    "work",
    [
        pytest.param("pool.submit(pass_gate, *never); until(lambda: arrived[0])", id="a native task runs"),
        pytest.param(WAITS_FOR_A_LOCK, id="a Python task waits for a lock"),
        pytest.param(
            "begun = threading.Event(); pool.submit(lambda: (begun.set(), [0 for _ in iter(int, 1)])); begun.wait()",
            id="a Python task computes for ever",
        ),
        pytest.param(
            "in_thread(lambda: pool.parallel_for(nap, 1 << 40, arrived, grain=1)); until(lambda: arrived[0])",
            id="a native loop runs in a daemon thread",
        ),
        pytest.param(
            "in_thread(lambda: pool.parallel_for(nap, 1 << 40, arrived)); until(lambda: arrived[0])",
            id="one in memory of its function",
        ),
        pytest.param(
            """
            begun = threading.Event()
            in_thread(lambda: pool.parallel_for(lambda begin, end: begun.set(), 1 << 40, grain=1))
            begun.wait()
            """,
            id="a Python loop runs in a daemon thread",
        ),
        pytest.param(
            """
            begun = threading.Event()
            loop = pool.prepare(lambda begin, end: begun.set(), 1 << 40, grain=1)
            kthreads.Thread(target=loop, daemon=True).start()
            begun.wait()
            """,
            id="a loop runs in a kernel thread",
        ),
        pytest.param(
            """
            in_thread(lambda: [pool.submit(pass_gate, *never) for _ in range(100)])
            until(lambda: arrived[0] == 2)
            """,
            id="a daemon thread waits for room in the queue",
        ),
        pytest.param(
            "trace = pool.trace(os.devnull); trace.__enter__(); pool.submit(pass_gate, *never)", id="it is traced"
        ),
        pytest.param(
            "future = pool.submit(pass_gate, *never); until(lambda: arrived[0]); in_thread(future.result)",
            id="a thread waits for a result",
        ),
        pytest.param(
            "pool.submit(pass_gate, *never).add_done_callback(id)", id="a future has a callback"
        ),
        pytest.param("pool.submit(pass_gate, *never); in_thread(pool.quiesce)", id="a thread waits for quiet"),
        pytest.param(
            "kthreads.Pool(3, initializer=pass_gate, initargs=never); until(lambda: arrived[0])",
            id="an initializer runs",
        ),
        pytest.param(
            "pool.submit_many(pass_gate, [arrived] * 2, [never[1]] * 2); del pool", id="nobody has the pool any more"
        ),
    ],
)  # fmt: skip
def test_the_interpreter_ends_while(script, work):
    assert script(textwrap.dedent(work) + "\nprint('end')") == (0, "end\n", "")


def test_a_daemon_thread_is_told_that_the_end_cut_its_python_loop_short(script):
    status, output, errors = script("""
        begun = threading.Event()
        def loop():
            try:
                pool.parallel_for(lambda begin, end: begun.set(), 1 << 40, grain=1)
            except kthreads.ThreadStateError as error:
                print(error)
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        begun.wait()
        late.append(thread.join)
    """)
    assert (status, output, errors) == (
        0,
        "the interpreter is ending: it runs no more Python bodies of parallel loops\n",
        "",
    )


def test_who_waits_for_room_when_the_interpreter_ends_is_told_so(script):
    status, output, _ = script("""
        def fill():
            try:
                while True:
                    pool.submit(pass_gate, *never)
            except kthreads.ThreadStateError as error:
                print(error)
        in_thread(fill, daemon=False)
        until(lambda: arrived[0] == 2)
    """)
    assert (status, output) == (0, "cannot use the pool after shutdown\n")


def test_who_waits_for_a_task_that_has_not_begun_is_told_so(script):
    status, output, errors = script("""
        import concurrent.futures
        pool.submit_many(pass_gate, [arrived] * 2, [never[1]] * 2)
        until(lambda: arrived[0] == 2)
        futures = [pool.submit(abs, -1), pool.submit(sleep, 0)]
        in_thread(lambda: print(len(concurrent.futures.wait(futures).done)), daemon=False)
    """)
    assert (status, output, errors) == (0, "2\n", "")


def test_sys_exit_in_a_task_is_its_result_s(script):
    assert script("pool.submit(sys.exit, 5).result(); print('not here')") == (5, "", "")
    assert script("pool.submit(sys.exit, 5).exception(); print('end')") == (0, "end\n", "")


def test_an_exception_of_the_program_is_its_status(script):
    status, _, errors = script("pool.submit(pass_gate, *never); raise ValueError('of the program')")
    assert (status, errors.splitlines()[-1]) == (1, "ValueError: of the program")


def test_sys_exit_in_an_event_loop_that_awaits_a_task_ends_the_interpreter(script):
    assert script("""
        async def main():
            waiting = asyncio.ensure_future(pool.run(pass_gate, *never))
            while not arrived[0]:
                await asyncio.sleep(0)
            sys.exit(4)
        asyncio.run(main())
    """) == (4, "", "")  # fmt: skip


def test_a_forked_child_ends_while_its_pool_works(script):
    status, output, errors = script("""
        pool.submit(abs, -1).result()
        if (pid := os.fork()) == 0:
            pool.submit(pass_gate, *never)
            pool.submit(time.sleep, 1000)
            until(lambda: arrived[0])
            sys.exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert (status, output, errors) == (0, "3\n", "")


def test_functions_called_at_exit_can_look_at_the_pool_but_not_use_it(script):
    status, output, errors = script("""
        def at_exit():
            for use in (lambda: pool.submit(abs, -1), lambda: pool.parallel_for(print, 3)):
                try:
                    use()
                except kthreads.ThreadStateError as error:
                    print(error)
            pool.quiesce()
            pool.shutdown()
            print(pool.stats().tasks)
        atexit.register(at_exit)
        pool.submit(abs, -1).result()
    """)
    assert (status, output, errors) == (0, "cannot use the pool after shutdown\n" * 2 + "1\n", "")


def test_a_trace_that_a_generator_never_ends_is_written_as_the_interpreter_ends(tmp_path):
    """The generator lives as long as the modules: when it is ended, what it would call is gone."""
    program = """
import json, sys, threading
import kthreads

def traced(pool):
    with pool.trace(sys.argv[1]):
        pool.submit(abs, -1).result()
        yield

threading.kept = traced(kthreads.Pool(2))
next(threading.kept)
"""
    assert printed(program, str(tmp_path / "trace")) == ""
    events = json.loads((tmp_path / "trace").read_text())["traceEvents"]
    assert "task" in {event["name"] for event in events}
