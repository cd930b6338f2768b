"""A pool in forked children, in the ways in which programs fork."""

from __future__ import annotations

import textwrap

import pytest
from programs import FORK, printed

PRELUDE = (
    FORK
    + """
import concurrent.futures, json, multiprocessing, threading, time
from array import array
import kthreads
library = sys.argv[1]
add_one = kthreads.symbol(library, "add_one_to_each", "void(long, long, double *)")
crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")
pool = kthreads.Pool(2)

def use(pool=pool):
    counts, chunks = array("d", bytes(8000)), []
    pool.parallel_for(add_one, 1000, counts)
    assert set(counts) == {1}
    pool.parallel_for(lambda begin, end: chunks.append(end - begin), 100)
    assert sum(chunks) == 100
    assert pool.submit(crc32, 0, b"abc", 3).result() == 0x352441C2
    assert pool.submit(abs, -1).result() == 1
    return "used"

use()
"""
)


@pytest.fixture
def script(native_library):
    """Runs a program in an interpreter of its own and returns its output."""

    def run(body, *options):
        options = options or ("-W", "ignore::DeprecationWarning")
        return printed(PRELUDE + textwrap.dedent(body), native_library, options=options).splitlines()

    return run


# ---- multiprocessing ---------------------------------------------------------------------------------------------------


def test_processes_of_multiprocessing_use_the_pool_of_their_parent(script):
    output = script("""
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=use) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print([process.exitcode for process in processes], use())
    """)
    assert output == ["[0, 0, 0, 0] used"]


def test_workers_of_a_multiprocessing_pool_use_the_pool_of_their_parent(script):
    output = script("""
        def work(number):
            use()
            return pool.submit(pow, number, 2).result()
        with multiprocessing.get_context("fork").Pool(3) as processes:
            print(processes.map(work, range(10)), use())
    """)
    assert output == [f"{[number**2 for number in range(10)]} used"]


def test_a_task_may_start_a_process_of_multiprocessing(script):
    output = script("""
        def task():
            process = multiprocessing.get_context("fork").Process(target=use)
            process.start()
            process.join()
            return process.exitcode
        print(pool.submit(task).result(), use())
    """)
    assert output == ["0 used"]


# ---- Servers that fork beforehand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["os._exit", "sys.exit"])
def test_many_children_use_the_pool_at_once_and_end(script, leave):
    output = script(f"""
        children = [fork(lambda: [use() for _ in range(10)], {leave}) for _ in range(8)]
        print({{status_of(child) for child in children}}, use())
    """)
    assert output == ["{3} used"]


def test_children_of_children_use_the_pool(script):
    output = script("""
        def child():
            use()
            assert status_of(fork()) == 3
            use()
        print(status_of(fork(child)), use())
    """)
    assert output == ["3 used"]


def test_after_quiesce_the_process_has_one_thread_and_fork_does_not_warn(script):
    output = script(
        """
        pool.quiesce()
        kthreads.memory.trim()
        print(len(os.listdir("/proc/self/task")), status_of(fork()), use())
        """,
        "-W",
        "error",
    )
    assert output == ["1 3 used"]


# ---- Whatever runs meanwhile -------------------------------------------------------------------------------------------------


def test_in_the_child_tasks_of_the_parent_are_lost(script):
    output = script("""
        lock = threading.Lock()
        lock.acquire()
        running, waiting = pool.submit(lock.acquire), [pool.submit(abs, -1) for _ in range(2)]
        waiting.append(pool.submit(lock.acquire))
        futures = [running, waiting[-1]]
        concurrent.futures.wait(waiting[:2])
        def child():
            for future in futures:
                try:
                    future.result()
                except concurrent.futures.BrokenExecutor as error:
                    assert "parent's" in str(error)
                else:
                    sys.exit("not lost")
            assert waiting[0].result() == 1
            use()
        print(status_of(fork(child)))
        lock.release()
        concurrent.futures.wait(futures, return_when="FIRST_COMPLETED")
        lock.release()
        print(*(future.result() for future in futures), use())
    """)
    assert output == ["3", "True True used"]


def test_a_child_forked_while_loops_run_in_another_thread_uses_the_pool(script):
    output = script("""
        stop = threading.Event()
        loops = threading.Thread(target=lambda: [use() for _ in iter(stop.is_set, True)])
        loops.start()
        print({status_of(fork()) for _ in range(20)})
        stop.set()
        loops.join()
    """)
    assert output == ["{3}"]


def test_a_prepared_loop_that_runs_in_the_parent_runs_in_the_child(script):
    output = script("""
        counts = array("d", bytes(8000))
        loop = pool.prepare(add_one, 1000, counts)
        stop = threading.Event()
        loops = threading.Thread(target=lambda: [loop() for _ in iter(stop.is_set, True)])
        loops.start()
        def child():
            before = counts[:]
            loop()
            assert all(map(float.__gt__, counts, before))
        print({status_of(fork(child)) for _ in range(20)})
        stop.set()
        loops.join()
    """)
    assert output == ["{3}"]


# ---- Within the pool -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["clone", "clone3", "pthread"])
def test_a_task_may_fork(script, backend):
    output = script(f"""
        pool = kthreads.Pool(2, backend="{backend}")
        child = lambda: [use(pool) for _ in range(10)]
        print(pool.submit(lambda: status_of(fork(child))).result(), use(pool))
    """)
    assert output == ["3 used"]


def test_a_body_on_a_worker_may_fork(script):
    output = script("""
        statuses, taken = [], threading.Event()
        def body(begin, end):
            if threading.current_thread() is threading.main_thread():
                taken.wait(30)      # so that the other worker takes part
            elif not statuses:
                statuses.append(status_of(fork()))
                taken.set()
        pool.parallel_for(body, 4, grain=1)
        print(statuses, use())
    """)
    assert output == ["[3] used"]


@pytest.mark.parametrize("leave", ["lambda status: None", "sys.exit"])
def test_a_child_that_comes_to_the_end_of_its_task_ends(script, leave):
    output = script(f"""
        print(pool.submit(lambda: status_of(pid) if (pid := fork(use, {leave})) else None).result(), use())
    """)
    assert output == ["0 used"]


def test_a_child_leaves_the_trace_to_its_parent(script, tmp_path):
    output = script(f"""
        with pool.trace({str(tmp_path / "trace.json")!r}):
            child = fork(leave=sys.exit)
            print(status_of(child))
            pool.parallel_for(lambda begin, end: None, 10)
        print(len(json.load(open({str(tmp_path / "trace.json")!r}))["traceEvents"]) > 0)
    """)
    assert output == ["3", "True"]
