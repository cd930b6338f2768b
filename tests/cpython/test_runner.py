"""The runner of CPython's tests, with a module of tests that are made for it."""

from __future__ import annotations

import comparison
import environments
import pytest
from job import Job

MODULE = """
import os, subprocess, sys, threading, unittest

is_swapped = threading.Thread.__module__.startswith("kthreads")

class Tests(unittest.TestCase):
    def test_that_passes(self):
        pass

    def test_that_fails(self):
        self.fail()

    def test_that_fails_swapped(self):
        self.assertFalse(is_swapped)

    def test_that_crashes_swapped(self):
        if is_swapped:
            os.abort()

    def test_that_hangs_swapped(self):
        if is_swapped:
            threading.Event().wait()

    def test_that_fails_at_first(self):
        with open(os.path.join(os.path.dirname(__file__), "marker"), "a") as file:
            file.write("x")
            self.assertGreater(file.tell(), 1)

    def test_that_is_left_out(self):
        self.fail()

    def test_that_children_swap(self):
        text = "import threading, concurrent.futures as c; print(threading.Thread.__module__, c.ThreadPoolExecutor.__module__)"
        out = subprocess.run([sys.executable, "-I", "-c", text], env={}, stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(out.count("kthreads"), 2 if is_swapped else 0)

    def test_that_threads_of_others_stay_as_they_are(self):
        import _thread
        found, done = [], threading.Event()
        _thread.start_new_thread(lambda: (found.append(threading.current_thread()), done.set()), ())
        done.wait()
        self.assertIsInstance(found[0], threading._DummyThread)
"""


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    if not environments.has_test_package():
        pytest.skip("this Python was installed without its own tests (the package test)")
    folder = tmp_path_factory.mktemp("runner")
    packages = folder / "packages"
    packages.mkdir()
    (packages / "made_up.py").write_text(MODULE)
    both = environments.make(folder / "environments", packages=packages)
    return comparison.compare(both, Job("made_up", leave_out=("*left_out",), limit=60, test_limit=4))


def names(tests):
    return {test.removeprefix("made_up.Tests.test_that_") for test in tests}


@pytest.mark.parametrize(
    ("name", "kind"), [("fails_swapped", "failed"), ("crashes_swapped", "crashed"), ("hangs_swapped", "hung")]
)
def test_a_test_that_does_not_pass_swapped_is_found(compared, name, kind):
    assert compared.only_swapped[f"made_up.Tests.test_that_{name}"].kind == kind


def test_no_other_test_is_said_to_fail_only_swapped(compared):
    assert names(compared.only_swapped) == {"fails_swapped", "crashes_swapped", "hangs_swapped"}


def test_a_test_that_fails_in_both_is_told_apart(compared):
    assert names(compared.fail_in_both) == {"fails"}


def test_a_test_that_passes_when_it_is_run_again_is_not_a_failure(compared):
    assert names(compared.flaky) == {"fails_at_first"}


def test_a_test_that_is_left_out_is_counted_and_not_run(compared):
    assert compared.swapped["made_up.Tests.test_that_is_left_out"].kind == "expected"


def test_the_classes_are_swapped_in_isolated_children_and_not_for_threads_of_others(compared):
    passed = {test for test, outcome in compared.swapped.items() if outcome.kind == "passed"}
    assert names(passed) == {"passes", "children_swap", "threads_of_others_stay_as_they_are"}
