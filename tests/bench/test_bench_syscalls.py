"""The counts of system calls by strace."""

from __future__ import annotations

import shutil

import pytest

from kthreads.bench.measure import syscalls

pytestmark = pytest.mark.any_python

TRACE = """\
100 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f
100 write(-1, "kthreads bench", 14) = -1 EBADF (Bad file descriptor)
100 clone(child_stack=0x7f, flags=CLONE_VM) = 101
101 exit(0 <unfinished ...>
100 futex(0x7f, FUTEX_WAIT, 101, NULL <unfinished ...>
101 <... exit resumed>) = ?
100 <... futex resumed>) = 0
100 clone(child_stack=0x7f, flags=CLONE_VM) = 102
102 exit(0) = ?
102 +++ exited with 0 +++
100 write(-1, "kthreads bench", 14) = -1 EBADF (Bad file descriptor)
100 munmap(0x7f, 4096) = 0
""".splitlines()


def test_calls_between_the_marks_are_counted_once_each():
    assert syscalls.parse(TRACE, 2) == {"clone": 1.0, "exit": 1.0, "futex": 0.5}


def test_a_trace_that_was_cut_off_is_no_answer():
    with pytest.raises(syscalls.TraceError, match="not complete"):
        syscalls.parse(TRACE[:5], 2)


def test_a_thread_of_ours_takes_one_clone_and_no_madvise_at_each_exit():
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    try:
        ours, theirs = syscalls.count("clone"), syscalls.count("pthread")
    except syscalls.TraceError as error:
        pytest.skip(f"strace cannot trace here: {error}")
    assert ours["clone"] == ours["exit"] == 1
    assert ours.get("madvise", 0) < theirs["madvise"]
