"""What py-spy shows of threads of kthreads; a thread of threading in the same program is the reference."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PY_SPY = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
pytestmark = pytest.mark.skipif(PY_SPY is None, reason="py-spy is not installed")

PROGRAM = Path(__file__).with_name("threads_to_dump.py")
TIMEOUT = 60


FUNCTIONS = {
    "of-target": "target",
    "of-subclass": "run",
    "of-executor_0": "task_of_executor",
    "of-pool-1": "task_of_pool",
}
"""The threads of the program, and the functions that they run."""

threads = pytest.mark.parametrize("thread", FUNCTIONS)


class DumpError(Exception):
    """py-spy has failed."""


def dumped(command, *options):
    """What a program prints first, and the threads that py-spy then sees in it, by their ids in the kernel. The program ends
    well when its input ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *command], stdin=pipe, stdout=pipe, text=True) as program:
        try:
            printed = program.stdout.readline()
            py_spy = subprocess.run(
                [PY_SPY, "dump", "--json", *options, "--pid", str(program.pid)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            program.communicate(timeout=TIMEOUT)
        finally:
            program.kill()
    assert program.returncode == 0
    if py_spy.returncode != 0:
        raise DumpError(py_spy.stderr)
    return printed, {thread["os_thread_id"]: thread for thread in json.loads(py_spy.stdout)}


@functools.cache
def refusal(*options):
    """What py-spy says where it may not trace a program that does nothing, or does not know this Python; else None."""
    try:
        dumped(["-c", "import sys; print(flush=True); sys.stdin.read()"], *options)
    except DumpError as error:
        return str(error).partition("\n")[0]
    return None


@functools.cache
def dump_of_program(library, *options):
    printed, seen = dumped([PROGRAM, library], *options)
    ids = json.loads(printed)
    return {name: seen.pop(number) for name, number in ids.items() if number in seen}, seen


def dump(library, *options):
    """The threads of the program by their names, as py-spy sees them, and all others that it sees."""
    if refusal(*options) is not None:
        pytest.skip(f"py-spy cannot dump any program here: {refusal(*options)}")
    return dump_of_program(library, *options)


def functions(thread):
    return [frame["name"].rpartition(".")[2] for frame in thread["frames"]]


def place(thread):
    """The innermost frame."""
    frame = thread["frames"][0]
    return frame["name"], frame["short_filename"], frame["line"]


@threads
def test_the_frames_of_a_thread_are_shown(native_library, thread):
    seen, _ = dump(native_library)
    assert functions(seen[thread])[:2] == ["wait", FUNCTIONS[thread]]
    assert place(seen[thread]) == place(seen["of-threading"])


def test_all_frames_of_a_thread_have_the_names_of_those_of_threading(native_library):
    seen, _ = dump(native_library)
    assert functions(seen["of-target"]) == functions(seen["of-threading"])


@threads
def test_the_name_of_a_thread_is_shown(native_library, thread):
    seen, _ = dump(native_library)
    if seen["of-threading"]["thread_name"] is None:
        pytest.skip("py-spy reads no names of threads from this Python")
    assert seen[thread]["thread_name"] == thread


def test_all_threads_that_run_python_are_shown_and_no_others(native_library):
    seen, others = dump(native_library)
    assert set(seen) == {"of-threading", *FUNCTIONS}
    assert [functions(thread) for thread in others.values()] == [["<module>"]]


@threads
def test_the_native_function_that_a_thread_has_called_is_shown(native_library, thread):
    seen, _ = dump(native_library, "--native")
    if "pass_gate" not in functions(seen["of-threading"]):
        pytest.skip("py-spy sees no native functions of threads of threading")
    shown = functions(seen[thread])
    assert shown.index("pass_gate") < shown.index("wait") < shown.index(FUNCTIONS[thread])
