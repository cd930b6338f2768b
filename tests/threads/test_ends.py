"""Forks, the end of the interpreter, signals and limits: nothing hangs, crashes or leaks."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
import kthreads
def fail(*error):
    sys.__excepthook__(*error)
    sys.stderr.flush()
    os._exit(1)  # without waiting for the threads that the rest of the script would have let go
sys.excepthook = fail
library = sys.argv[1]
gate = np.zeros(1, "i4")
wait_for = kthreads.symbol(library, "wait_for", "int(const void *)")
nothing = kthreads.symbol(library, "nothing", "void(void)")
same = kthreads.symbol(library, "same_i32", "int(int)")
def run(function, *args, **options):
    thread = kthreads.Thread(target=function, args=args, **options)
    thread.start()
    thread.join()
    return thread.result
def holding(**options):
    thread = kthreads.Thread(target=wait_for, args=(gate,), **options)
    thread.start()
    return thread
"""


@pytest.fixture
def script(native_library):
    """Runs a program in an interpreter of its own; returns its output, or the whole result if asked."""

    def run(body, *, check=True, timeout=60, options=()):
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                *options,
                "-c",
                PRELUDE + textwrap.dedent(body),
                native_library,
            ],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert (done.returncode, done.stderr) == (0, ""), done
            return done.stdout
        return done

    return run


# ---- fork ----------------------------------------------------------------------------------------------------------

BACKENDS = pytest.mark.parametrize("options", ["", "backend='clone3'", "backend='pthread'", "reuse=True"])


@BACKENDS
def test_a_forked_child_sees_only_itself_and_can_make_threads(script, options):
    output = script(f"""
        threads = [holding({options}) for _ in range(5)]
        pid = os.fork()
        if pid == 0:
            assert not any(thread.is_alive() for thread in threads)
            for thread in threads:
                thread.join()
            assert kthreads.memory.usage().parked == 0
            assert run(same, 5, {options}) == 5
            assert run(lambda: 6, {options}) == 6
            del threads
            kthreads.memory.trim()
            assert run(same, 7, {options}) == 7
            os._exit(33)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 33
        assert all(thread.is_alive() for thread in threads)
        gate[0] = 1
        for thread in threads:
            thread.join()
            assert thread.result == 7
        print("well")
    """)
    assert output == "well\n"


@BACKENDS
def test_a_thread_may_fork(script, options):
    """The thread is the main thread of the child, which ends as a Python process does."""
    output = script(f"""
        def target():
            pid = os.fork()
            if pid == 0:
                assert threading.current_thread() is thread is threading.main_thread()
                assert thread.is_alive() and thread.native_id == os.getpid()
                assert run(same, 5, {options}) == 5
                child = threading.Thread(target=lambda: None)
                child.start()
                child.join()
                print("child", flush=True)
                return None
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        thread = kthreads.Thread(target=target, {options})
        thread.start()
        thread.join()
        if threading.main_thread() is not thread:
            print("parent", thread.result)
    """)
    assert output.splitlines() == ["child", "parent 0"]


def test_parked_threads_vanish_in_a_forked_child(script):
    output = script("""
        run(nothing, reuse=True)
        assert kthreads.memory.usage().parked == 1
        pid = os.fork()
        if pid == 0:
            assert kthreads.memory.usage().parked == 0
            thread = kthreads.Thread(target=nothing, reuse=True)
            thread.start()
            thread.join()
            os._exit(10 + thread.reused)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), kthreads.memory.usage().parked)
    """)
    assert output == "10 1\n"


def test_forks_and_threads_mix_under_load(script):
    output = script("""
        def fork_often():
            for _ in range(20):
                pid = os.fork()
                if pid == 0:
                    assert run(same, 3) == 3
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
        stop = []
        def start_often():
            while not stop:
                run(same, 1)
                run(same, 1, reuse=True)
                kthreads.Thread(target=nothing).start()
        starters = [threading.Thread(target=start_often) for _ in range(3)]
        for starter in starters:
            starter.start()
        fork_often()
        stop.append(True)
        for starter in starters:
            starter.join()
        print("well")
    """)
    assert output == "well\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_with_threads_alive(script, method):
    output = script(f"""
        import multiprocessing
        thread = holding()
        context = multiprocessing.get_context({method!r})
        with context.Pool(2) as pool:
            print(pool.map(abs, range(-3, 0)))
        gate[0] = 1
        thread.join()
    """)
    assert output == "[3, 2, 1]\n"


def test_subprocess_works_with_threads_alive(script):
    output = script("""
        import subprocess
        thread = holding()
        print(subprocess.check_output(["echo", "hello"], text=True), end="")
        print(subprocess.check_output(["echo", "again"], text=True, preexec_fn=lambda: None), end="")
        gate[0] = 1
        thread.join()
    """)
    assert output == "hello\nagain\n"


# ---- The end of the interpreter ------------------------------------------------------------------------------------


@BACKENDS
def test_daemon_threads_that_run_do_not_hold_the_end_up(script, options):
    begin = time.monotonic()
    script(f"""
        threads = [holding(daemon=True, {options}) for _ in range(3)]
        kthreads.Thread(target=lambda: time.sleep(1000), daemon=True, {options}).start()
    """)
    assert time.monotonic() - begin < 30


@BACKENDS
def test_the_end_waits_for_threads_that_are_no_daemons(script, options):
    output = script(f"""
        def late():
            time.sleep(0.2)
            gate[0] = 1
            print("late")
        thread = holding({options})
        kthreads.Thread(target=late, {options}).start()
    """)
    assert output == "late\n"


