"""CPython's own tests of ThreadPoolExecutor, as this Python installs them, on kthreads.ThreadPoolExecutor.

Those of test.test_concurrent_futures whose executor_type is a ThreadPoolExecutor, each a test here.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import pkgutil
import re
import sys
import unittest
from pathlib import Path

import pytest

import kthreads

DOCS = Path(__file__).parents[2] / "docs" / "howto" / "executor.md"

# The tests that are not run, and where and why not. docs/howto/executor.md has the same list.
LEFT_OUT = {
    "ThreadPoolExecutorTest.test_default_workers": "where an affinity mask or a cgroup quota leaves fewer CPUs than the "
    "standard executor counts: this one respects both",
    "ThreadPoolShutdownTest.test_cancel_futures_wait_false": "before CPython 3.13: it expects that a task has begun by "
    "the time that `submit` returns, which later versions of the test do not (CPython gh-116682)",
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
    pytest.mark.usefixtures("ours_in_place_of_the_standard_one"),
]


def modules():
    """CPython's modules of these tests: one up to 3.11, a package later. None where they are not installed."""
    try:
        top = importlib.import_module("test.test_concurrent_futures")
    except ImportError:
        return []
    names = [info.name for info in pkgutil.iter_modules(getattr(top, "__path__", []))]
    names = [name for name in names if name.startswith("test_") and "process" not in name]
    return [importlib.import_module(f"{top.__name__}.{name}") for name in names] or [top]


MODULES = modules()


# Their classes that test a ThreadPoolExecutor.
CASES = {
    name: case
    for module in MODULES
    for name, case in vars(module).items()
    if isinstance(case, type)
    and issubclass(case, unittest.TestCase)
    and getattr(case, "executor_type", None) is concurrent.futures.ThreadPoolExecutor
}


def is_left_out(test):
    if test.endswith("test_default_workers"):
        return kthreads.ThreadPoolExecutor()._max_workers != concurrent.futures.ThreadPoolExecutor()._max_workers
    return sys.version_info < (3, 13)


@pytest.fixture
def ours_in_place_of_the_standard_one(monkeypatch):
    """Some tests name the class rather than use executor_type, some as text of a program that they run."""
    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", kthreads.ThreadPoolExecutor)
    for module in MODULES:
        if (run := getattr(module, "assert_python_ok", None)) is not None:

            def run_ours(*args, run=run):
                *options, program = args
                changed = program.replace("from concurrent.futures import", "from kthreads import")
                assert changed != program
                return run(*options, changed)

            monkeypatch.setattr(module, "assert_python_ok", run_ours)


def on_ours(name, case):
    body = {"executor_type": kthreads.ThreadPoolExecutor, "__module__": __name__}
    for test, reason in LEFT_OUT.items():
        of, _, method = test.partition(".")
        if of == name and is_left_out(test):
            body[method] = unittest.skip(reason)(getattr(case, method))
    return type(name, (case,), body)


globals().update({name: on_ours(name, case) for name, case in CASES.items()})


@pytest.mark.skipif(not MODULES, reason="this Python installs no test.test_concurrent_futures")
def test_what_is_run_is_all_that_there_is():
    assert {"ThreadPoolExecutorTest", "ThreadPoolShutdownTest", "ThreadPoolInitializerTest"} <= set(CASES)
    for test in LEFT_OUT:
        of, _, method = test.partition(".")
        assert hasattr(CASES[of], method)


def test_the_docs_list_what_is_left_out():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    assert dict(rows) == LEFT_OUT
