"""Filters of system calls."""

from __future__ import annotations

import os
import struct
import textwrap

import pytest

from kthreads import CloneFlags, Process
from kthreads.processes.seccomp import _DENIED, build_filter

pytestmark = pytest.mark.any_python

CALLS = """
libc = ctypes.CDLL(None, use_errno=True)
def answer(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(number, *arguments)
    return ctypes.get_errno()
"""
COLUMN = 0 if os.uname().machine == "x86_64" else 1
# Fault addresses, and no privilege: a call that is not filtered has another error, or succeeds.
HARMLESS = ["keyctl", "userfaultfd", "io_uring_setup", "bpf", "perf_event_open", "mount", "fsopen", "open_tree"]


def test_the_default_filter_refuses_the_calls_of_the_list(attack):
    script = """
    numbers = eval(sys.argv[1])
    for filter in (None, "default"):
        def refused():
            return sum(answer(number, 1 << 40, 1 << 40, 1 << 40, 1 << 40) == 1 for number in numbers)
        print(Process(refused, seccomp=filter).wait())
    """
    numbers = [calls[name][COLUMN] for calls in _DENIED.values() for name in calls if name in HARMLESS]
    without, with_filter = attack.python(CALLS + textwrap.dedent(script), numbers).split()
    assert int(with_filter) == len(numbers)
    assert int(without) < len(numbers)


def test_calls_of_capabilities_that_are_kept_are_allowed(attack_by_root):
    script = "mount -t tmpfs none /mnt 2>/dev/null; echo $?"
    assert attack_by_root.in_container(script, "--keep-capability", "sys_admin") == "0"
    assert attack_by_root.in_container(script) != "0"


def test_the_command_has_the_default_filter_and_can_do_without(attack):
    script = "grep ^Seccomp: /proc/self/status"
    assert attack.in_container(script).split()[1] == "2"
    assert attack.in_container(script, "--seccomp", "none").split()[1] == "0"
    done = attack.command("run", "--seccomp", "999", "true")
    assert done.returncode == 125


def test_the_command_takes_a_filter_by_descriptor(attack, tmp_path):
    geteuid = 107 if COLUMN == 0 else 175
    rows = (0x20, 0, 0, 0), (0x15, 0, 1, geteuid), (0x06, 0, 0, 0x00050000 | 77), (0x06, 0, 0, 0x7FFF0000)
    reader, writer = os.pipe()
    os.write(writer, b"".join(struct.pack("=HBBI", *row) for row in rows))
    os.close(writer)
    words = [
        "run",
        "--root",
        attack.root,
        "--seccomp",
        reader,
        "--",
        "sh",
        "-c",
        "grep ^Seccomp: /proc/self/status; id -u",
    ]
    done = attack.command(*words, pass_fds=[reader])
    os.close(reader)
    assert done.stdout.split()[1:] == ["2", str(2**32 - 77)], done.stdout


@pytest.mark.parametrize("given", [b"", b"1234567", bytes(8 * 4097), "strict"])
def test_what_is_no_filter_is_refused(given):
    with pytest.raises(ValueError):
        Process(["true"], seccomp=given)


def test_a_filter_may_be_an_open_file(tmp_path):
    (tmp_path / "filter").write_bytes(build_filter(default=True, user_namespaces=True, kept=0))
    with open(tmp_path / "filter", "rb") as file, Process(["true"], seccomp=file) as process:
        assert process.wait() == 0


def test_user_namespaces_can_be_disabled(attack):
    script = """
    NEWUSER = 0x10000000
    unshare, clone, clone3 = eval(sys.argv[1])
    def answers():
        return (answer(unshare, NEWUSER) << 4 | (answer(clone3, 0, 0) == 38) << 1 | (answer(clone, NEWUSER | 17, 0, 0, 0, 0) == 1))
    print(Process(answers, disable_userns=True).wait())
    """
    numbers = (272, 56, 435) if COLUMN == 0 else (97, 220, 435)
    assert attack.python(CALLS + textwrap.dedent(script), numbers) == str(1 << 4 | 1 << 1 | 1)


def test_threads_and_processes_start_under_it(attack):
    script = """
    import threading
    def start():
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        return subprocess.call(["/bin/true"])
    print(Process(start, seccomp="default", disable_userns=True).wait())
    """
    assert attack.python(script) == "0"


def test_a_program_of_another_architecture_cannot_go_around_it():
    code = build_filter(default=True, user_namespaces=True, kept=0)
    rows = [struct.unpack("=HBBI", code[at : at + 8]) for at in range(0, len(code), 8)]
    assert rows[0] == (0x20, 0, 0, 4)
    assert rows[2] == (0x06, 0, 0, 0x00050000 | 38)
    assert CloneFlags.NEWUSER not in {row[3] for row in rows}
