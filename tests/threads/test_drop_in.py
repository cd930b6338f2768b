"""What code that is written for threading.Thread expects of it, and finds in kthreads.Thread: each test runs on both."""

from __future__ import annotations

import contextvars
import gc
import inspect
import re
import subprocess
import sys
import threading
import weakref

import pytest
from programs import ended, printed

import kthreads
from kthreads.threads import registry


@pytest.fixture(params=[threading.Thread, kthreads.Thread], ids=["threading", "kthreads"])
def base(request):
    return request.param


@pytest.fixture(params=["threading", "kthreads"])
def module(request):
    """The module of the class, for programs."""
    return request.param


class Argument:
    """What a thread is given; a test sees whether it is alive."""


def run(thread):
    thread.start()
    thread.join()
    return thread


# The constructor.


def test_its_parameters_are_threadings_in_their_order_and_then_further_ones_by_keyword():
    theirs = list(inspect.signature(threading.Thread).parameters.values())
    ours = list(inspect.signature(kthreads.Thread).parameters.values())
    assert [p.name for p in ours[:5]] == [p.name for p in theirs[:5]]
    assert {p.name for p in theirs} <= {p.name for p in ours}
    assert {p.kind for p in ours[5:]} == {inspect.Parameter.KEYWORD_ONLY}


def test_it_takes_its_arguments_by_position(base):
    seen = []
    thread = run(base(None, lambda *args, **kwargs: seen.append((args, kwargs)), "seven", (1,), {"two": 2}))
    assert (seen, thread.name) == ([((1,), {"two": 2})], "seven")


def test_a_group_is_refused(base):
    with pytest.raises(AssertionError, match="group argument must be None for now"):
        base(print)


def test_a_name_is_made_of_a_number_and_the_name_of_the_target(base):
    assert re.fullmatch(r"Thread-\d+ \(print\)", base(target=print).name)
    assert re.fullmatch(r"Thread-\d+", base().name)
    assert re.fullmatch(r"Thread-\d+", base(target=callable_without_name()).name)


def callable_without_name():
    class Nameless:
        def __call__(self):
            pass

    return Nameless()


def test_an_empty_name_counts_as_none_and_any_other_is_made_a_str(base):
    assert re.fullmatch(r"Thread-\d+", base(name="").name)
    assert base(name=5).name == "5"


def test_names_are_numbered_together_with_those_of_threading():
    numbers = [int(kind().name.removeprefix("Thread-")) for kind in (kthreads.Thread, threading.Thread) * 2]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_a_native_function_gives_its_name():
    abs_ = kthreads.symbol(None, "abs", "int(int)")
    assert re.fullmatch(r"Thread-\d+ \(abs\)", kthreads.Thread(target=abs_, args=(1,)).name)


def test_a_python_target_runs_in_the_context_that_was_given():
    variable = contextvars.ContextVar("variable", default="default")
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    assert run(kthreads.Thread(target=variable.get, context=context)).result == "given"


def test_a_native_function_has_no_context():
    with pytest.raises(TypeError, match="no context"):
        kthreads.Thread(target=kthreads.symbol(None, "getpid", "int(void)"), context=contextvars.copy_context())


def test_a_subclass_that_overrides_run_may_have_any_target(base):
    class Reader(base):
        def run(self):
            self.seen = (self._target, self._args, self._kwargs)

    assert run(Reader(target=5, args=[6], kwargs={"seven": 7})).seen == (5, [6], {"seven": 7})


# The attributes that debuggers and profilers read.


def attributes(thread):
    found = {
        name: getattr(thread, name)
        for name in ("_ident", "_native_id", "_name", "_daemonic", "_initialized", "_stderr")
    }
    found["_started"] = thread._started.is_set()
    if sys.version_info < (3, 13):
        found["_is_stopped"] = thread._is_stopped
        found["_tstate_lock"] = thread._tstate_lock is not None and thread._tstate_lock.locked()
    else:
        found["_handle"] = thread._handle.is_done()
    return found


def test_its_private_attributes_tell_its_state(base):
    gate = threading.Event()
    thread = base(target=gate.wait, name="read", daemon=True)
    handle = {"_handle": False} if sys.version_info >= (3, 13) else {"_is_stopped": False, "_tstate_lock": False}
    same = {"_name": "read", "_daemonic": True, "_initialized": True, "_stderr": sys.stderr}
    assert attributes(thread) == {**same, **handle, "_ident": None, "_native_id": None, "_started": False}
    thread.start()
    if sys.version_info < (3, 13):
        handle["_tstate_lock"] = True
    identity = {"_ident": thread.ident, "_native_id": thread.native_id}
    assert None not in identity.values()
    assert attributes(thread) == {**same, **handle, **identity, "_started": True}
    gate.set()
    thread.join()
    handle = {"_handle": True} if sys.version_info >= (3, 13) else {"_is_stopped": True, "_tstate_lock": False}
    assert attributes(thread) == {**same, **handle, **identity, "_started": True}


