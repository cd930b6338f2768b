"""`kthreads run`: a small container, on a root made of busybox alone; and `kthreads ps`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from containers import KTHREADS, container_tests, inside, run
from process_runs import isolated, tool

from kthreads.cli.cgroup import Cgroup, Limits
from kthreads.cli.values import size
from kthreads.errors import UnsupportedError

pytestmark = container_tests


# ---- What the program sees -------------------------------------------------------------------------------------------


def test_the_root_is_the_folder(root):
    assert inside(root, "ls /").split() == ["bin", "dev", "mnt", "proc", "root", "tmp"]
    assert inside(root, "pwd") == "/\n"


def test_nothing_of_the_host_is_mounted_but_the_folder(root):
    mounts = inside(root, "cut -d' ' -f5 /proc/self/mountinfo").split()
    devices = ["full", "null", "random", "tty", "urandom", "zero", "pts", "shm"]
    seen = [path for path in mounts if not path.startswith("/proc/")]  # where it hides the kernel's files
    assert sorted(seen) == sorted(["/", "/proc", "/dev", *(f"/dev/{name}" for name in devices)])


def test_the_host_name_is_its_own(root):
    before = os.uname().nodename
    assert inside(root, "hostname; hostname other 2>/dev/null; hostname", "--hostname", "box") == "box\nbox\n"
    assert os.uname().nodename == before


def test_it_sees_its_own_processes_alone(root):
    assert inside(root, "echo /proc/[0-9]* $$").split() == ["/proc/1", "/proc/2", "2"]


def test_without_init_the_program_is_process_1(root):
    assert inside(root, "echo $$", "--no-init") == "1\n"


def test_the_network_is_a_loopback_that_is_up(root):
    assert inside(root, "ip -o link show up").split()[1] == "lo:"
    assert inside(root, "ip -o link | wc -l") == "1\n"


def test_the_network_of_the_host_is_there_where_it_is_asked_for(root):
    own = os.readlink("/proc/self/ns/net")
    assert inside(root, "readlink /proc/self/ns/net", "--net", "host").strip() == own
    assert inside(root, "readlink /proc/self/ns/net").strip() != own


def test_it_is_root_without_capabilities_and_cannot_gain_any(root):
    status = inside(root, "id -u; grep -E 'Cap|NoNewPrivs' /proc/self/status")
    assert set(status.split()[2::2]) == {"0000000000000000", "1"}
    assert status.startswith("0\n")


def test_a_capability_is_kept_where_it_is_asked_for(root):
    assert inside(root, "hostname other; hostname", "--keep-capability", "sys_admin") == "other\n"


def test_it_runs_as_whom_it_is_told(root):
    assert inside(root, "id -u; id -g; id -G", "--user", "5:6") == "5\n6\n6\n"


def test_a_user_namespace_has_one_user(root):
    assert inside(root, "cat /proc/self/uid_map", "--userns").split() == ["0", "0", "1"]


def test_the_environment_is_what_was_given(root):
    os.environ["COLOUR"] = "blue"
    try:
        seen = inside(root, "env", "-e", "FRUIT=apple", "-e", "COLOUR", "-e", "PATH=/bin")
    finally:
        del os.environ["COLOUR"]
    names = dict(line.split("=", 1) for line in seen.splitlines())
    assert (names["FRUIT"], names["COLOUR"], names["PATH"]) == ("apple", "blue", "/bin")
    assert set(names) <= {"FRUIT", "COLOUR", "PATH", "HOME", "TERM", "PWD", "SHLVL", "_"}


def test_no_descriptor_of_ours_is_there(root):
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    done = run("--root", root, "--", "sh", "-c", "ls /proc/self/fd | wc -l", pass_fds=[reader])
    assert done.stdout == "4\n"  # 0, 1, 2 and the folder that ls reads
    os.close(reader)
    os.close(writer)


# ---- Files -----------------------------------------------------------------------------------------------------------


@isolated
def test_a_read_only_root_cannot_be_written_to(root):
    script = "touch /bin/x 2>/dev/null; echo $?; echo y >> /bin/busybox; echo $?; touch /tmp/x; echo $?"
    done = run("--root", root, "--read-only", "--", "sh", "-c", script)
    assert done.stdout.split() == ["1", "1", "0"]
    assert not (root / "tmp" / "x").exists()


def test_a_bind_is_seen_and_written_through(root, tmp_path):
    (tmp_path / "file").write_text("from the host\n")
    assert inside(root, "cat /mnt/file; echo back > /mnt/answer", "--bind", f"{tmp_path}:/mnt") == "from the host\n"
    assert (tmp_path / "answer").read_text() == "back\n"


@isolated
def test_a_read_only_bind_is_not(root, tmp_path):
    done = run("--root", root, "--bind", f"{tmp_path}:/mnt:ro", "--", "touch", "/mnt/file")
    assert done.returncode == 1
    assert "Read-only" in done.stderr


@isolated
def test_a_tmpfs_is_empty_and_stays_inside(root):
    assert inside(root, "touch /mnt/x; ls /mnt", "--tmpfs", "/mnt", "--read-only") == "x\n"
    assert list((root / "mnt").iterdir()) == []


def test_the_working_directory_is_inside(root):
    assert inside(root, "pwd", "--workdir", "/mnt") == "/mnt\n"


def test_without_a_root_the_files_are_the_host_s():
    done = run("sh", "-c", "ls /proc | grep -c '^[0-9]'; id -u; head -c 4 /etc/passwd")
    assert done.stdout.split("\n") == ["4", "0", "root"] or done.stdout.endswith("root")


# ---- How it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["no-such-program"], 127),
        (["/proc/version"], 126),
    ],
)
def test_the_status_is_the_program_s(root, words, status):
    assert run("--root", root, "--", *words).returncode == status


@pytest.mark.parametrize(
    "options",
    [
        ["--root", "/no/such/folder", "true"],
        ["--bind", "/no/such/folder:/mnt", "true"],
        ["--bind", "/usr:relative", "true"],
        ["--memory", "much", "true"],
        ["--cpus", "0", "true"],
        ["--pids", "0", "true"],
        ["--user", "somebody", "true"],
        ["--keep-capability", "no_such_capability", "true"],
        ["--no-such-option", "true"],
        [],
    ],
    ids=" ".join,
)
def test_what_is_wrong_with_the_container_is_125_and_said(options):
    done = run(*options)
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1].startswith("kthreads run: ")


def test_sigterm_reaches_the_program(root):
    with subprocess.Popen(
        [
            *KTHREADS,
            "run",
            "--root",
            root,
            "--",
            "sh",
            "-c",
            "trap 'exit 9' TERM; echo ready; while :; do sleep 1; done",
        ],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(timeout=30) == 9


def test_when_the_command_is_killed_the_container_is(root):
    with subprocess.Popen(
        [*KTHREADS, "run", "--root", root, "--", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        assert process.stdout.read() == b""  # the last who had the other end has ended


def test_nothing_is_left_behind(root):
    before = Path("/proc/self/mountinfo").read_text()
    for _ in range(3):
        inside(root, "true")
    assert Path("/proc/self/mountinfo").read_text() == before


# ---- Beside bubblewrap -----------------------------------------------------------------------------------------------


@isolated
@tool("bwrap")
@pytest.mark.parametrize(
    "script",
    [
        "hostname",
        "id -u; id -g",
        "ls /; ls /dev | grep -v -e console -e core",
        "grep -E '^Cap(Prm|Eff|Inh|Amb)' /proc/self/status; grep NoNewPrivs /proc/self/status",
        "ip -o link show up | cut -d' ' -f2",
        "touch /bin/file; echo $?",
        "echo $$",
        "ls /proc/self/fd",
        "exit 3",
        "kill -KILL $$",
    ],
)
def test_it_is_what_bubblewrap_makes(root, script):
    theirs = subprocess.run(
        ["bwrap", "--unshare-all", "--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        + ["--hostname", "box", "--cap-drop", "ALL", "--uid", "0", "--gid", "0", "--", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/bin"},
        cwd="/",
    )
    if "Operation not permitted" in theirs.stderr:
        pytest.skip(theirs.stderr)
    ours = run("--root", root, "--read-only", "--hostname", "box", "--userns", "--", "sh", "-c", script)
    assert (ours.stdout, ours.returncode) == (theirs.stdout, theirs.returncode)


# ---- Limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"), [("1", 1), ("64b", 64), ("2k", 2048), ("64M", 64 << 20), ("1.5G", 3 << 29), ("1MiB", 1 << 20)]
)
def test_a_size_is_read_with_its_unit(text, count):
    assert size(text) == count


def test_limits_are_written_into_a_new_cgroup_where_the_controllers_are(tmp_path):
    """On a folder that looks like a cgroup file system; the kernel's own would make and remove the files."""
    above = tmp_path / "above"
    below = above / "below"
    below.mkdir(parents=True)
    (below / "cgroup.controllers").write_text("pids\n")
    (above / "cgroup.controllers").write_text("cpu memory pids\n")
    (above / "cgroup.subtree_control").write_text("pids\n")
    cgroup = Cgroup(Limits(memory=64 << 20, cpus=1.5, pids=10), [below, above])
    assert cgroup.path.parent == above
    assert (above / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (cgroup.path / "memory.max").read_text() == str(64 << 20)
    assert (cgroup.path / "cpu.max").read_text() == "150000 100000"
    assert (cgroup.path / "pids.max").read_text() == "10"


def test_where_no_cgroup_can_be_made_the_reason_is_said(tmp_path):
    with pytest.raises(UnsupportedError, match="not mounted"):
        Cgroup(Limits(pids=10), [])
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    with pytest.raises(UnsupportedError, match=r"has no controller for memory, pids"):
        Cgroup(Limits(memory=1, pids=10), [tmp_path])


def why_no_cgroup(limits):
    try:
        with Cgroup(limits):
            return None
    except UnsupportedError as error:
        return str(error)


def test_a_container_without_limits_that_can_be_had_does_not_start(root):
    if why_no_cgroup(Limits(pids=10)) is None:
        pytest.skip("this machine has the cgroups whose absence is tested")
    done = run("--root", root, "--pids", "10", "--", "true")
    assert done.returncode == 125
    assert "no cgroup can be made for these limits" in done.stderr


def test_the_limits_hold(root):
    if (why := why_no_cgroup(Limits(memory=1 << 26, pids=10))) is not None:
        pytest.skip(why)
    script = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all"
    assert run("--root", root, "--pids", "8", "--", "sh", "-c", script).stdout == ""
    hog = "head -c 500m /dev/zero | tail >/dev/null; echo $?"
    assert run("--root", root, "--memory", "64M", "--", "sh", "-c", hog).stdout != "0\n"


# ---- ps --------------------------------------------------------------------------------------------------------------


def ps(*arguments):
    done = subprocess.run(
        [*KTHREADS, "ps", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout, done.stderr


def test_ps_shows_a_container_below_the_user_namespace_that_owns_it(root):
    with subprocess.Popen(
        [*KTHREADS, "run", "--root", root, "--userns", "--", "sh", "-c", "echo ready; exec sleep 60"],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        _, output, _ = ps()
        process.kill()
    lines = output.splitlines()
    users = [number for number, line in enumerate(lines) if "user:[" in line and "made by user 0" in line]
    nets = [number for number, line in enumerate(lines) if "net:[" in line]
    at = next(number for number in nets if "sleep 60" in "".join(lines[number + 1 : number + 4]))
    owner = max(number for number in users if number < at)
    assert lines[owner].index("user:") < lines[at].index("net:")


def test_ps_of_one_process_shows_where_it_is():
    status, output, _ = ps(os.getpid())
    assert status == 0
    for kind in ("user", "mnt", "net", "pid"):
        assert os.readlink(f"/proc/self/ns/{kind}") in output


def test_ps_of_some_kinds_shows_those():
    _, output, _ = ps("--kind", "uts", os.getpid())
    assert "uts:[" in output
    assert "net:[" not in output


def test_ps_of_nobody_is_an_error():
    status, output, error = ps(4194305)
    assert (status, output) == (1, "")
    assert "no process" in error
