"""Options of `kthreads nsenter` that util-linux 2.38 lacks, and values that no option takes; a command in a container that
runs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from containers import BUSYBOX
from ordinary import kthreads_as

import kthreads
from kthreads import cgroups
from kthreads.cli.main import main

KTHREADS = [sys.executable, "-m", "kthreads"]
NSENTER = [*KTHREADS, "nsenter"]

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need CAP_SYS_ADMIN"),
]


def run(*words, command=NSENTER, **options):
    done = subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options
    )
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def holding(command, script, **options):
    """A process that runs a shell script, by words before it, to the end of the block. The script prints a line first."""
    words = [*command, "sh", "-c", f"{script}; read line"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as process:
        process.stdout.readline()
        try:
            yield process
        finally:
            process.communicate("\n")


def link(kind, pid="self"):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


# ---- Bad values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [[f"--target={pid}"] for pid in ("", "x", "-1", "2147483648", "4294967297", "9" * 5000, "1.5")]
    + [
        [f"--{option}={id_}"]
        for option in ("setuid", "setgid")
        for id_ in ("4294967295", "99999999999", "-1", "root", "")
    ]
    + [[f"--net-socket={fd}"] for fd in ("", "x", "-1", "2147483648")]
    + [["--wd=/", "--wdns=/"], ["--all=x"], ["--keep-caps=x"]],
    ids=lambda words: words[0][:30],
)
def test_a_value_that_an_option_does_not_take_is_bad_usage(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["nsenter", *words, "true"])
    assert exit_.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert (len(said), said[0].split()[0]) == (2, "usage:")


@pytest.mark.parametrize(
    "option", ["--net", "--user-parent", "--net-socket=3", "--join-cgroup", "--env", "--setuid=follow"]
)
def test_what_is_the_target_s_needs_a_target(option):
    status, _, error = run(option, "true")
    assert status == 1
    assert "needs --target" in error


@pytest.mark.parametrize("option", ["--net", "--all", "--user-parent", "-N3", "-c", "-e", "-Sfollow", "-r", "-w"])
def test_a_target_that_does_not_exist_is_told(option):
    status, _, error = run("-t", 4194304, option, "true")  # the highest that there can be is one below
    assert status == 1
    assert "there is no process 4194304" in error


@pytest.mark.parametrize("option", ["--uts=", "--root=", "--wd=", "--wdns="])
def test_an_empty_name_names_no_file(option):
    status, _, error = run(option, "true")
    assert status == 1
    assert "No such file or directory: ''" in error


@pytest.mark.parametrize("kind", ["mount", "uts", "ipc", "net", "pid", "cgroup", "user", "time"])
def test_a_file_of_no_namespace_is_told(kind):
    status, _, error = run(f"--{kind}=/etc/passwd", "true")
    assert status == 1
    assert "[Errno 22] it is not the file of a namespace: '/etc/passwd'" in error


def test_a_namespace_of_another_kind_is_told():
    status, _, error = run("--uts=/proc/self/ns/net", "true")
    assert status == 1
    assert "it is a net namespace, not uts: '/proc/self/ns/net'" in error


def test_without_a_namespace_the_program_runs_where_it_is():
    """As nsenter(1) of util-linux 2.38 does it, which later ones refuse."""
    for words in ([], ["-t", os.getpid()], ["-t", 0], ["-t", os.getpid(), "-r", "-w"]):
        assert run(*words, "readlink", "/proc/self/ns/uts")[:2] == (0, f"{link('uts')}\n")


# ---- What is entered -------------------------------------------------------------------------------------------------


def test_a_thread_can_be_the_target():
    before, begun, end = link("uts"), threading.Event(), threading.Event()

    def isolated():
        kthreads.unshare(kthreads.CloneFlags.NEWUTS)
        begun.set()
        end.wait()

    thread = threading.Thread(target=isolated)
    thread.start()
    begun.wait()
    try:
        entered = run("-t", thread.native_id, "--uts", "readlink", "/proc/self/ns/uts")[1].strip()
        assert entered == link("uts", thread.native_id) != before
    finally:
        end.set()
        thread.join()


def test_the_network_of_a_socket_is_entered():
    with kthreads.unshare(kthreads.CloneFlags.NEWNET):
        network, listener = link("net", "thread-self"), socket.socket()
    assert network != link("net", "thread-self")
    with listener:
        words = ["-t", os.getpid(), "--net-socket", listener.fileno(), "readlink", "/proc/self/ns/net"]
        assert run(*words)[:2] == (0, f"{network}\n")


def test_what_is_no_socket_has_no_network():
    with open("/dev/null") as file:
        status, _, error = run("-t", os.getpid(), "-N", file.fileno(), "true")
    assert (status, "it is no socket of a network" in error) == (1, True)
    status, _, error = run("-t", os.getpid(), "-N", 10**6, "true")
    assert (status, "cannot get the socket: Bad file descriptor" in error) == (1, True)


def test_the_parent_of_a_user_namespace_is_entered():
    outer = ["unshare", "-r", "unshare", "-r"]
    with holding(outer, "echo ready") as process:
        words = ["-t", process.pid, "--user-parent", "sh", "-c", "readlink /proc/self/ns/user; cat /proc/self/uid_map"]
        status, output, error = run(*words)
        entered, *uid_map = output.split()
        assert (status, uid_map) == (0, ["0", "0", "1"]), error
        assert entered not in (link("user"), link("user", process.pid))


def test_a_parent_that_is_out_of_reach_is_told():
    status, _, error = run("-t", os.getpid(), "--user-parent", "true")
    assert status == 1
    assert "the parent of the user namespace is out of reach" in error


def test_capabilities_are_kept_on_request():
    with holding(["unshare", "--map-user=7"], "echo ready") as process:
        words = ["-t", process.pid, "-U", "--preserve-credentials"]
        status = {}
        for options in ([], ["--keep-caps"]):
            text = run(*words, *options, "cat", "/proc/self/status")[1]
            status[len(options)] = dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
    assert status[0]["CapEff"] == "0" * 16
    assert status[1]["CapEff"] == status[1]["CapAmb"] == status[1]["CapBnd"] != "0" * 16


def test_the_cgroup_of_the_target_is_joined():
    own = cgroups.of_version_2()
    if own is None or not os.access(own.mount, os.W_OK):
        pytest.skip("no cgroups of version 2 that can be written to")
    folder = own.mount / f"kthreads-test-{os.getpid()}"
    folder.mkdir()
    try:
        with holding([], "echo ready") as process:
            (folder / "cgroup.procs").write_text(str(process.pid))
            status, output, error = run("-t", process.pid, "--join-cgroup", "-u", "cat", "/proc/self/cgroup")
            assert status == 0, error
            assert f"0::/{folder.name}" in output.splitlines()
    finally:
        folder.rmdir()


def test_the_shell_is_the_one_of_the_target_s_environment():
    with holding(["env", "-i", "SHELL=/bin/echo", f"PATH={os.environ['PATH']}"], "echo ready") as process:
        assert run("-t", process.pid, "-u", "-e")[:2] == (0, "\n")


# ---- A container that runs -------------------------------------------------------------------------------------------


def descendants(pid):
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        yield child
        yield from descendants(child)


@pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="busybox-static is not installed")
@pytest.mark.parametrize("uid", [0, 65534], ids=["root", "ordinary"])
def test_a_command_runs_in_a_container_that_runs(root, uid):
    command = KTHREADS if uid == 0 else kthreads_as(uid)
    words = [*command, "run", "--root", str(root), "--hostname", "box", "--"]
    script = "hostname; id -u; pwd; echo /bin/busybox; cat /proc/1/comm; ls /"
    with holding(words, "echo ready") as process:
        program = list(descendants(process.pid))[-1]
        # A user namespace that an ordinary user made lets no groups be dropped, as nsenter(1) would.
        options = ["-t", program, "--all", *["--preserve-credentials"] * bool(uid)]
        status, output, error = run("nsenter", *options, "sh", "-c", script, command=command)
    expected = ["box", "0", "/", "/bin/busybox", "kthreads-init", *sorted(os.listdir(root))]
    assert (status, output.split()) == (0, expected), error
