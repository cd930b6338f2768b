"""What the tests share: native functions of their own, compiled once, and threads that hold still until told."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from free_threading import FREE_THREADED
from share import SHARE, SHARES

import kthreads

HERE = Path(__file__).parent

# The time that an example takes decides no test.
hypothesis.settings.register_profile("kthreads", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("kthreads")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives tests that trace each instruction more time on a free-threaded build, where that takes longer. Leaves out the
    `any_python` tests that another run has."""
    shared = [item for item in items if item.get_closest_marker("any_python")]
    elsewhere = {item for number, item in enumerate(shared) if number % SHARES != SHARE}
    config.hook.pytest_deselected(items=elsewhere)
    items[:] = [item for item in items if item not in elsewhere]
    for item in items if FREE_THREADED else ():
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lets the many collections of garbage in the tests pass over the thousands of tests themselves."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def native_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of tests/native_functions.c as a shared library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "the tests need a C compiler"
    library = tmp_path_factory.mktemp("native") / "libnative_functions.so"
    subprocess.run(
        [compiler, "-O1", "-fPIC", "-shared", "-pthread", "-o", library, HERE / "native_functions.c"], check=True
    )
    return str(library)


class Gate:
    """Native tasks and threads that hold still until it is opened, and then return 7.

    Attributes:
        function: what they call, with
        args: these; both in one are
        call: what `submit` takes.
        arrived: how many have begun.
    """

    def __init__(self, library: str) -> None:
        self.arrived, self.word = np.zeros(1, "i4"), np.zeros(1, "i4")
        self.function = kthreads.symbol(library, "pass_gate", "int(int *, const int *)")
        self.args = (self.arrived, self.word)
        self.call = (self.function, *self.args)

    def thread(self, **options: Any) -> kthreads.Thread:
        return kthreads.Thread(target=self.function, args=self.args, **options)

    def wait_for(self, count: int) -> None:
        while self.arrived[0] < count:
            time.sleep(0.001)

    def open(self) -> None:
        self.word[0] = 1


@pytest.fixture
def gate(native_library):
    gate = Gate(native_library)
    yield gate
    gate.open()


@pytest.fixture
def crc32():
    return kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")


def mounts_of_ours() -> list[str]:
    """What is mounted where these tests mount; the system may mount elsewhere what it likes."""
    with open("/proc/self/mountinfo") as file:
        targets = [line.split()[4] for line in file]
    places = ("/tmp", "/proc", "/dev", "/usr", "/bin", "/lib", "/mnt", "/data", "/etc")
    return [target for target in targets if target == "/" or target.startswith(places)]


@pytest.fixture
def leaves_nothing_behind():
    """A test after which no child, descriptor or mount is left."""
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd")), mounts_of_ours()
    yield
    gc.collect()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)
    assert (sorted(os.listdir("/proc/self/fd")), mounts_of_ours()) == before


@pytest.fixture(scope="session")
def function(native_library):
    """A function of `native_library` by its name and signature."""
    return lambda name, signature: kthreads.symbol(native_library, name, signature)


@pytest.fixture
def pool():
    with kthreads.Pool(2) as pool:
        yield pool