def test_the_event_of_its_start_is_set_by_the_start(base):
    thread = base(target=int)
    event = thread._started
    assert not event.is_set()
    run(thread)
    assert event.is_set()
    assert thread._started is event


@pytest.mark.skipif(sys.version_info < (3, 13), reason="handles are new in 3.13")
def test_its_handle_can_be_joined(base):
    gate = threading.Event()
    thread = base(target=gate.wait)
    thread.start()
    handle = thread._handle
    assert (handle.is_done(), handle.ident) == (False, thread.ident)
    handle.join(0.01)
    assert not handle.is_done()
    gate.set()
    handle.join()
    assert handle.is_done()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the lock is gone in 3.13")
def test_its_lock_is_held_until_the_end(base):
    gate = threading.Event()
    thread = base(target=gate.wait)
    thread.start()
    lock = thread._tstate_lock
    assert lock.locked()
    assert not lock.acquire(False)
    assert not lock.acquire(timeout=0.01)
    gate.set()
    assert lock.acquire()
    lock.release()
    thread.join()
    assert thread._tstate_lock is None


def test_a_subclass_may_have_a_getattr_of_its_own(base):
    class Proxy(base):
        def __getattr__(self, name):
            return getattr(self._behind, name)

    proxy = Proxy(target=int)
    proxy._behind = []
    run(proxy)
    proxy.append(1)
    assert proxy._behind == [1]
    assert proxy._started.is_set()


# The start.


def test_it_is_known_to_threading_when_start_returns(base):
    gate = threading.Event()
    threads = [base(target=gate.wait) for _ in range(200)]
    for thread in threads:
        before = threading.active_count()
        thread.start()
        assert thread in threading.enumerate()
        assert threading.active_count() == before + 1
        assert thread.ident in sys._current_frames()
    gate.set()
    for thread in threads:
        thread.join()


def test_a_start_that_fails_leaves_no_thread_behind(monkeypatch):
    thread = kthreads.Thread(target=int, stack_size=1 << 48)
    count = threading.active_count()
    with pytest.raises(kthreads.ThreadMemoryError):
        thread.start()
    assert (threading.active_count(), thread.is_alive(), thread._started.is_set()) == (count, False, False)
    assert id(thread) not in registry.registered


# Subclasses that forget the constructor.


