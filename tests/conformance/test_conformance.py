"""C and C++ may do on a thread of kthreads all that they may do on a pthread; the same checks run on pthreads for comparison.

The functions in C and C++ are the checks: each returns 0, or the line of what did not hold.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
from programs import printed

import kthreads

pytestmark = pytest.mark.any_python

HERE = Path(__file__).parent
C_SOURCES = (
    "exit.c", "identity.c", "keys.c", "libc.c", "locks.c", "memory.c", "processes.c", "thread_state.c", "tls.c",
)  # fmt: skip
CPP_SOURCES = ("facilities.cpp",)
KINDS = {
    "clone": {"backend": "clone"},
    "clone3": {"backend": "clone3"},
    "pthread": {"backend": "pthread"},
    "reuse": {"backend": "clone", "reuse": True},
}


def checks_in(sources: tuple[str, ...]) -> list[str]:
    """The functions of source files that are whole checks. Of others a test asks for something after the thread has ended."""
    text = "".join((HERE / source).read_text() for source in sources)
    names = re.findall(r"^int (\w+)\((?:void)?\)$", text, re.MULTILINE)
    return [name for name in names if not name.startswith(("take_", "robust_", "pthread_exit_"))]


def build(compiler: str | None, target: Path, sources: tuple[str, ...], *options: str) -> Path:
    """Compiles source files of this folder into a shared library."""
    if compiler is None:
        pytest.skip(f"no compiler for {', '.join(sources)}")
    command = [compiler, "-O1", "-fPIC", "-shared", "-pthread", *options, "-o", target]
    subprocess.run([*command, *(HERE / source for source in sources)], check=True)
    return target


@pytest.fixture(scope="session")
def c_library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conformance")
    return build(shutil.which("cc") or shutil.which("gcc"), folder / "libfacilities.so", C_SOURCES)


@pytest.fixture(scope="session")
def cpp_library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conformance")
    compiler = shutil.which("c++") or shutil.which("g++")
    return build(compiler, folder / "libfacilities_cpp.so", CPP_SOURCES, "-fopenmp")


@pytest.fixture(scope="session")
def late_library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("conformance")
    return build(shutil.which("cc") or shutil.which("gcc"), folder / "liblate.so", ("late.c",))


@pytest.fixture(params=KINDS)
def kind(request) -> dict[str, object]:
    if request.param == "reuse":  # drops the threads that other tests have parked
        kthreads.memory.trim()
    return KINDS[request.param]


def run(library: Path, name: str, **options: object) -> int:
    thread = kthreads.Thread(target=kthreads.symbol(library, name, "int(void)"), **options)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), f"{name} hangs"
    return thread.result


def direct(library: Path, name: str) -> int:
    return kthreads.symbol(library, name, "int(void)")()


@pytest.mark.parametrize("name", checks_in(C_SOURCES))
def test_c(name, kind, c_library):
    assert [run(c_library, name, **kind) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("name", checks_in(CPP_SOURCES))
def test_cpp(name, kind, cpp_library):
    assert [run(cpp_library, name, **kind) for _ in range(3)] == [0, 0, 0]


ONE_AT_A_TIME = {"a_signal_to_the_thread_is_handled_there_or_awaited", "a_robust_mutex_outlives_its_owner"}


@pytest.mark.parametrize("name", [name for name in checks_in(C_SOURCES) if name not in ONE_AT_A_TIME])
def test_c_on_many_threads_at_once(name, kind, c_library):
    function = kthreads.symbol(c_library, name, "int(void)")
    threads = [kthreads.Thread(target=function, **kind) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [thread.result for thread in threads] == [0] * 8


@pytest.mark.parametrize("name", ["a_hundred_keys_start_empty_and_hold_values", "pthread_exit_with_a_hundred_values"])
def test_every_key_is_destroyed_until_none_has_a_value(name, kind, c_library):
    direct(c_library, "take_key_destructions")
    assert run(c_library, name, **kind) == 0
    assert direct(c_library, "take_key_destructions") == 200


@pytest.mark.parametrize(
    "name", ["objects_of_the_thread_are_made_and_destroyed", "pthread_exit_with_objects_of_the_thread"]
)
def test_objects_of_the_thread_are_destroyed_once(name, kind, cpp_library):
    direct(cpp_library, "take_destructions")
    assert run(cpp_library, name, **kind) == 0
    assert direct(cpp_library, "take_destructions") == 1


@pytest.mark.parametrize("name", ["a_robust_mutex_outlives_its_owner", "pthread_exit_as_owner_of_a_robust_mutex"])
def test_a_robust_mutex_tells_that_its_owner_has_ended(name, kind, c_library):
    assert run(c_library, name, **kind) == 0
    assert direct(c_library, "robust_owner_was_dead") == 1


def test_pthread_exit_runs_clean_up_handlers(kind, c_library):
    direct(c_library, "take_cleanups")
    run(c_library, "pthread_exit_ends_the_thread", **kind)
    assert direct(c_library, "take_cleanups") == 1


def test_pthread_exit_unwinds_cpp(kind, cpp_library):
    direct(cpp_library, "take_destructions")
    run(cpp_library, "pthread_exit_unwinds", **kind)
    assert direct(cpp_library, "take_destructions") == 1


SCRIPT = """
import ctypes, os, sys, time
import numpy as np
import kthreads
gate = np.zeros(1, "i4")
wait_for = kthreads.symbol({native!r}, "wait_for", "int(const void *)")
options = {options!r}
def run(function, *args):
    thread = kthreads.Thread(target=function, args=args, **options)
    thread.start()
    thread.join()
    return thread.result
