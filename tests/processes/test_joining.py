"""Process(join=...): a program in namespaces that exist, as nsenter's, podman's --network container: and bwrap's --userns."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess

import pytest
from process_runs import SIX, SYSTEM, become_nobody, isolated, needs_root, output_of, shell, tool

import kthreads
from kthreads import CloneFlags, Process
from kthreads.mounts import Dev, Tmpfs
from kthreads.namespaces import list_namespaces

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), isolated, pytest.mark.any_python]

KINDS = ("user", "mnt", "uts", "ipc", "pid", "net")
ALL_BUT_USERS = SIX & ~CloneFlags.NEWUSER


@contextlib.contextmanager
def holder(namespaces=SIX, **options):
    """A process that holds namespaces for others to join, with uid 0 in its user namespace."""
    maps = {"uid_map": "root", "gid_map": "root"} if namespaces & CloneFlags.NEWUSER else {}
    with Process(["cat"], stdin=subprocess.PIPE, namespaces=namespaces, **maps, **options) as process:
        yield process


def places(pid):
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}


def namespace(process, kind):
    return f"/proc/{process.pid}/ns/{kind}"


@pytest.fixture(params=["root", "ordinary"])
def user(request):
    """Runs a function as root, or as an ordinary user, in a child; what it returns must be true."""

    def run(function):
        def child():
            if request.param == "ordinary":
                become_nobody()
            os.chdir("/")
            return 0 if function() else 3

        assert Process(child, no_new_privs=False).wait() == 0

    if os.geteuid() != 0:
        pytest.skip("needs root: the test becomes another user")
    return run


# ---- The process is the program --------------------------------------------------------------------------------------


@needs_root
def test_the_program_is_the_process_and_our_child():
    with holder(CloneFlags.NEWUTS) as held:
        shown = shell("echo $$ $PPID", join=[namespace(held, "uts")]).split()
        with Process(["cat"], stdin=subprocess.PIPE, join=[namespace(held, "uts")]) as process:
            with open(f"/proc/{process.pid}/comm") as file:
                assert file.read() == "cat\n"
            assert places(process.pid) == places("self") | {"uts": places(held.pid)["uts"]}
    assert shown[1] == str(os.getpid())


@needs_root
@pytest.mark.parametrize("kind", ["uts", "pid"])
@pytest.mark.parametrize(
    ("script", "returncode"), [("exit 6", 6), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -signal.SIGKILL)]
)
def test_its_end_is_the_program_s(kind, script, returncode):
    with holder(ALL_BUT_USERS) as held:
        assert Process(["sh", "-c", script], join=[namespace(held, kind)]).wait() == returncode


@needs_root
@pytest.mark.parametrize("program", [["cat"], lambda: len(os.read(0, 1))], ids=["program", "function"])
def test_who_kills_it_kills_the_program(program):
    ended, writer = os.pipe()
    with holder(CloneFlags.NEWUTS) as held:
        process = Process(program, join=[namespace(held, "uts")], stdin=subprocess.PIPE, stdout=writer, stderr=writer)
    os.close(writer)
    assert select.select([ended], [], [], 0) == ([], [], [])
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert os.read(ended, 1) == b""  # no process holds its outputs any more
    process.stdin.close()
    os.close(ended)


@needs_root
def test_who_stops_it_stops_the_program():
    with holder(CloneFlags.NEWUTS) as held, Process(["sleep", "60"], join=[namespace(held, "uts")]) as process:
        process.send_signal(signal.SIGSTOP)
        assert os.waitid(os.P_PID, process.pid, os.WSTOPPED).si_status == signal.SIGSTOP
        process.kill()


@needs_root
@pytest.mark.parametrize(
    "function", [os.getpid, kthreads.symbol(None, "getpid", "int(void)")], ids=["python", "native"]
)
def test_functions_run_in_a_pid_namespace_that_was_joined(function):
    with holder(CloneFlags.NEWPID, init=True) as held:
        with open(f"/proc/{held.pid}/status") as file:
            assert "NSpid:" in file.read()
        assert Process(function, join=[namespace(held, "pid")]).wait() in range(3, 100)  # 1: the init, 2: its program


# ---- What is joined --------------------------------------------------------------------------------------------------


def test_a_process_is_joined_in_all_its_namespaces(user):
    def joins():
        with holder(hostname="held") as held:
            shown = shell(
                "uname -n; for kind in user mnt uts ipc pid net; do readlink /proc/self/ns/$kind; done", join=[held]
            )
            return shown.split() == ["held", *places(held.pid).values()]

    user(joins)


@needs_root
def test_a_program_runs_in_a_container_by_its_process():
    options = {"namespaces": ALL_BUT_USERS, "hostname": "box", "root": Tmpfs(), "init": True}
    with Process(["cat"], stdin=subprocess.PIPE, mounts=[*SYSTEM, Dev(), Tmpfs("/data")], **options) as container:
        assert shell("touch /data/made; uname -n; cat /proc/1/comm", join=[container]) == "box\nkthreads-init\n"
        assert shell("ls /data", join=[container]) == "made\n"
        assert not os.path.exists("/data/made")


@needs_root
@pytest.mark.parametrize("way", ["path", "file", "descriptor", "pair", "namespace", "process", "pidfd"])
def test_a_namespace_is_named_as_for_setns(way):
    with holder(CloneFlags.NEWUTS | CloneFlags.NEWNET, hostname="held") as held, open(namespace(held, "uts")) as file:
        entry = {
            "path": namespace(held, "uts"),
            "file": file,
            "descriptor": (file.fileno(), 0),
            "pair": (file, CloneFlags.NEWUTS),
            "namespace": next(each for each in list_namespaces(held.pid) if each.kind == "uts"),
            "process": (held, CloneFlags.NEWUTS),
            "pidfd": (held.fileno(), CloneFlags.NEWUTS),
        }[way]
        shown = shell("uname -n; readlink /proc/self/ns/net", join=[entry]).split()
        assert shown == ["held", places("self")["net"]]


@needs_root
def test_our_own_namespaces_can_be_named():
    with Process(["cat"], stdin=subprocess.PIPE) as process:
        assert shell("echo here", join=[process]) == "here\n"


# ---- Together with new namespaces ------------------------------------------------------------------------------------


def test_new_namespaces_lie_in_the_user_namespace_that_was_joined(user):
    def joins():
        with holder(CloneFlags.NEWUSER) as held:
            new = CloneFlags.NEWPID | CloneFlags.NEWNS | CloneFlags.NEWUTS
            join = [namespace(held, "user")]
            root = {"root": Tmpfs(), "mounts": [*SYSTEM, Dev()], "init": True, "hostname": "box"}
            shown = shell("id -u; uname -n; echo $$; readlink /proc/self/ns/user", join=join, namespaces=new, **root)
            return shown.split() == ["0", "box", "2", places(held.pid)["user"]]

    user(joins)


@needs_root
@pytest.mark.parametrize("init", [False, True])
def test_a_container_has_the_network_of_another_process(init):
    with holder(CloneFlags.NEWNET) as held:
        options = {"namespaces": ALL_BUT_USERS & ~CloneFlags.NEWNET, "root": Tmpfs(), "mounts": SYSTEM, "init": init}
        shown = shell("readlink /proc/self/ns/net; echo $$", join=[namespace(held, "net")], **options).split()
        assert shown == [places(held.pid)["net"], "2" if init else "1"]


@needs_root
def test_a_user_namespace_is_new_where_a_network_is_joined():
    with holder(CloneFlags.NEWNET) as held:
        new = {"namespaces": CloneFlags.NEWUSER, "uid_map": "root", "gid_map": "root"}
        shown = shell("readlink /proc/self/ns/net; cat /proc/self/uid_map", join=[namespace(held, "net")], **new)
        assert shown.split() == [places(held.pid)["net"], "0", "0", "1"]


@needs_root
@tool("bwrap")
def test_it_does_what_bwrap_does_with_a_user_namespace():
    with holder(CloneFlags.NEWUSER) as held, open(namespace(held, "user")) as file:
        script = "id -u; readlink /proc/self/ns/user; echo $$; ls /"
        binds = [word for bind in SYSTEM for word in ("--ro-bind", str(bind.source), str(bind.source))]
        command = [
            "bwrap",
            "--userns",
            str(file.fileno()),
            "--unshare-pid",
            *binds,
            "--proc",
            "/proc",
            "sh",
            "-c",
            script,
        ]
        theirs = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=[file.fileno()]).stdout
        new = CloneFlags.NEWNS | CloneFlags.NEWPID
        ours = shell(script, join=[file], namespaces=new, root=Tmpfs(), mounts=SYSTEM, init=True)
    assert ours == theirs


# ---- What cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [CloneFlags.NEWUSER, CloneFlags.NEWPID])
def test_a_namespace_is_joined_or_new(flag):
    kind = "user" if flag == CloneFlags.NEWUSER else "pid"
    with pytest.raises(ValueError, match="joined or new, not both"):
        Process(["true"], join=[f"/proc/self/ns/{kind}"], namespaces=flag)


def test_an_init_is_of_a_new_pid_namespace():
    with pytest.raises(ValueError, match="NEWPID"):
        Process(["true"], join=["/proc/self/ns/pid"], init=True)


@pytest.mark.parametrize(
    ("join", "kind"),
    [
        (5, TypeError),
        ("/proc/self/ns/net", TypeError),
        ([5], TypeError),
        ([(1, 2, 3)], TypeError),
        ([None], TypeError),
        ([("/proc/self/ns/net", "net")], TypeError),
        (["/etc/passwd"], ValueError),
        ([("/proc/self/ns/net", CloneFlags.NEWUTS)], ValueError),
        ([("/proc/self/ns/net", CloneFlags.VM)], ValueError),
        (["/nowhere"], FileNotFoundError),
    ],
    ids=repr,
)
def test_what_is_no_namespace_is_refused(join, kind):
    with pytest.raises(kind):
        Process(["true"], join=join)


def test_a_descriptor_of_something_else_fails_with_its_step():
    with open("/etc/passwd") as file, pytest.raises(kthreads.ProcessStartError, match="enter the namespace"):
        Process(["true"], join=[(file.fileno(), 0)])


def test_a_process_that_has_ended_cannot_be_joined():
    process = Process(["true"])
    pidfd = os.open(f"/proc/{process.pid}", os.O_RDONLY)
    with open(os.pidfd_open(process.pid), "rb") as ended:
        process.wait()
        with pytest.raises(ProcessLookupError):
            Process(["true"], join=[ended])
    os.close(pidfd)


@needs_root
def test_a_refusal_names_the_namespace():
    def refused():
        become_nobody()
        try:
            Process(["true"], join=["/proc/self/ns/net"])
        except PermissionError as error:
            return "enter the namespace" not in str(error)

    assert Process(refused, no_new_privs=False).wait() == 0


@needs_root
def test_a_clone_that_fails_after_the_entry_is_reported(tmp_path):
    """The intermediate process reports for the one that is not made."""
    with holder(CloneFlags.NEWUTS) as held, pytest.raises(OSError, match="clone"):
        Process(["true"], join=[namespace(held, "uts")], cgroup=tmp_path)


# ---- Our memory ------------------------------------------------------------------------------------------------------


@needs_root
def test_the_copy_of_our_memory_is_hidden_as_soon_as_it_is_in_the_namespaces():
    """The files of /proc of a process that must not be read are root's."""

    def joins():
        become_nobody()
        owners = []
        with holder(CloneFlags.NEWUSER) as held:
            output_of(
                ["true"],
                join=[namespace(held, "user")],
                before_go=lambda pid: owners.append(os.stat(f"/proc/{pid}/mem").st_uid),
            )
        return owners != [0]

    assert Process(joins, no_new_privs=False).wait() == 0
