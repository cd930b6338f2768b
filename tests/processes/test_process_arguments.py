"""What `Process` and `clone` refuse with a sentence, before the kernel sees it."""

from __future__ import annotations

import os

import pytest
from process_runs import SIX

import kthreads
from kthreads import CloneFlags, Process, Thread

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]

UNKNOWN = 1 << 40
getpid = kthreads.symbol(None, "getpid", "int(void)")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"namespaces": UNKNOWN}, ValueError, "namespaces= takes NEW"),
        ({"namespaces": CloneFlags.NEWUTS | UNKNOWN}, ValueError, "namespaces= takes NEW"),
        ({"namespaces": CloneFlags.VM}, ValueError, "namespaces= takes NEW"),
        ({"namespaces": "NEWNET"}, TypeError, "flags must be"),
        ({"join": 5}, TypeError, "join= is a list"),
        ({"join": [5]}, TypeError, "an entry of join= is"),
        ({"join": [(0, 0, 0)]}, TypeError, "an entry of join= is"),
        ({"join": [(1.5, 0)]}, TypeError, "pid"),
        ({"join": [(0, "net")]}, TypeError, "flags must be"),
        ({"join": [(-1, 0)]}, ValueError, "a descriptor of join="),
        ({"join": [(1 << 32, 0)]}, ValueError, "a descriptor of join="),
        ({"join": [(0, UNKNOWN)]}, ValueError, "the flags of join="),
        ({"join": [(0, CloneFlags.VM)]}, ValueError, "the flags of join"),
        ({"hostname": 5}, TypeError, "hostname must be"),
        ({"domainname": b"x"}, TypeError, "domainname must be"),
        ({"root": 5}, TypeError, "root must be a path"),
        ({"root": b"/"}, TypeError, "root must be a path"),
        ({"uid_map": 1.5}, TypeError, "uid_map must be"),
        ({"uid_map": [5]}, TypeError, "uid_map must be"),
        ({"gid_map": [(0, 0)]}, TypeError, "gid_map must be"),
        ({"gid_map": [(0, "x", 1)]}, TypeError, "gid_map must be"),
        ({"cgroup": 1.5}, TypeError, "cgroup must be"),
        ({"cgroup": 1 << 32}, ValueError, "the descriptor of cgroup"),
        ({"seccomp": 5}, TypeError, "seccomp must be"),
        ({"keep_capabilities": 5}, TypeError, "capabilities must be"),
        ({"keep_capabilities": [5]}, TypeError, "a capability must be"),
        ({"parent_death_signal": 1 << 32}, ValueError, "parent_death_signal must be 1 to 64"),
        ({"parent_death_signal": 65}, ValueError, "parent_death_signal must be 1 to 64"),
        ({"parent_death_signal": "TERM"}, TypeError, "parent_death_signal must be"),
        ({"before_go": 5}, TypeError, "before_go must be"),
        ({"process_group": 1 << 32}, ValueError, "process_group must be"),
        ({"umask": 1 << 32}, ValueError, "umask must be"),
        ({"env": {"A=B": "1"}}, ValueError, "illegal environment variable name"),
        ({"env": {b"=": "1"}}, ValueError, "illegal environment variable name"),
    ],
    ids=str,
)
def test_a_process_with_such_a_setting_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        Process(["true"], **({"namespaces": SIX} | options))


def test_the_arguments_of_a_function_are_a_list():
    with pytest.raises(TypeError, match="arguments must be a list"):
        Process(os.getpid, arguments=5)


@pytest.mark.parametrize("function", [getpid, os.getpid], ids=["native", "python"])
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"args": 5}, TypeError, "args must be a list"),
        ({"flags": "VM"}, TypeError, "flags must be"),
        ({"flags": UNKNOWN}, ValueError, "0x10000000000|1099511627776"),
        ({"exit_signal": "CHLD"}, TypeError, "exit_signal must be"),
        ({"exit_signal": 65}, ValueError, "exit_signal must be"),
        ({"stack_size": "1M"}, TypeError, "stack_size must be"),
        ({"stack_size": -1}, ValueError, "stack_size must be"),
        ({"set_tid": 5}, TypeError, "set_tid must be"),
        ({"set_tid": ["5"]}, TypeError, "each of set_tid"),
        ({"set_tid": [1 << 32]}, ValueError, "each of set_tid"),
        ({"set_tid": [0]}, ValueError, "each of set_tid"),
        ({"cgroup": 1.5}, TypeError, "cgroup must be"),
        ({"cgroup": 1 << 32}, ValueError, "the descriptor of cgroup"),
        ({"uid_map": 5}, TypeError, "uid_map must be the text"),
        ({"gid_map": b"0 0 1"}, TypeError, "gid_map must be the text"),
    ],
    ids=str,
)
def test_a_clone_with_such_an_argument_is_refused(function, options, error, text):
    with pytest.raises(error, match=text):
        kthreads.clone(function, **options)


def test_flags_without_a_name_are_refused_wherever_flags_are_given():
    with pytest.raises(ValueError, match="share= takes"):
        Thread(target=int, share=UNKNOWN).start()
    with pytest.raises(ValueError, match="namespaces= takes"):
        Thread(target=int, namespaces=UNKNOWN).start()
    with pytest.raises(ValueError, match="0x10000000000"):
        kthreads.unshare(UNKNOWN)
    with pytest.raises(ValueError, match="NEW"):
        kthreads.setns("/proc/self/ns/net", UNKNOWN)


def test_an_environment_may_have_any_other_name():
    with Process(["sh", "-c", 'test "$A" = "x=y"'], env={"A": "x=y", "": "1", "a b": "2", **os.environ}) as process:
        assert process.wait() == 0


@pytest.mark.parametrize(
    "start", [lambda **options: Process(["true"], **options), lambda **options: kthreads.clone(getpid, **options)]
)
def test_a_folder_that_is_no_cgroup_is_an_error_that_names_it(tmp_path, start):
    with pytest.raises(
        OSError, match=f"cannot begin in the cgroup {tmp_path}, which is no folder of a cgroup"
    ) as raised:
        start(cgroup=tmp_path)
    assert raised.value.filename == str(tmp_path)
    with pytest.raises(NotADirectoryError) as raised:
        start(cgroup="/etc/passwd")
    assert raised.value.filename == "/etc/passwd"