"""


@pytest.fixture
def script(kind, native_library):
    """Runs a program in a process of its own, as its changes are to the whole process."""

    def run(body: str) -> str:
        program = SCRIPT.format(native=native_library, options=kind) + textwrap.dedent(body)
        return printed(program)

    return run


def test_a_library_loaded_meanwhile_finds_its_thread_locals_initialised(script, late_library):
    output = script(f"""
        call = ctypes.CFUNCTYPE(ctypes.c_int)
        # The thread waits in C, then calls a function that did not exist when it was started.
        late = np.zeros(1, "u8")
        thread = kthreads.Thread(
            target=kthreads.symbol({str(late_library.parent / "libcaller.so")!r}, "call_when_set", "int(const void *)"),
            args=(late,), **options)
        thread.start()
        while not thread.native_id:
            pass
        library = ctypes.CDLL({str(late_library)!r})
        late[0] = ctypes.cast(library.late_value, ctypes.c_void_p).value
        thread.join()
        print(thread.result)
    """)
    assert output == "4711\n"


@pytest.fixture(autouse=True, scope="session")
def caller_library(late_library):
    """Builds, next to the late library, one that waits for an address and calls it."""
    source = late_library.parent / "caller.c"
    source.write_text(
        "#include <sched.h>\n"
        "int call_when_set(int (*volatile const *function)(void))"
        "{ while (!*function) sched_yield(); return (*function)(); }\n"
    )
    compiler = shutil.which("cc") or shutil.which("gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", late_library.parent / "libcaller.so", source], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to change the group")
def test_setgid_reaches_a_thread_that_lives(script, native_library):
    output = script("""
        thread = kthreads.Thread(target=wait_for, args=(gate,), **options)
        thread.start()
        os.setgid(12345)
        status = open(f"/proc/self/task/{thread.native_id}/status").read()
        gate[0] = 1
        thread.join()
        print([line for line in status.splitlines() if line.startswith("Gid")])
    """)
    assert output == "['Gid:\\t12345\\t12345\\t12345\\t12345']\n"


def test_malloc_stdio_and_mutexes_hold_in_a_process_that_never_made_a_pthread(script, c_library):
    output = script(f"""
        function = kthreads.symbol({str(c_library)!r}, "malloc_serves_all_sizes", "int(void)")
        stdio = kthreads.symbol({str(c_library)!r}, "stdio_reads_and_writes", "int(void)")
        threads = [kthreads.Thread(target=f, **options) for _ in range(50) for f in (function, stdio)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print({{thread.result for thread in threads}})
    """)
    assert output == "{0}\n"


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


STARTS = 1_000_000 if os.environ.get("KTHREADS_LONG") else 20_000


@pytest.mark.timeout(1200)
def test_nothing_grows_over_many_starts(kind, c_library, cpp_library):
    """The functions use malloc, thread_local objects with destructors, and keys."""
    calls = [
        kthreads.symbol(library, name, "int(void)")
        for library, name in (
            (c_library, "malloc_serves_all_sizes"),
            (cpp_library, "objects_of_the_thread_are_made_and_destroyed"),
            (c_library, "a_hundred_keys_start_empty_and_hold_values"),
            (c_library, "random_numbers_come"),
        )
    ]

    def some(count: int) -> None:
        for number in range(count):
            thread = kthreads.Thread(target=calls[number % len(calls)], **kind)
            thread.start()
            thread.join()
            assert thread.result == 0

    some(2000)
    before = resident()
    some(STARTS)
    assert resident() - before < 2 << 20


def test_names_resolve_on_many_threads_at_once(kind, c_library):
    function = kthreads.symbol(c_library, "names_are_resolved", "int(void)")
    threads = [kthreads.Thread(target=function, **kind) for _ in range(16)]
    for thread in threads:
        thread.start()
    kthreads.wait(threads)
    assert np.count_nonzero([thread.result for thread in threads]) == 0
