"""Who is in which namespace."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

import kthreads
from kthreads import CloneFlags
from kthreads.namespaces.listing import KINDS

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs CAP_SYS_ADMIN")


def of(kind, found):
    return [each for each in found if each.kind == kind]


def test_a_process_is_in_one_namespace_of_each_kind_that_the_kernel_has():
    found = kthreads.namespaces.list_namespaces(os.getpid())
    assert {str(each) for each in found} == {os.readlink(f"/proc/self/ns/{each.kind}") for each in found}
    assert {each.kind for each in found} == {kind for kind in KINDS if os.path.exists(f"/proc/self/ns/{kind}")}


def test_its_members_are_the_threads_that_share_it():
    (uts,) = of("uts", kthreads.namespaces.list_namespaces(os.getpid()))
    assert (os.getpid(), os.getpid()) in uts.members
    assert os.getpid() in uts.pids
    assert uts.flag == CloneFlags.NEWUTS


@root_only
def test_a_thread_with_a_namespace_of_its_own_is_told_from_its_process(gate):
    thread = gate.thread(namespaces=CloneFlags.NEWUTS)
    thread.start()
    found = of("uts", kthreads.namespaces.list_namespaces(os.getpid()))
    alone = [each for each in found if each.members == ((os.getpid(), thread.native_id),)]
    assert len(found) == 2
    assert len(alone) == 1
    gate.open()
    thread.join()


@contextmanager
def waiting_in(*unshare):
    """A process that waits in namespaces as unshare(1) makes them with these words."""
    with subprocess.Popen(
        [*unshare, "sh", "-c", "echo ready; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        yield process
        process.stdin.close()


@root_only
def test_owner_parent_and_uid_are_what_the_kernel_says():
    with waiting_in("unshare", "--user", "--pid", "--net", "--fork") as process:
        inode = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in KINDS}
        everything = kthreads.namespaces.list_namespaces()
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            child = int(file.read())
        user, pid, net = (
            next(each for each in of(kind, everything) if child in each.pids) for kind in ("user", "pid", "net")
        )
        assert (user.parent, user.owner, user.uid) == (inode["user"], inode["user"], 0)
        assert (pid.parent, pid.owner, pid.pids[0]) == (inode["pid"], user.inode, child)
        assert (net.parent, net.owner, net.uid) == (None, user.inode, None)
        assert user.pids == net.pids == (process.pid, *pid.pids)


@root_only
def test_a_namespace_that_only_holds_others_is_listed_too():
    """A user namespace whose processes are all in one below."""
    with waiting_in("unshare", "--user", "--map-root-user", "unshare", "--user") as process:
        users = {each.inode: each for each in of("user", kthreads.namespaces.list_namespaces())}
        own = users[os.stat(f"/proc/{process.pid}/ns/user").st_ino]
        assert users[own.parent].members == ()
        assert users[own.parent].parent == os.stat("/proc/self/ns/user").st_ino


def test_the_list_is_lsns_s(tmp_path):
    try:
        listed = subprocess.run(
            ["lsns", "--noheadings", "--raw", "--output", "NS,TYPE"], capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("lsns is not installed")
    theirs = {tuple(reversed(line.split())) for line in listed.splitlines()}
    ours = {(each.kind, str(each.inode)) for each in kthreads.namespaces.list_namespaces() if each.members}
    own = {(kind, str(os.stat(f"/proc/self/ns/{kind}").st_ino)) for kind in KINDS}
    assert own <= ours & theirs
    # Others come and go in between; what is in both lists agrees.
    assert ours & theirs


def test_a_process_that_is_not_there_is_an_error():
    with pytest.raises(ProcessLookupError, match="no process"):
        kthreads.namespaces.list_namespaces(2**22 + 1)


@root_only
def test_a_process_that_may_not_be_looked_into_is_an_error():
    script = f"import os, kthreads; os.setuid(65534); kthreads.namespaces.list_namespaces({os.getpid()})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr
