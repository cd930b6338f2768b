"""Puts kthreads' classes in the place of the standard ones, in every interpreter of a virtual environment.

A .pth file of the environment imports this file, so that it also works in children that are started with -I or -E or with
an empty environment. The classes change places when the program first imports a module of BEFORE; a program that does not
import one has no threads and is left alone.

`class _MainThread(Thread)`, `class _DummyThread(Thread)` and `class Timer(Thread)` in threading.py were made with the
standard class. The first two stand for threads that somebody else started, so they keep their base, and their methods
call those of it. A Timer is a thread that a program starts, so it is made once more.
"""

import sys

# threading, and what kthreads imports that imports threading: half loaded, they could not be used by kthreads.
BEFORE = {"threading", "logging", "subprocess", "concurrent.futures", "queue", "sysconfig"}


class Finder:
    """Swaps the classes before a program imports the first module that kthreads and threading are loaded with."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in BEFORE:
            return None
        sys.meta_path.remove(Finder)
        swap()
        loaded = sys.modules.get(name)  # by now: kthreads imports it
        if loaded is None:
            return None
        # The import system takes the spec of a module that has turned up, and would execute it once more.
        spec = loaded.__spec__
        loaded.__spec__ = type(spec)(name, AlreadyLoaded(loaded, spec))
        return loaded.__spec__


class AlreadyLoaded:
    """The loader of a module that was imported while it was searched for."""

    def __init__(self, module, spec):
        self.module, self.spec = module, spec

    def create_module(self, spec):
        return self.module

    def exec_module(self, module):
        module.__spec__ = self.spec


def swap():
    import threading
    from concurrent.futures.thread import ThreadPoolExecutor as standard_executor

    standard_thread = threading.Thread
    try:
        import kthreads
    except ImportError:
        if is_main_interpreter():
            raise
        return  # kthreads refuses interpreters with a GIL of their own
    swapped = {standard_thread: kthreads.Thread, standard_executor: kthreads.ThreadPoolExecutor}
    for name, module in list(sys.modules.items()):
        if not name.startswith("kthreads"):
            replace(module, swapped)
    threading._StandardThread = standard_thread
    for thread_class in (threading._MainThread, threading._DummyThread):
        call_standard_base(thread_class)
    threading.Timer = made_again(threading.Timer, kthreads.Thread)


def replace(module, swapped):
    for name, value in list(getattr(module, "__dict__", {}).items()):
        if isinstance(value, type) and value in swapped:
            setattr(module, name, swapped[value])


def call_standard_base(thread_class):
    """Methods that say Thread.method(self) mean the base of their class."""
    for function in vars(thread_class).values():
        if code := getattr(function, "__code__", None):
            names = ("_StandardThread" if name == "Thread" else name for name in code.co_names)
            function.__code__ = code.replace(co_names=tuple(names))


def made_again(old, base):
    """The class of the same class statement with another base."""
    namespace = {name: value for name, value in vars(old).items() if name not in ("__dict__", "__weakref__")}
    return type(old.__name__, (base,), namespace)


def is_main_interpreter():
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    return interpreters.get_current() == interpreters.get_main()


if BEFORE.isdisjoint(sys.modules):
    sys.meta_path.insert(0, Finder)
else:
    swap()
