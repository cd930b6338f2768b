"""Tests of CPython's own, with kthreads' classes in the place of the standard ones: those about threads that take little time.
`python tests/cpython` runs more of them."""

from __future__ import annotations

import comparison
import environments
import pytest
from job import Job

SHORT = {
    "test.test_thread": ("*",),
    "test.test_threading": (
        "*.ThreadTests.*",
        "*.ThreadJoinOnShutdown.*",
        "*.ThreadingExceptionTests.*",
        "*.ExceptHookTests.*",
        "*.TimerTests.*",
        "*.SubinterpThreadingTests.*",
    ),
    "test.test_threading_local": ("*",),
    "test.test_threadsignals": ("*",),
    "test.test_fork1": ("*",),
    "test.test_context": ("*",),
    "test.test_sched": ("*",),
    "test.test_queue": ("*.PyQueueTest.*", "*.CSimpleQueueTest.*"),
    "test.test_asyncio.test_threads": ("*",),
    "test.test_concurrent_futures.test_thread_pool": ("*",),
    "test.test_concurrent_futures.test_shutdown": ("*.ThreadPoolShutdownTest.*",),
    "test.test_concurrent_futures.test_init": ("*.ThreadPool*",),
}

pytestmark = pytest.mark.skipif(
    not environments.has_test_package(), reason="this Python was installed without its own tests (the package test)"
)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return environments.make(tmp_path_factory.mktemp("cpython"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("module", SHORT)
def test_standard_tests_pass_with_the_classes_of_kthreads(both, module):
    if not environments.has_module(module):
        pytest.skip(f"this Python has no {module}")
    job = Job(module, only=SHORT[module], leave_out=comparison.expected(), limit=120, test_limit=30)
    compared = comparison.compare(both, job)
    assert compared.count("passed") > 0
    assert compared.only_swapped == {}
