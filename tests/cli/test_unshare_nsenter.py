"""`kthreads unshare` and `nsenter`: what a sweep of their options beside util-linux cannot show."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from ordinary import kthreads_as

from kthreads.cli.parser import Parser

KTHREADS = [sys.executable, "-m", "kthreads"]

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need CAP_SYS_ADMIN"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="util-linux is not installed"),
]


def run(command, *arguments, **options):
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


# ---- unshare ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uts", "net", "ipc", "pid", "cgroup", "mnt", "user", "time"])
def test_unshare_keeps_a_namespace_in_a_file(kind, tmp_path):
    file = tmp_path / "kept"
    file.touch()
    option = "--mount" if kind == "mnt" else f"--{kind}"
    # A mount namespace can only be kept on a private mount.
    script = f"""
        mount -t tmpfs none {tmp_path} && mount --make-private {tmp_path} && touch {file}
        "$@" {option}={file} --fork true && stat -L -c %i {file} && readlink /proc/self/ns/{kind} && stat -f -c %T {file}
    """
    # On one CPU: a mount namespace can be bound in one with a lower id alone, and CPUs hand ids out from blocks of their
    # own (Linux 6.18). unshare(1) of util-linux 2.38 tries to bind a user namespace from within it.
    cpu = str(min(os.sched_getaffinity(0)))
    for command in (["unshare"], [*KTHREADS, "unshare"])[kind == "user" :]:
        status, output, error = run(["taskset", "-c", cpu, "unshare", "--mount", "sh", "-c", script, "sh"], *command)
        assert status == 0, error
        kept, own, file_system = output.split()
        assert f"{kind}:[{kept}]" != own
        assert file_system == "nsfs"


def test_kill_child_takes_the_child_along():
    for command in (["unshare"], [*KTHREADS, "unshare"]):
        reader, writer = os.pipe()
        parent = subprocess.Popen(
            [*command, "--kill-child", "sh", "-c", "echo ready; exec sleep 60"], stdout=writer, pass_fds=[writer]
        )
        os.close(writer)
        with open(reader, "rb") as file:
            assert file.readline() == b"ready\n"
            parent.kill()
            parent.wait()
            assert file.read() == b""  # the last who had the other end has ended


def test_a_child_that_was_killed_is_followed():
    """By the same signal. unshare(1) of util-linux 2.38 answers 1 to SIGKILL, later ones do the same as ours."""
    assert run([*KTHREADS, "unshare"], "-f", "sh", "-c", "kill -KILL $$")[0] == -signal.SIGKILL


def test_unshare_of_an_unprivileged_user_makes_it_root_in_there():
    script = "id -u; id -g; cat /proc/self/setgroups; hostname there; hostname"
    status, output, error = run([*kthreads_as(65534), "unshare", "-r", "-u"], "sh", "-c", script)
    if "user namespace" in error:
        pytest.skip("user namespaces are not allowed to all here")
    assert (status, output.split()) == (0, ["0", "0", "deny", "there"])


def test_without_privilege_the_status_is_1_and_the_message_says_what_is_missing():
    status, _, error = run([*kthreads_as(65534), "unshare", "-n", "true"])
    assert status == 1
    assert "CAP_SYS_ADMIN" in error


def test_no_descriptor_of_ours_reaches_the_program(tmp_path):
    (tmp_path / "kept").touch()
    script = "ls /proc/self/fd"
    for options in (["-u", "-n"], ["-f", "--kill-child", "-p"], ["-m"]):
        assert run([*KTHREADS, "unshare"], *options, "sh", "-c", script)[:2] == run(["sh", "-c", script])[:2]


def test_sigpipe_has_its_default_again():
    status = run([*KTHREADS, "unshare"], "cat", "/proc/self/status")[1]
    ignored = int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_root_maps_ranges_without_a_helper():
    """unshare(1) calls newuidmap for them, which may not be installed."""
    words = ["--map-users=0:0:1000", "--map-groups", "0:0:500", "sh", "-c", "cat /proc/self/[ug]id_map; id -u"]
    status, output, _ = run([*KTHREADS, "unshare"], *words)
    assert (status, output.split()) == (0, ["0", "0", "500", "0", "0", "1000", "0"])


# ---- nsenter ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A process in namespaces of its own, with root, directory and environment of its own."""
    folder = tmp_path_factory.mktemp("target")
    words = ["env", "-i", "COLOUR=blue", f"PATH={os.environ['PATH']}"]
    words += ["unshare", "-mnuUirpCf", "--mount-proc", "--wd", str(folder)]
    words += ["sh", "-c", "hostname there; echo ready; cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            pytest.skip("user namespaces are not allowed here")
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            yield int(file.read())
        process.stdin.close()


def test_nsenter_takes_the_environment_of_the_target(target):
    assert run([*KTHREADS, "nsenter"], "-t", str(target), "-e", "-u", "sh", "-c", "echo $COLOUR")[:2] == (0, "blue\n")


def test_nsenter_stops_when_its_child_stops_and_goes_on_when_it_is_told(target):
    words = [*KTHREADS, "nsenter", "-t", str(target), "-p", "sh", "-c", "kill -STOP $$; exit 6"]
    with subprocess.Popen(words) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        try:
            assert process.wait(timeout=30) == 6
        finally:
            process.kill()


# ---- Command lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "values", "program"),
    [
        (["-ab", "x", "-c"], (True, True, None, None), ["x", "-c"]),
        (["-a", "--", "-b"], (True, False, None, None), ["-b"]),
        (["-v5", "x"], (False, False, "5", None), ["x"]),
        (["-av", "5", "x"], (True, False, "5", None), ["x"]),
        (["--value", "-5", "x"], (False, False, "-5", None), ["x"]),
        (["--val=5"], (False, False, "5", None), []),
        (["--maybe", "x"], (False, False, None, "nothing"), ["x"]),
        (["--maybe=y", "x"], (False, False, None, "y"), ["x"]),
        (["-", "-a"], (False, False, None, None), ["-", "-a"]),
    ],
)
def test_a_command_line_is_read_as_getopt_reads_it(words, values, program):
    parser = Parser(prog="test")
    parser.run_program(short_values=False, failure=1)
    parser.add_argument("-a", "--all", action="store_true")
    parser.add_argument("-b", "--both", action="store_true")
    parser.add_argument("-v", "--value")
    parser.add_argument("-m", "--maybe", nargs="?", const="nothing")
    found = parser.parse_args(words)
    assert (found.all, found.both, found.value, found.maybe) == values
    assert found.program == program