def test_buffers_of_daemon_threads_outlive_the_interpreter(script):
    script("""
        import weakref
        values = np.zeros(1 << 22)
        scale = kthreads.symbol(library, "scale", "void(double *, size_t, double)")
        for _ in range(4):
            kthreads.Thread(target=scale, args=(values, len(values), 2.0), daemon=True).start()
        del values
    """)


def test_an_exit_with_parked_threads_is_quick(script):
    begin = time.monotonic()
    script("""
        kthreads.memory.park_timeout(1000)
        for _ in range(8):
            run(nothing, reuse=True)
    """)
    assert time.monotonic() - begin < 30


def test_sys_exit_in_the_main_thread_waits_too(script):
    done = script(
        """
        def late():
            time.sleep(0.1)
            print("late")
        kthreads.Thread(target=late).start()
        sys.exit(3)
        """,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "late\n")


# ---- Signals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", ["thread.join()", "kthreads.wait([thread])", "thread.join(100)"])
def test_ctrl_c_ends_a_join_at_once(script, waiting):
    output = script(f"""
        thread = holding()
        sent = []
        def interrupt():
            time.sleep(0.2)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        other = threading.Thread(target=interrupt)
        other.start()
        try:
            {waiting}
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - sent[0])
        gate[0] = 1
        thread.join()
    """)
    word, seconds = output.split()
    assert word == "interrupted"
    assert float(seconds) < 5  # 0.05 on a quiet machine


def test_signals_reach_the_main_thread_while_native_threads_run(script):
    output = script("""
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread() is threading.main_thread()))
        threads = [holding() for _ in range(4)]
        for _ in range(20):
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0)
        gate[0] = 1
        for thread in threads:
            thread.join()
        print(seen and all(seen))
    """)
    assert output == "True\n"


# ---- Faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "stack_size=16384", "backend='pthread'", "backend='bare_without_libc'"])
def test_a_stack_overflow_hits_the_guard(script, options):
    done = script(
        f"""
        use_stack = kthreads.symbol(library, "use_stack", "int(size_t)")
        neighbours = [holding({options}) for _ in range(3)]
        run(use_stack, 1 << 30, {options})
        """,
        check=False,
    )
    assert done.returncode == -11


def test_faulthandler_tells_of_a_stack_overflow(script):
    done = script(
        """
        run(kthreads.symbol(library, "use_stack", "int(size_t)"), 1 << 30)
        """,
        check=False,
        options=("-X", "faulthandler"),
    )
    assert done.returncode == -11
    assert "Fatal Python error: Segmentation fault" in done.stderr


def test_a_limit_on_threads_is_named_and_leaves_nothing_behind(script):
    """As a user that has RLIMIT_NPROC: root has none."""
    output = script("""
        import resource
        used = kthreads.memory.usage().stacks
        run(nothing)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(20000 + os.getpid() % 40000)  # nobody else's: the limit counts all threads of a user
        resource.setrlimit(resource.RLIMIT_NPROC, (20, 20))
        threads = []
        try:
            for _ in range(200):
                threads.append(holding())
        except kthreads.ThreadLimitError as error:
            assert "RLIMIT_NPROC" in str(error) and "of 20" in str(error), error
            assert error.errno == 11
            assert isinstance(error, RuntimeError)
            print("limited")
        gate[0] = 1
        for thread in threads:
            thread.join()
        assert run(same, 5) == 5
        del threads, thread
        kthreads.memory.trim()
        print(kthreads.memory.usage().stacks)
    """)
    assert output == "limited\n0\n"


def test_no_memory_for_a_stack_is_named_and_the_next_start_works(script):
    output = script("""
        import resource
        run(nothing)
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        thread = kthreads.Thread(target=nothing, stack_size=8 << 30)
        try:
            thread.start()
        except kthreads.ThreadMemoryError as error:
            assert isinstance(error, MemoryError) and "RLIMIT_AS" in str(error), error
            print("no memory", thread.is_alive())
        print(run(same, 5))
    """)
    assert output == "no memory False\n5\n"


def test_a_namespace_without_privilege_is_refused_in_words(script):
    output = script("""
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            run(nothing, namespaces=kthreads.CloneFlags.NEWNET)
        except kthreads.errors.NamespaceError as error:
            assert isinstance(error, PermissionError)
            print("CAP_SYS_ADMIN" in str(error))
    """)
    assert output == "True\n"


def test_credentials_changed_by_setuid_reach_native_threads(script):
    output = script("""
        if os.geteuid() != 0:
            print("True True")
            sys.exit()
        def ids(thread):
            return {line.split()[1] for line in open(f"/proc/self/task/{thread.native_id}/status") if line[:4] in ("Uid:", "Gid:")}
        run(nothing, reuse=True)  # a parked one, too
        threads = [holding(), holding(reuse=True)]
        os.setgid(65534)
        os.setuid(65534)
        print(*(ids(thread) == {"65534"} for thread in threads))
        gate[0] = 1
    """)
    assert output == "True True\n"


# ---- Where nothing is promised -------------------------------------------------------------------------------------


def test_elsewhere_the_import_fails_with_one_sentence(script):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; os.uname = lambda uname=os.uname(): os.uname_result([*uname[:4], 'riscv64'])\nimport kthreads",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith(
        "ImportError: kthreads needs Linux on x86-64 or aarch64 with glibc 2.34 or later, but this is glibc"
    )
