"""Entering namespaces on a thread that runs, and leaving them again."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import os
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
from programs import printed

import kthreads
from kthreads import CloneFlags
from kthreads.cli import system
from kthreads.namespaces import checks
from kthreads.namespaces.listing import KINDS
from kthreads.processes.mount_flags import MS_BIND, MS_PRIVATE, MS_REC

pytestmark = pytest.mark.any_python

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs CAP_SYS_ADMIN")
OWN_FS = kthreads.flags.SHARE_ALL & ~CloneFlags.FS
LEAVABLE = [kind for kind in KINDS if kind not in ("user", "time")]


def on_a_thread(function, **options):
    thread = kthreads.Thread(target=function, **options)
    thread.start()
    thread.join()
    return thread.result


def inode(kind):
    if kind == "pid":
        return subprocess.check_output(["readlink", "/proc/self/ns/pid"], text=True).strip()  # where children go
    return os.readlink(f"/proc/thread-self/ns/{kind}")


def alone(body):
    """Runs a script in a process of one thread."""
    program = "import os, kthreads\nfrom kthreads import CloneFlags\n" + textwrap.dedent(body)
    return printed(program).split("\n")[:-1]


@pytest.fixture
def elsewhere():
    """A process in namespaces of its own, until the end of the test."""
    process = subprocess.Popen(
        ["unshare", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--pid", "--fork"]
        + ["sh", "-c", "hostname elsewhere; cd /usr; echo ready; cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            yield int(file.read())
        process.stdin.close()


# ---- unshare -------------------------------------------------------------------------------------------------------


@root_only
@pytest.mark.parametrize("kind", LEAVABLE)
def test_a_thread_enters_a_new_namespace_and_leaves_it(kind):
    def visit():
        before = inode(kind)
        with kthreads.unshare(KINDS[kind]):
            inside = inode(kind)
        return before, inside, inode(kind)

    before, inside, after = on_a_thread(visit, share=OWN_FS)
    assert before == after == inode(kind)
    assert inside != before


@root_only
def test_a_call_is_for_good_and_for_this_thread_alone():
    def move():
        kthreads.unshare(CloneFlags.NEWUTS)
        gc.collect()
        socket.sethostname("elsewhere")
        return os.uname().nodename

    before = os.uname().nodename
    assert on_a_thread(move) == "elsewhere"
    assert os.uname().nodename == before != "elsewhere"


@root_only
def test_several_namespaces_are_entered_and_left_at_once():
    wanted = CloneFlags.NEWUTS | CloneFlags.NEWNET | CloneFlags.NEWIPC

    def visit():
        before = [inode(kind) for kind in KINDS]
        with kthreads.unshare(wanted) as entry:
            changed = [kind for kind, was in zip(KINDS, before, strict=True) if inode(kind) != was]
        return entry.flags, changed, before == [inode(kind) for kind in KINDS]

    assert on_a_thread(visit) == (wanted, ["uts", "ipc", "net"], True)


@root_only
def test_an_exception_in_the_block_leaves_too():
    def visit():
        before = inode("uts")
        with pytest.raises(KeyError), kthreads.unshare(CloneFlags.NEWUTS):
            raise KeyError
        return before == inode("uts")

    assert on_a_thread(visit)


@root_only
def test_the_working_directory_is_as_it_was_after_a_mount_namespace(tmp_path):
    def visit():
        os.chdir(tmp_path)
        with kthreads.unshare(CloneFlags.NEWNS):
            os.chdir("/usr")
        return os.getcwd()

    assert on_a_thread(visit, share=OWN_FS) == str(tmp_path)


@root_only
def test_a_root_of_the_thread_s_own_is_as_it_was_after_a_mount_namespace(tmp_path):
    def visit():
        (tmp_path / "proc").mkdir()
        kthreads.unshare(CloneFlags.NEWNS)  # for the mount below
        system.mount("none", "/", flags=MS_REC | MS_PRIVATE)
        system.mount("/proc", str(tmp_path / "proc"), flags=MS_BIND | MS_REC)
        os.chroot(tmp_path)
        os.chdir("/")
        with kthreads.unshare(CloneFlags.NEWNS):
            pass
        return os.listdir("/"), os.listdir(".")

    assert on_a_thread(visit, share=OWN_FS) == (["proc"], ["proc"])


@root_only
def test_children_of_the_block_alone_are_in_the_new_pid_namespace():
    def visit():
        with kthreads.unshare(CloneFlags.NEWPID):
            inside = subprocess.check_output(["sh", "-c", "echo $$"], text=True)
        return int(inside), int(subprocess.check_output(["sh", "-c", "echo $$"], text=True))

    inside, after = on_a_thread(visit)
    assert inside == 1
    assert after > 1


def test_unshare_of_descriptors_gives_the_thread_a_copy():
    reader, writer = os.pipe()

    def close():
        kthreads.unshare(CloneFlags.FILES)
        os.close(reader)

    on_a_thread(close)
    os.fstat(reader)
    os.close(reader)
    os.close(writer)


def test_unshare_of_fs_gives_the_thread_its_own_directory():
    before = os.getcwd()

    def move():
        kthreads.unshare(CloneFlags.FS)
        os.chdir("/")
        return os.getcwd()

    assert on_a_thread(move) == "/"
    assert os.getcwd() == before


@root_only
def test_no_descriptor_is_left_open(elsewhere):
    def visit():
        before = len(os.listdir("/proc/thread-self/fd"))
        for _ in range(3):
            kthreads.unshare(CloneFlags.NEWUTS)
            with kthreads.unshare(CloneFlags.NEWNS | CloneFlags.NEWNET):
                pass
            with kthreads.setns(pid=elsewhere, flags=CloneFlags.NEWUTS | CloneFlags.NEWNS):
                pass
            with pytest.raises(ValueError, match="say which"):
                kthreads.setns(pid=elsewhere)
        return len(os.listdir("/proc/thread-self/fd")) - before

    assert on_a_thread(visit, share=OWN_FS) == 0


# ---- What unshare refuses, and why -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, CloneFlags.PIDFD, CloneFlags.PTRACE | CloneFlags.FS])
def test_unshare_takes_only_what_unshare_2_knows(flags):
    with pytest.raises(ValueError, match="unshare"):
        kthreads.unshare(flags)


def refusal_of(function, *args, **options):
    def call():
        with pytest.raises((kthreads.FlagError, kthreads.ThreadStateError)) as caught:
            function(*args)
        return str(caught.value)

    return on_a_thread(call, **options)


@pytest.mark.parametrize("flag", [CloneFlags.NEWUSER, CloneFlags.VM, CloneFlags.SIGHAND, CloneFlags.THREAD])
def test_what_a_process_has_one_of_is_refused_to_one_of_several_threads(flag):
    assert "needs a process with one thread" in refusal_of(kthreads.unshare, flag)


def test_a_mount_namespace_is_refused_to_a_thread_that_shares_its_directory():
    why = refusal_of(kthreads.unshare, CloneFlags.NEWNS)
    assert "CLONE_NEWNS implies CLONE_FS" in why
    assert "share=kthreads.flags.SHARE_ALL & ~CloneFlags.FS" in why


@root_only
def test_a_mount_namespace_is_given_to_who_asks_for_fs_too():
    before = inode("mnt")

    def move():
        kthreads.unshare(CloneFlags.NEWNS | CloneFlags.FS)
        return inode("mnt")

    assert on_a_thread(move) != before


@root_only
def test_a_second_pid_namespace_is_refused_until_the_first_is_left():
    def visit():
        with (
            kthreads.unshare(CloneFlags.NEWPID),
            pytest.raises(kthreads.FlagError, match="NEWPID is refused after"),
        ):
            kthreads.unshare(CloneFlags.NEWPID)
        with kthreads.unshare(CloneFlags.NEWPID):
            return True

    assert on_a_thread(visit)


@root_only
def test_a_thread_whose_children_go_elsewhere_says_why_it_starts_no_thread():
    def visit():
        with kthreads.unshare(CloneFlags.NEWPID):
            thread = kthreads.Thread(target=print)
            with pytest.raises(kthreads.ThreadStateError, match="another PID namespace"):
                thread.start()

    on_a_thread(visit)


@pytest.mark.parametrize("flag", [CloneFlags.FS, CloneFlags.FILES, CloneFlags.SYSVSEM])
def test_what_cannot_be_shared_again_is_no_block(flag):
    def block():
        with kthreads.unshare(flag):
            raise AssertionError

    assert "no call to share again" in refusal_of(block)


def test_a_user_namespace_is_entered_by_a_process_of_one_thread_and_not_left():
    output = alone("""
        before = os.readlink("/proc/self/ns/user")
        entry = kthreads.unshare(CloneFlags.NEWUSER)
        print(before != os.readlink("/proc/self/ns/user"))
        try:
            entry.leave()
        except kthreads.ThreadStateError as error:
            print("CAP_SYS_ADMIN" in str(error))
    """)
    assert output == ["True", "True"]


@root_only
def test_a_time_namespace_is_left_by_a_process_of_one_thread():
    output = alone("""
        where = lambda: os.readlink("/proc/self/ns/time_for_children")
        before = where()
        with kthreads.unshare(CloneFlags.NEWTIME):
            print(where() != before)
        print(where() == before)
    """)
    assert output == ["True", "True"]


@root_only
def test_without_privilege_the_error_names_it():
    output = alone("""
        os.setgid(65534); os.setuid(65534)
        try:
            kthreads.unshare(CloneFlags.NEWNET)
        except kthreads.errors.NamespaceError as error:
            print(error.errno, error)
    """)
    assert output[0].startswith("1 ")
    assert "CAP_SYS_ADMIN" in output[0]


@root_only
def test_who_has_dropped_its_privilege_stays_and_is_told_so():
    output = alone("""
        entry = kthreads.unshare(CloneFlags.NEWUTS)
        os.setuid(65534)
        try:
            entry.leave()
        except kthreads.errors.NamespaceError as error:
            print(error.errno, "CAP_SYS_ADMIN" in str(error))
    """)
    assert output == ["1 True"]


@root_only
def test_only_the_thread_that_entered_can_leave():
    entry = on_a_thread(lambda: kthreads.unshare(CloneFlags.NEWUTS))
    with pytest.raises(kthreads.ThreadStateError, match="only the thread that entered"):
        entry.leave()


@root_only
def test_leaving_twice_is_leaving_once():
    def visit():
        before = inode("uts")
        entry = kthreads.unshare(CloneFlags.NEWUTS)
        entry.leave()
        entry.leave()
        return inode("uts") == before

    assert on_a_thread(visit)


@root_only
def test_a_forked_child_can_leave_too():
    output = alone("""
        where = lambda: os.readlink("/proc/thread-self/ns/uts")
        before = where()
        with kthreads.unshare(CloneFlags.NEWUTS):
            child = os.fork()
        os.write(1, f"{where() == before}\\n".encode())
        if child:
            os.waitpid(child, 0)
    """)
    assert output == ["True", "True"]


# ---- setns -----------------------------------------------------------------------------------------------------------


@root_only
@pytest.mark.parametrize("kind", LEAVABLE)
def test_a_thread_enters_the_namespace_of_a_process_and_leaves_it(kind, elsewhere):
    theirs = os.readlink(f"/proc/{elsewhere}/ns/{kind}")

    def visit():
        with kthreads.setns(pid=elsewhere, flags=KINDS[kind]):
            inside = inode(kind) if kind != "pid" else os.readlink("/proc/thread-self/ns/pid_for_children")
        return inside, inode(kind)

    assert on_a_thread(visit, share=OWN_FS) == (theirs, inode(kind))


@root_only
@pytest.mark.parametrize("way", ["path", "bytes", "pathlike", "file", "namespace", "pidfd", "process", "pid"])
def test_a_target_is_named_in_every_way(way, elsewhere, tmp_path):
    path = f"/proc/{elsewhere}/ns/uts"
    found = next(each for each in kthreads.namespaces.list_namespaces(elsewhere) if each.kind == "uts")
    with open(path) as file, open(os.pidfd_open(elsewhere), "rb") as pidfd, joined_to(path) as process:
        target = {
            "path": {"target": path},
            "bytes": {"target": path.encode()},
            "pathlike": {"target": Path(path)},
            "file": {"target": file},
            "namespace": {"target": found},
            "pidfd": {"target": pidfd},
            "process": {"target": process},
            "pid": {"pid": elsewhere},
        }[way]

        def visit():
            with kthreads.setns(**target, flags=CloneFlags.NEWUTS):
                return os.uname().nodename

        assert on_a_thread(visit) == "elsewhere"


@contextlib.contextmanager
def joined_to(path):
    """A running Process in a namespace."""
    with open(path) as file, kthreads.Process(["cat"], stdin=subprocess.PIPE, join=[(file.fileno(), 0)]) as process:
        yield process


@root_only
def test_all_namespaces_of_a_process_are_entered_but_those_that_one_is_in(elsewhere):
    def visit():
        with kthreads.setns(pid=elsewhere, flags=kthreads.flags.NAMESPACES) as entry:
            return entry.flags, os.getcwd()

    flags, cwd = on_a_thread(visit, share=OWN_FS)
    assert flags == kthreads.flags.NAMESPACES & ~(CloneFlags.NEWUSER | CloneFlags.NEWTIME)
    assert cwd == "/"


@root_only
def test_a_thread_enters_the_namespace_of_another_thread(gate):
    host = gate.thread(namespaces=CloneFlags.NEWUTS)
    host.start()
    try:
        host.fileno()
        theirs = os.readlink(f"/proc/self/task/{host.native_id}/ns/uts")
        for target in ({"target": host}, {"pid": host.native_id}):

            def visit(target=target):
                with kthreads.setns(**target, flags=CloneFlags.NEWUTS):
                    return inode("uts")

            assert on_a_thread(visit) == theirs
    except kthreads.UnsupportedError:
        pytest.skip("this kernel has no pidfd of threads (Linux 6.9)")
    finally:
        gate.open()
        host.join()


def test_what_setns_cannot_enter_is_refused_with_the_reason(tmp_path):
    own = "/proc/thread-self/ns/uts"
    with pytest.raises(ValueError, match="say which namespaces"):
        kthreads.setns(pid=os.getpid())
    with pytest.raises(ValueError, match="is a uts namespace"):
        kthreads.setns(own, CloneFlags.NEWNET)
    with pytest.raises(ValueError, match="flags of namespaces"):
        kthreads.setns(own, CloneFlags.FS)
    with pytest.raises(ValueError, match="not the file of a namespace"):
        kthreads.setns("/proc/self/status")
    with pytest.raises(FileNotFoundError):
        kthreads.setns(tmp_path / "nothing")
    with pytest.raises(ProcessLookupError, match="no process"):
        kthreads.setns(pid=2**22 + 1, flags=CloneFlags.NEWUTS)
    with open("/proc/self/status") as file, pytest.raises(ValueError, match="neither of a namespace nor a pidfd"):
        kthreads.setns(file)


def test_an_int_is_no_target_as_it_could_be_a_descriptor_or_an_id():
    with open("/proc/thread-self/ns/uts") as file:
        for target in (file.fileno(), os.getpid(), True):
            with pytest.raises(TypeError, match="pid="):
                kthreads.setns(target, CloneFlags.NEWUTS)


@pytest.mark.parametrize("targets", [{}, {"target": "/proc/self/ns/uts", "pid": 1}], ids=["none", "two"])
def test_there_is_one_target(targets):
    with pytest.raises(TypeError, match="one target"):
        kthreads.setns(**targets, flags=CloneFlags.NEWUTS)


@pytest.mark.parametrize(
    ("pid", "kind"), [(0, ValueError), (-1, ValueError), (2**31, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_what_is_no_id_of_a_process_is_refused(pid, kind):
    with pytest.raises(kind, match="pid must be the id"):
        kthreads.setns(pid=pid, flags=CloneFlags.NEWUTS)


def test_a_file_that_is_no_namespace_is_einval():
    with open("/etc/passwd") as file:
        for target in ("/etc/passwd", file):
            with pytest.raises(kthreads.FlagError) as caught:
                kthreads.setns(target, CloneFlags.NEWNET)
            assert caught.value.errno == errno.EINVAL


def test_a_namespace_that_all_have_left_is_not_found(elsewhere):
    found = next(each for each in kthreads.namespaces.list_namespaces(elsewhere) if each.kind == "uts")
    with pytest.raises(ProcessLookupError, match="no thread is in uts:"):
        kthreads.setns(dataclasses.replace(found, inode=1))


def test_namespaces_of_a_process_are_refused_to_one_of_several_threads(elsewhere_user):
    assert "needs a process with one thread" in refusal_of(
        lambda flags: kthreads.setns(pid=elsewhere_user, flags=flags), CloneFlags.NEWUSER
    )


@pytest.fixture
def elsewhere_user():
    process = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", "echo ready; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        if process.stdout.readline() != "ready\n":
            pytest.skip("user namespaces are not allowed here")
        yield process.pid
        process.stdin.close()


def test_a_mount_namespace_is_entered_only_with_a_directory_of_one_s_own():
    assert "shares its working directory" in refusal_of(kthreads.setns, "/proc/self/ns/mnt")


@root_only
def test_a_pid_namespace_above_is_refused():
    output = alone("""
        outside = os.open("/proc/self/ns/pid", os.O_RDONLY)
        kthreads.unshare(CloneFlags.NEWPID)
        child = os.fork()
        if not child:
            try:
                kthreads.setns(open(outside))
            except kthreads.FlagError as error:
                print("one below it" in str(error), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert output == ["True"]


def test_before_linux_5_8_a_process_is_no_target_and_the_message_tells_the_way(monkeypatch):
    monkeypatch.setattr(checks, "Situation", lambda: kthreads.flags.Situation(kernel=(5, 4)))
    error = checks.setns_error(errno.EINVAL, CloneFlags.NEWUTS, "process 7")
    assert isinstance(error, kthreads.UnsupportedError)
    assert "/proc/PID/ns" in str(error)
