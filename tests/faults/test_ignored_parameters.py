"""Parameters that one kind of process does not know are refused: none is passed over."""

from __future__ import annotations

import os

import pytest
from process_runs import needs_root, output_of

import kthreads
from kthreads import CloneFlags, Process
from kthreads.mounts import Bind, Overlay, Tmpfs

pytestmark = pytest.mark.usefixtures("leaves_nothing_behind")

getpid = kthreads.symbol(None, "getpid", "int(void)")


@pytest.mark.parametrize("args", [["true"], "true", b"true"])
@pytest.mark.parametrize("arguments", [["x"], (1,), "x"])
def test_a_program_takes_no_arguments_beside_args(args, arguments):
    with pytest.raises(ValueError, match="arguments"):
        Process(args, arguments=arguments)


def test_arguments_that_are_none_may_be_given():
    assert Process(["true"], arguments=()).wait() == 0


@pytest.mark.parametrize("function", [lambda: 0, getpid], ids=["python", "native"])
@pytest.mark.parametrize(
    "option", [{"executable": "/bin/true"}, {"shell": True}, {"env": {"A": "b"}}, {"env": {}}], ids=repr
)
def test_a_function_takes_nothing_that_is_a_programs(function, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}= is for programs"):
        Process(function, **option)


def test_defaults_may_be_given_with_a_function():
    assert Process(lambda: 0, executable=None, shell=False, env=None, preexec_fn=None).wait() == 0


@pytest.mark.parametrize("flags", [CloneFlags.INTO_CGROUP, CloneFlags.INTO_CGROUP | CloneFlags.NEWUSER])
@pytest.mark.parametrize("function", [lambda: 0, getpid], ids=["python", "native"])
def test_a_cgroup_is_not_taken_from_the_standard_input(function, flags):
    with pytest.raises(ValueError, match="cgroup="):
        kthreads.clone(function, flags)


def test_setgroups_needs_a_user_namespace():
    with pytest.raises(ValueError, match="NEWUSER"):
        Process(["true"], setgroups="deny")


def test_an_overlay_is_written_with_both_of_its_folders():
    with pytest.raises(ValueError, match="go together"):
        Overlay("/o", ["/usr"], upper="/tmp")
    with pytest.raises(ValueError, match="go together"):
        Overlay("/o", ["/usr"], work="/tmp")


def test_a_root_in_memory_has_no_other_target():
    with pytest.raises(ValueError, match="target"):
        Process(["true"], namespaces=CloneFlags.NEWNS, root=Tmpfs("/elsewhere"))


@pytest.mark.parametrize(
    "option", [{"root": "/tmp"}, {"mounts": [Bind("/usr")]}, {"read_only": True}, {"proc": True}], ids=repr
)
@pytest.mark.parametrize("kind", ["mnt", "net"])
def test_nothing_is_mounted_in_a_namespace_that_was_joined(option, kind):
    fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
    try:
        with pytest.raises(ValueError, match="NEWNS"):
            Process(["true"], join=[(fd, 0)], **option)
    finally:
        os.close(fd)


@pytest.mark.parametrize("flags", [0, CloneFlags.NEWNET])
def test_joining_one_namespace_is_no_leave_to_change_another_of_the_host(flags):
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    same = os.uname().nodename  # so that a failure of this test is no damage
    try:
        with pytest.raises(ValueError, match=r"the host: add .*NEWUTS"):
            Process(["true"], join=[(fd, flags)], hostname=same)
        with pytest.raises(ValueError, match="NEWPID"):
            Process(["true"], join=[(fd, flags)], init=True)
    finally:
        os.close(fd)


@needs_root
@pytest.mark.parametrize("flags", [0, CloneFlags.NEWUTS])
def test_the_host_name_of_a_joined_namespace_can_be_set(flags):
    holder = Process(["sleep", "60"], namespaces=CloneFlags.NEWUTS)
    fd = os.open(f"/proc/{holder.pid}/ns/uts", os.O_RDONLY)
    try:
        assert output_of(["uname", "-n"], join=[(fd, flags)], hostname="set") == "set\n"
    finally:
        os.close(fd)
        holder.kill()
        holder.wait()
