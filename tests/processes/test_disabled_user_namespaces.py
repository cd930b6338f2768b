"""`disable_userns` of kthreads.Process: the program and all that it starts make no user namespaces."""

from __future__ import annotations

import os
import subprocess

import pytest
from process_runs import SIX, SYSTEM, isolated, needs_root, shell, tool

from kthreads import CloneFlags, Process
from kthreads.mounts import Proc, Tmpfs
from kthreads.processes.seccomp import build_filter

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python, tool("unshare")]

OWN_FILTER = build_filter(default=True, user_namespaces=True, kept=0)
SCRIPT = "unshare -U true; grep Seccomp: /proc/self/status"


def outcome(**options) -> list[str]:
    """Why no user namespace can be made, and whether calls are filtered."""
    return shell(SCRIPT, disable_userns=True, **options).splitlines()


NO_SPACE, NOT_PERMITTED = (
    "unshare: unshare failed: No space left on device",
    "unshare: unshare failed: Operation not permitted",
)


@isolated
@pytest.mark.parametrize("init", [False, True])
def test_in_a_user_namespace_a_limit_of_it_says_no(init):
    assert outcome(namespaces=SIX, init=init) == [NO_SPACE, "Seccomp:\t0"]


@isolated
def test_the_limit_goes_together_with_a_filter_of_one_s_own():
    assert outcome(namespaces=SIX, seccomp=OWN_FILTER) == [NO_SPACE, "Seccomp:\t2"]


@isolated
def test_with_the_capability_to_raise_the_limit_a_filter_says_no():
    script = "(echo 9 > /proc/sys/user/max_user_namespaces) 2>/dev/null; " + SCRIPT
    for kept in ("all", ["sys_resource"]):
        out = shell(script, namespaces=SIX, keep_capabilities=kept, disable_userns=True, writable_kernel_files=True)
        assert out.splitlines() == [NOT_PERMITTED, "Seccomp:\t2"]


@isolated
def test_without_that_capability_the_program_cannot_raise_the_limit():
    script = "(echo 9 > /proc/sys/user/max_user_namespaces) 2>/dev/null; " + SCRIPT
    maps = {"uid_map": "root", "gid_map": "root"}
    options = {"keep_capabilities": ["sys_admin", "setuid"], "disable_userns": True, "writable_kernel_files": True}
    assert shell(script, namespaces=SIX, **maps, **options).splitlines() == [NO_SPACE, "Seccomp:\t0"]


def test_without_a_user_namespace_a_filter_says_no():
    assert outcome() == [NOT_PERMITTED, "Seccomp:\t2"]
    with pytest.raises(ValueError, match="without a user namespace"):
        Process(["true"], disable_userns=True, seccomp=OWN_FILTER)


@isolated
def test_the_limit_is_that_of_the_new_namespace_alone():
    shell("true", namespaces=SIX, disable_userns=True)
    with Process(["true"], namespaces=CloneFlags.NEWUSER) as process:
        assert process.wait() == 0


@isolated
@needs_root
@tool("bwrap")
def test_the_answer_is_that_of_bwrap():
    binds = [word for bind in SYSTEM for word in ("--ro-bind", str(bind.source), str(bind.source))]
    theirs = subprocess.run(
        ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", *binds, "--proc", "/proc", "sh", "-c", SCRIPT],
        capture_output=True,
        text=True,
    )
    if theirs.returncode:
        pytest.skip(f"bwrap: {theirs.stderr}")
    ours = shell(SCRIPT, namespaces=SIX, root=Tmpfs(), mounts=[*SYSTEM, Proc()], disable_userns=True)
    assert ours == theirs.stderr + theirs.stdout
    assert os.geteuid() == 0
