"""Starting children in a program whose standard streams are closed, full, or something else altogether."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from programs import printed, skip_where_import_builds

from kthreads import Process

pytestmark = pytest.mark.any_python

STARTS = {
    "clone": "kthreads.clone(lambda: 0)",
    "callable": "kthreads.Process(lambda: 0)",
    "program": 'kthreads.Process(["true"])',
}
starts = pytest.mark.parametrize("start", STARTS)


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(program: str, redirections: str = "") -> subprocess.CompletedProcess:
    skip_where_import_builds(redirections)
    command = [
        "sh",
        "-c",
        f'exec "$@" {redirections}',
        "sh",
        sys.executable,
        "-c",
        "import os, sys, kthreads\n" + program,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=BUFFERED)


@pytest.mark.parametrize(
    "redirections",
    [">&-", "2>&-", "<&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"],
)
@starts
def test_a_child_starts_and_ends_well(start, redirections):
    program = f"""
try:
    print("text", end="")               # which fills the buffer
    print("text", end="", file=sys.stderr)
except OSError:
    pass
os._exit({STARTS[start]}.wait())
"""
    assert run(program, redirections).returncode == 0


@pytest.mark.parametrize(
    "stream",
    [
        "None",
        "object()",
        "open('/dev/null')",
        "io.StringIO()",
        "closed",
        "raising(OSError(5, ''))",
        "raising(RuntimeError())",
    ],
)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
@starts
def test_a_stream_may_be_any_object(start, name, stream):
    program = f"""
import io
closed = io.StringIO()
closed.close()
class raising:
    def __init__(self, error):
        self.error = error
    def flush(self):
        raise self.error
    write = flush
sys.{name} = {stream}
os._exit({STARTS[start]}.wait())
"""
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@starts
def test_there_may_be_no_stream_at_all(start):
    assert run(f"del sys.stdout, sys.stderr\nos._exit({STARTS[start]}.wait())").returncode == 0


def test_what_was_buffered_is_written_once():
    program = """
sys.stdout.write("parent\\n")
kthreads.clone(lambda: sys.stdout.write("child\\n") * 0).wait()
kthreads.Process(lambda: print("process")).wait()
"""
    assert run(program).stdout == "parent\nchild\nprocess\n"


def test_what_could_not_be_written_is_not_the_childs_to_write():
    """A full pipe that does not block: what does not fit stays in the buffer, and would be in the child's, too."""
    program = """
import os, sys, kthreads
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True:
        os.write(writer, b"x" * 4096)
except BlockingIOError:
    pass
sys.stdout = open(writer, "w")
sys.stdout.write("parent")
os.set_blocking(reader, False)
def drained():
    found = b""
    try:
        while True:
            found += os.read(reader, 65536)
    except BlockingIOError:
        return found
def child():
    drained()
    sys.stdout.write("child")
print(kthreads.clone(child).wait(), file=sys.stderr)
print(drained(), file=sys.stderr)
sys.stdout.flush()
print(drained(), file=sys.stderr)
os._exit(0)
"""
    assert run(program).stderr == "0\nb'child'\nb'parent'\n"


def test_a_child_that_cannot_write_what_it_prints_says_so_by_its_status():
    """120, as the interpreter at its end."""
    assert run("os._exit(kthreads.clone(lambda: print('text')).wait())", ">/dev/full").returncode == 120
    assert run("os._exit(kthreads.clone(lambda: print('text')).wait())", ">&-").returncode == 0


def test_what_a_child_exits_with_is_not_printed_to_its_output():
    done = run("sys.stderr = None\nos._exit(kthreads.clone(lambda: 'message').wait())")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_child_never_returns_into_the_code_of_its_parent():
    """Whatever is raised at whatever place of its life."""
    program = """
def hook(*_):
    raise KeyboardInterrupt
sys.excepthook = hook
sys.unraisablehook = hook
def run():
    raise SystemError
status = kthreads.clone(run).wait()
print(status, flush=True)
os._exit(0)
"""
    done = run(program)
    assert (done.returncode, done.stdout) == (0, "1\n")


def test_signals_while_it_starts_do_not_let_a_child_return():
    program = """
import random, signal, threading, time
parent = os.getpid()
def interrupt(*_):
    if os.getpid() != parent:
        raise KeyboardInterrupt
signal.signal(signal.SIGUSR1, interrupt)
sys.excepthook = sys.unraisablehook = lambda *_: None
returned = 0
for _ in range(150):
    child = kthreads.clone(lambda: os.getppid() and 0)
    for _ in range(3):
        child.send_signal(signal.SIGUSR1)
    child.wait()
    if os.getpid() != parent:
        os.write(1, b"returned")
        os._exit(0)
os.write(1, b"done")
os._exit(0)
"""
    assert run(program).stdout == "done"


# ---- Numbers of standard descriptors --------------------------------------------------------------------------------


CLOSED = """
import os, subprocess, sys, kthreads
from kthreads import Process
out = os.dup2(1, 9)
for fd in range(3):
    os.close(fd)
"""


@pytest.mark.parametrize(
    "program",
    [
        "fd = kthreads.clone(kthreads.symbol(None, 'pause', 'int(void)')).fileno()",
        "fd = Process(['sleep', '60']).fileno()",
        "fd = Process(kthreads.symbol(None, 'pause', 'int(void)')).fileno()",
        "import signal; fd = kthreads.clone(signal.pause).fileno()",
    ],
)
def test_no_descriptor_of_ours_takes_the_place_of_a_standard_one(program):
    script = (
        CLOSED
        + program
        + """
os.write(9, str((fd > 2, [n for n in os.listdir('/proc/self/fd') if int(n) < 3 and os.path.exists('/proc/self/fd/' + n)])).encode())
os.kill(int(open(f'/proc/self/fdinfo/{fd}').read().split('Pid:')[1].split()[0]), 9)
os._exit(0)
"""
    )
    assert printed(script) == "(True, [])"


@pytest.mark.parametrize("function", ["lambda: os.write(1, os.read(0, 9) + os.read(0, 9)) * 0", "['cat']"])
@pytest.mark.parametrize("close_fds", [True, False])
def test_pipes_may_have_their_numbers(function, close_fds):
    script = (
        CLOSED
        + f"""
process = Process({function}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds={close_fds})
found = process.communicate(b"text", timeout=10)
os.write(9, str((found, process.returncode)).encode())
os._exit(0)
"""
    )
    assert printed(script) == "((b'text', None), 0)"


@pytest.mark.parametrize("close_fds", [True, False])
def test_a_function_sees_the_end_of_its_input(close_fds):
    """It must not hold our end of the pipe itself."""
    process = Process(lambda: len(os.read(0, 9) + os.read(0, 9)), stdin=subprocess.PIPE, close_fds=close_fds)
    process.communicate(b"text", timeout=10)
    assert process.returncode == 4


def test_a_function_does_not_get_what_has_a_standard_number_by_chance():
    script = (
        CLOSED
        + """
kept = os.open("/dev/zero", os.O_RDONLY)        # 0, and not to be inherited
def run():
    try:
        os.fstat(0)
    except OSError:
        return 0
    return 1
os.write(9, str((kept, Process(run).wait(), Process(run, close_fds=False).wait(), os.fstat(0) is not None)).encode())
os._exit(0)
"""
    )
    assert printed(script) == "(0, 0, 0, True)"
