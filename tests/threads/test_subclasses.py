"""Subclasses with manners of their own, as programs have them: they work as with threading.Thread."""

from __future__ import annotations

import dataclasses
import gc
import os
import threading
import weakref

import pytest
from programs import printed

import kthreads

both = pytest.mark.parametrize("Thread", [threading.Thread, kthreads.Thread], ids=["threading", "kthreads"])


# ---- Objects that compare equal ----------------------------------------------------------------------------------


@dataclasses.dataclass(unsafe_hash=True)
class Equal(kthreads.Thread):
    job: str
    options: dataclasses.InitVar[dict]

    def __post_init__(self, options):
        super().__init__(**options)


def test_each_of_several_equal_threads_is_kept_while_it_runs(gate):
    threads = [Equal("job", {"target": gate.function, "args": gate.args}) for _ in range(3)]
    for thread in threads:
        thread.start()
    gate.wait_for(3)
    alive = [weakref.ref(thread) for thread in threads]
    del threads, thread
    gc.collect()
    assert all(reference() is not None for reference in alive)


def test_the_end_of_one_of_several_equal_threads_does_not_let_go_of_the_others(gate, function):
    runs = Equal("job", {"target": gate.function, "args": gate.args})
    runs.start()
    ends = Equal("job", {"target": function("minus", "double(double, double)"), "args": (1, 2)})
    ends.start()
    ends.join()
    gate.wait_for(1)
    reference = weakref.ref(runs)
    del runs
    gc.collect()
    assert reference() is not None


def test_wait_waits_for_each_of_several_equal_threads():
    may_end = threading.Event()
    first, second = Equal("job", {"target": len, "args": ("",)}), Equal("job", {"target": may_end.wait})
    first.start(), second.start()
    first.join()
    assert len(kthreads.wait([first, second], timeout=0).not_done) == 1
    may_end.set()
    assert not kthreads.wait([first, second], timeout=30).not_done


# ---- Attributes of the same names --------------------------------------------------------------------------------

NAMES = [
    *(
        "result",
        "errno",
        "flags",
        "reused",
        "_function",
        "_call",
        "_context",
        "_claim",
        "_is_starting",
        "_outcome",
        "_returned",
    ),
    *("_exception", "_pidfd", "_settings", "_end", "_end_of", "_ask", "_start_on", "_prepare_python", "_bind_target"),
]


@both
@pytest.mark.parametrize("name", NAMES)
def test_a_subclass_has_an_attribute_of_any_name(Thread, name):
    class Own(Thread):
        def __init__(self):
            super().__init__()
            setattr(self, name, "own")

        def run(self):
            self.seen = getattr(self, name)

    thread = Own()
    thread.start()
    thread.join()
    assert (thread.seen, getattr(thread, name)) == ("own", "own")


@both
@pytest.mark.parametrize("name", NAMES)
def test_a_subclass_has_a_method_of_any_name(Thread, name):
    Own = type("Own", (Thread,), {name: lambda self: "own", "run": lambda self: self.__dict__.update(ran=True)})
    thread = Own()
    thread.start()
    thread.join()
    assert thread.ran
    assert getattr(thread, name)() == "own"


def test_a_thread_with_a_result_of_its_own_is_awaited_with_that_of_its_target():
    import asyncio

    class Own(kthreads.Thread):
        result = None

    async def main():
        thread = Own(target=lambda: 5)
        thread.start()
        return await thread, thread.result

    assert asyncio.run(main()) == (5, None)


# ---- Overridden members ------------------------------------------------------------------------------------------

PLACES = pytest.mark.parametrize("place", ["threading", "kthreads"])


@PLACES
@pytest.mark.parametrize("daemon", ["True", "property(lambda self: True)"])
def test_a_daemon_by_an_attribute_of_the_class_does_not_keep_the_interpreter(place, daemon):
    program = f"""
import threading, {place}
class Poller({place}.Thread):
    daemon = {daemon}
    def run(self):
        begun.set()
        threading.Event().wait()
begun = threading.Event()
Poller().start()
begun.wait()
print("ends")
"""
    assert printed(program) == "ends\n"


@PLACES
def test_a_thread_that_is_no_daemon_by_an_attribute_of_the_class_is_waited_for(place):
    program = f"""
import threading, time, {place}
class Worker({place}.Thread):
    daemon = False
    def run(self):
        threading.main_thread().join()
        print("finished", flush=True)
starter = {place}.Thread(target=lambda: Worker().start(), daemon=True)
starter.start()
starter.join()
"""
    assert printed(program) == "finished\n"


@both
def test_the_ident_in_the_text_of_a_thread_is_the_true_one(Thread):
    thread = type("Own", (Thread,), {"ident": 7})(target=len, args=("",), name="n")
    thread.start()
    thread.join()
    assert " 7)" not in repr(thread)


# ---- The constructor again ---------------------------------------------------------------------------------------


@both
def test_the_constructor_makes_an_ended_thread_a_new_one(Thread):
    ran = []
    thread = Thread(target=ran.append, args=(1,))
    thread.start()
    thread.join()
    Thread.__init__(thread, target=ran.append, args=(2,))
    assert "initial" in repr(thread)
    thread.start()
    thread.join()
    assert ran == [1, 2]


def test_the_constructor_is_refused_for_a_thread_that_runs():
    may_end = threading.Event()
    thread = kthreads.Thread(target=may_end.wait)
    thread.start()
    with pytest.raises(kthreads.ThreadStateError, match="runs"):
        kthreads.Thread.__init__(thread)
    may_end.set()
    thread.join()


# ---- Names -------------------------------------------------------------------------------------------------------


@both
def test_a_name_may_come_from_a_path_that_is_no_text(Thread):
    thread = Thread(target=len, args=("",), name=os.fsdecode(b"caf\xe9.txt"))
    thread.name = os.fsdecode(b"\xff")
    thread.start()
    thread.join()
    assert thread.name == os.fsdecode(b"\xff")