@pytest.mark.parametrize("use", ["start", "join", "setDaemon"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_changes_the_thread_names_the_forgotten_constructor(base, use):
    class Forgetful(base):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match=r"(?i)thread.__init__\(\) not called"):
        getattr(Forgetful(), use)(*([True] if use == "setDaemon" else []))


@pytest.mark.parametrize("use", ["name", "daemon", "ident", "native_id"])
def test_what_reads_the_thread_names_the_forgotten_constructor(base, use):
    class Forgetful(base):
        def __init__(self):
            pass

    with pytest.raises(AssertionError, match=r"Thread.__init__\(\) not called"):
        getattr(Forgetful(), use)
    with pytest.raises(AssertionError, match=r"Thread.__init__\(\) not called"):
        Forgetful().is_alive()
    with pytest.raises(AssertionError, match=r"Thread.__init__\(\) was not called"):
        repr(Forgetful())


def test_a_forgotten_constructor_costs_no_other_thread_its_work(module):
    program = f"""
import time, {module}
class Forgetful({module}.Thread):
    def __init__(self):
        pass
def work():
    time.sleep(0.3)
    print("done")
{module}.Thread(target=work).start()
try:
    Forgetful().start()
except RuntimeError:
    pass
"""
    assert printed(program) == "done\n"


# The end.


def test_an_infinite_or_very_long_join_waits_for_the_end():
    for timeout in (float("inf"), 1e300, 1 << 80):
        gate = threading.Event()
        thread = kthreads.Thread(target=gate.wait)
        thread.start()
        threading.Timer(0.01, gate.set).start()
        thread.join(timeout)
        assert not thread.is_alive()


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_arguments_die_when_an_exception_ends_the_target(base, error, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def target(argument):
        local = [argument]
        raise error(len(local))

    argument = Argument()
    reference = weakref.ref(argument)
    thread = base(target=target, args=(argument,))
    del argument
    run(thread)
    gc.collect()
    assert reference() is None
    assert not thread.is_alive()


def test_arguments_die_while_the_traceback_of_the_result_is_kept(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def target(argument):
        try:
            raise KeyError(str(argument))
        except KeyError as error:
            raise ValueError("no") from error

    argument = Argument()
    reference = weakref.ref(argument)
    thread = kthreads.Thread(target=target, args=(argument,))
    del argument
    run(thread)
    with pytest.raises(ValueError, match="no") as raised:
        _ = thread.result
    assert "in target" in "".join(map(str, raised.traceback)) or raised.traceback[-1].name == "target"
    assert reference() is None


def test_arguments_of_a_native_function_die_with_its_end():
    data = bytearray(8)
    thread = kthreads.Thread(target=kthreads.symbol(None, "bzero", "void(void *, size_t)"), args=(data, 8))
    run(thread)
    data.append(1)  # no longer locked against resizing
    reference = weakref.ref(thread)
    del thread
    assert reference() is None


def test_a_thread_that_nobody_joins_dies_at_its_end(base):
    ends = threading.Semaphore(0)
    references = []
    for _ in range(300):
        thread = base(target=int)
        weakref.finalize(thread, ends.release)
        references.append(weakref.ref(thread))
        thread.start()
        del thread
    for _ in references:
        assert ends.acquire(timeout=20)
    assert [reference for reference in references if reference() is not None] == []


def test_threads_that_nobody_joins_leave_little_address_space():
    def mapped():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))

    kthreads.memory.trim()
    before = mapped()
    gate, ends = threading.Event(), threading.Semaphore(0)
    for _ in range(300):
        thread = kthreads.Thread(target=gate.wait)
        weakref.finalize(thread, ends.release)
        thread.start()
        del thread
    gate.set()
    for _ in range(300):
        assert ends.acquire(timeout=20)
    for _ in range(3):
        run(kthreads.Thread(target=int))
    assert mapped() - before < 2 << 30


def test_an_exception_is_reported_on_the_stderr_of_its_making_if_there_is_none_now(module):
    program = f"""
import sys, {module}
def fail():
    raise ValueError("seen")
thread = {module}.Thread(target=fail)
sys.stderr = None
thread.start()
thread.join()
"""
    assert "ValueError: seen" in ended(program).stderr


# The end of the interpreter.


def test_a_thread_may_wait_for_the_main_thread_at_the_end(module):
    program = f"""
import threading, {module}
def after_the_end():
    threading.main_thread().join()
    print("the main thread has ended:", not threading.main_thread().is_alive())
{module}.Thread(target=after_the_end).start()
"""
    assert printed(program) == "the main thread has ended: True\n"


def test_a_thread_may_wait_for_the_main_thread_in_a_forked_child(module):
    program = f"""
import os, threading, warnings, {module}
warnings.simplefilter("ignore")
def after_the_end():
    threading.main_thread().join()
    print("ended", flush=True)
{module}.Thread(target=int).start()
pid = os.fork()
if pid == 0:
    {module}.Thread(target=after_the_end).start()
else:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert printed(program) == "ended\n0\n"


def test_the_end_waits_for_threads_of_both_kinds_that_start_each_other():
    program = """
import threading, kthreads
def chain(left):
    threading.main_thread().join()
    if left:
        (kthreads if left % 2 else threading).Thread(target=chain, args=(left - 1,)).start()
    else:
        print("all")
threading.Thread(target=chain, args=(1,)).start()
"""
    assert printed(program) == "all\n"


def test_finalizers_of_thread_local_values_run_before_the_end(module):
    program = f"""
import threading, time, {module}
class Value:
    def __del__(self):
        time.sleep(0.2)
        print("finalized", flush=True)
local = threading.local()
def target():
    local.value = Value()
{module}.Thread(target=target).start()
"""
    assert printed(program) == "finalized\n"


def test_a_thread_whose_join_is_overridden_is_waited_for(module):
    program = f"""
import time, {module}
class Stubborn({module}.Thread):
    def join(self, timeout=None):
        raise RuntimeError("not this way")
    def run(self):
        time.sleep(0.2)
        print("done")
Stubborn().start()
"""
    assert printed(program) == "done\n"


def test_daemon_threads_are_not_waited_for(module):
    program = f"""
import time, {module}
{module}.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0


def test_threadings_own_classes_work_where_the_class_is_assigned_to_its_name():
    program = """
import os, threading, _thread, warnings, kthreads
warnings.simplefilter("ignore")
threading.Thread = kthreads.Thread
timer = threading.Timer(0, print, ("the timer", ))
timer.start()
timer.join()
lock = _thread.allocate_lock()
lock.acquire()
def foreign():
    print(threading.current_thread().name, threading.current_thread().is_alive())
    pid = os.fork()
    if pid == 0:
        print(threading.current_thread().name, threading.main_thread().is_alive(), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    lock.release()
_thread.start_new_thread(foreign, ())
lock.acquire()
"""
    assert printed(program, options=("-u",)).split("\n")[:2] == ["the timer", "Dummy-2 True"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="threading gives the kernel its threads' names since 3.14")
def test_the_kernel_knows_the_name_that_the_thread_has(base):
    names = []

    def target():
        names.append(own_name())
        threading.current_thread().name = "renamed"
        names.append(own_name())

    def own_name():
        with open("/proc/thread-self/comm") as file:
            return file.read().strip()

    thread = base(target=target)
    default = thread.name[:15].strip()
    run(thread)
    assert names == [default, "renamed"]
