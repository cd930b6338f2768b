"""kthreads.Process as a container: namespaces, roots, privileges, an init, and what must not get in or out.

The cases follow bubblewrap's tests (tests/test-run.sh); where the tools are installed, what they do is what is expected.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from process_runs import SIX, SYSTEM, become_nobody, isolated, needs_root, output_of, shell, tool

import kthreads
from kthreads import CloneFlags, Process
from kthreads.mounts import Bind, Dev, Overlay, Tmpfs

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]


# ---- Namespaces ---------------------------------------------------------------------------------------------------------


NAMES = {"NEWNS": "mnt", "NEWUTS": "uts", "NEWIPC": "ipc", "NEWPID": "pid", "NEWNET": "net", "NEWUSER": "user"}
NAMES |= {"NEWCGROUP": "cgroup", "NEWTIME": "time"}


@needs_root
@pytest.mark.parametrize("flag", NAMES)
def test_only_the_namespaces_asked_for_are_new(flag):
    out = shell("for n in /proc/self/ns/*; do readlink $n; done", namespaces=CloneFlags[flag])
    mine = {os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    assert {line.split(":")[0] for line in set(out.split()) - mine} == {NAMES[flag]}


@isolated
@pytest.mark.parametrize("init", [False, True])
def test_proc_matches_a_new_pid_namespace(init):
    seen = shell("echo /proc/[0-9]*", namespaces=SIX, init=init)
    assert seen == ("/proc/1 /proc/2\n" if init else "/proc/1\n")


@isolated
def test_the_loopback_is_up_and_alone():
    script = """if True:
        import socket
        server = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(server.getsockname())
        print([name for _, name in socket.if_nameindex()])
    """
    assert output_of([sys.executable, "-W", "ignore", "-c", script], namespaces=SIX) == "['lo']\n"


@isolated
def test_the_hostname_is_its_own():
    assert shell("uname -n", namespaces=SIX, hostname="inside") == "inside\n"
    assert os.uname().nodename != "inside"


@isolated
@tool("bwrap")
def test_what_is_seen_is_what_bwrap_shows(tmp_path):
    (tmp_path / "file").write_text("content")
    script = "id -u; uname -n; ls /; ls -A /tmp /dev; cat /data/file; cat /proc/net/dev | wc -l; pwd"
    binds = [word for bind in SYSTEM for word in ("--ro-bind", str(bind.source), str(bind.source))]
    theirs = subprocess.run(
        ["bwrap", "--unshare-all", "--hostname", "box", *binds, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        + ["--ro-bind", str(tmp_path), "/data", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    ours = shell(
        script,
        namespaces=SIX | CloneFlags.NEWCGROUP,
        hostname="box",
        root=Tmpfs(),
        init=True,
        mounts=[*SYSTEM, Dev(), Tmpfs("/tmp"), Bind(tmp_path, "/data", read_only=True)],
    ).split()
    assert [word for word in ours if word != "core"] == [word for word in theirs if word not in ("core", "console")]


# ---- Roots and mounts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_root(tmp_path):
    """A root folder with busybox in it, the only program."""
    busybox = shutil.which("busybox")
    if busybox is None or b"statically" not in subprocess.run(["file", "-L", busybox], capture_output=True).stdout:
        pytest.skip("no static busybox")
    root = tmp_path / "root"
    for name in ("bin", "proc", "dev", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in ("sh", "ls", "cat", "touch", "id", "mount", "umount", "sleep", "echo", "readlink", "ln", "dd"):
        (root / "bin" / name).symlink_to("busybox")
    return root


@isolated
def test_a_folder_becomes_the_root_and_the_old_one_is_out_of_reach(small_root):
    out = output_of(["/bin/sh", "-c", "ls /; echo; cat /proc/self/mountinfo"], namespaces=SIX, root=small_root)
    names, mounts = out.split("\n\n")
    assert names.split() == ["bin", "dev", "etc", "proc", "tmp"]
    seen = {line.split()[4] for line in mounts.splitlines()}
    assert {path for path in seen if not path.startswith("/proc/")} == {"/", "/proc"}


@isolated
def test_nothing_can_be_written_through_a_read_only_root(small_root):
    before = sorted(path.name for path in small_root.rglob("*"))
    out = output_of(
        [
            "/bin/sh",
            "-c",
            "touch /file /etc/file /proc/self/root/file; mount -o remount,rw /; echo x > /bin/busybox; true",
        ],
        namespaces=SIX,
        root=small_root,
        read_only=True,
    )
    assert out.count("Read-only file system") == 4, out
    assert sorted(path.name for path in small_root.rglob("*")) == before


@isolated
def test_a_writable_root_can_be_written_to_and_a_read_only_bind_in_it_cannot(small_root, tmp_path):
    (tmp_path / "data").mkdir()
    out = output_of(
        ["/bin/sh", "-c", "echo yes > /tmp/file; echo no > /data/file; true"],
        namespaces=SIX,
        root=small_root,
        mounts=[Bind(tmp_path / "data", "/data", read_only=True)],
    )
    assert "Read-only" in out
    assert (small_root / "tmp" / "file").read_text() == "yes\n"
    assert not (tmp_path / "data" / "file").exists()


@isolated
def test_no_symbolic_link_in_a_root_leads_a_mount_out_of_it(small_root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (small_root / "link").symlink_to(outside)
    with pytest.raises(kthreads.ProcessStartError):
        Process(["/bin/sh"], namespaces=SIX, root=small_root, read_only=True, mounts=[Tmpfs("/link/inside")])
    assert list(outside.iterdir()) == []


@isolated
def test_a_file_can_be_bound(tmp_path):
    (tmp_path / "hosts").write_text("mine")
    assert (
        shell("cat /etc/hosts", namespaces=SIX, root=Tmpfs(), mounts=[*SYSTEM, Bind(tmp_path / "hosts", "/etc/hosts")])
        == "mine"
    )


@isolated
def test_an_overlay_keeps_what_is_below_as_it_was(tmp_path):
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("below")
    overlay = Overlay("/mnt", [tmp_path / "lower"], tmp_path / "upper", tmp_path / "work")
    try:
        assert (
            shell("cat /mnt/file; echo above > /mnt/file", namespaces=SIX, root=Tmpfs(), mounts=[*SYSTEM, overlay])
            == "below"
        )
    except kthreads.ProcessStartError as error:
        pytest.skip(f"no overlays here: {error}")
    assert (tmp_path / "lower" / "file").read_text() == "below"
    assert (tmp_path / "upper" / "file").read_text() == "above\n"
    shutil.rmtree(tmp_path / "work")


@isolated
def test_a_minimal_dev_works():
    out = shell(
        "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; readlink /dev/fd; test -w /dev/shm && echo shm",
        namespaces=SIX,
        root=Tmpfs(),
        mounts=[*SYSTEM, Dev()],
    )
    assert out.split() == ["3", "3", "/proc/self/fd", "shm"]


@isolated
def test_mounts_do_not_reach_the_host():
    shell("true", namespaces=SIX, mounts=[Tmpfs("/tmp")])  # the fixture compares what is mounted


@isolated
def test_a_working_directory_that_is_mounted_over_is_seen_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    above = str(tmp_path.parent)
    assert shell("pwd; ls", namespaces=SIX, mounts=[Tmpfs(above)]) == f"{above}\n"
    assert shell("pwd; ls", namespaces=SIX, mounts=[Tmpfs(str(tmp_path))]) == f"{tmp_path}\n"
    assert shell("pwd; ls", namespaces=SIX, mounts=[Bind(above)]) == f"{tmp_path}\nfile\n"


def test_what_would_change_the_host_is_refused():
    for options in ({"hostname": "x"}, {"mounts": [Tmpfs("/tmp")]}, {"root": "/"}, {"init": True}, {"uid_map": "root"}):
        with pytest.raises(ValueError, match="NEW"):
            Process(["true"], **options)


@isolated
def test_a_failed_mount_names_its_step_and_leaves_nothing_behind():
    with pytest.raises(FileNotFoundError, match="cannot take the files at /nowhere"):
        Process(["true"], namespaces=SIX, root=Tmpfs(), mounts=[Bind("/nowhere")])


@isolated
def test_the_example_of_the_guide_prints_what_it_says():
    example = Path(__file__).parents[2] / "docs" / "examples" / "container.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["0", "box", "/proc/1 /proc/2"]
    assert "Read-only file system" in lines[-1]


# ---- Privileges ---------------------------------------------------------------------------------------------------------


def status_of(**options) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in output_of(["cat", "/proc/self/status"], **options).splitlines())


SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]


@isolated
@pytest.mark.parametrize("init", [False, True])
def test_capabilities_are_given_up_in_new_namespaces(init):
    status = status_of(namespaces=SIX, uid_map="root", gid_map="root", init=init)
    assert {int(status[name], 16) for name in SETS} == {0}
    assert status["NoNewPrivs"] == "1"


@isolated
@pytest.mark.parametrize("uid", ["root", 7])
def test_capabilities_that_are_kept_are_kept_by_any_user(uid):
    status = status_of(namespaces=SIX, uid_map=uid, gid_map="root", keep_capabilities=["CAP_NET_ADMIN", "chown"])
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")] == [1 << 12 | 1] * 4


def test_a_plain_process_keeps_what_it_has():
    with open("/proc/self/status") as file:
        mine = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    theirs = status_of()
    assert [theirs[name] for name in SETS] == [mine[name] for name in SETS]
    assert theirs["NoNewPrivs"] == "1"
    assert status_of(no_new_privs=False)["NoNewPrivs"] == mine["NoNewPrivs"]


def test_an_unknown_capability_is_an_error():
    with pytest.raises(ValueError, match="CAP_FLY"):
        Process(["true"], keep_capabilities=["CAP_FLY"])


@needs_root
def test_it_may_become_another_user_and_this_process_stays_readable():
    assert shell("id -u; id -g; id -G", user=65534, group=65534, extra_groups=[65534]).split() == ["65534"] * 3
    assert os.stat("/proc/self/status").st_uid == os.geteuid()


@needs_root
@isolated
def test_an_unprivileged_user_gets_a_container_too():
    """All of it again without privilege: maps by the parent, setgroups denied, a root, /proc, the loopback."""
    script = "id -u; cat /proc/self/setgroups; cat /proc/self/uid_map; uname -n; echo $$; echo /proc/[0-9]*"

    def unprivileged():
        become_nobody()
        try:
            out = shell(
                script,
                namespaces=SIX,
                uid_map="root",
                gid_map="root",
                hostname="box",
                root=Tmpfs(),
                init=True,
                mounts=[*SYSTEM, Dev()],
                env={"PATH": "/usr/bin:/bin"},
            )
        except kthreads.errors.NamespaceError as error:
            os.write(1, str(error).encode())
            return 77
        assert Process(os.getpid, namespaces=SIX).wait() == 1
        os.write(1, out.encode())
        return 0

    process = Process(unprivileged, stdout=subprocess.PIPE, text=True, no_new_privs=False)
    out, _ = process.communicate(timeout=30)
    if process.returncode == 77:
        pytest.skip(f"no unprivileged user namespaces: {out}")
    expected = ["0", "deny", "0", "65534", "1", "box", "2", "/proc/1", "/proc/2"]
    assert (out.split(), process.returncode) == (expected, 0)


@isolated
def test_the_program_s_own_file_cannot_be_written(small_root):
    """CVE-2019-5736: neither its own file nor, by way of it, this interpreter's."""
    out = output_of(
        [
            "/bin/sh",
            "-c",
            "readlink /proc/self/exe; echo x > /proc/$$/exe; dd if=/dev/zero of=/proc/self/exe count=1; true",
        ],
        namespaces=SIX,
        root=small_root,
        read_only=True,
        mounts=[Dev()],
    )
    assert out.splitlines()[0] == "/bin/busybox"
    assert "Read-only" in out or "busy" in out


# ---- An init, and ends --------------------------------------------------------------------------------------------------


@isolated
def test_an_init_reaps_orphans():
    script = "(sleep 0.05 & ); (sleep 0.05 &); sleep 0.5; for p in /proc/[0-9]*; do cat $p/stat; done"
    states = [line.rpartition(")")[2].split()[0] for line in shell(script, namespaces=SIX, init=True).splitlines()]
    assert "Z" not in states


@isolated
@pytest.mark.parametrize(("script", "status"), [("exit 5", 5), ("kill -USR1 $$", 128 + signal.SIGUSR1)])
def test_an_init_ends_as_its_program_does(script, status):
    assert Process(["sh", "-c", script], namespaces=SIX, init=True).wait() == status


@isolated
def test_an_init_passes_signals_on():
    process = Process(
        ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"],
        namespaces=SIX,
        init=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.wait(10) == 9
    process.stdout.close()


@isolated
def test_all_of_a_pid_namespace_ends_with_it():
    reader, writer = os.pipe()
    Process(["sh", "-c", "sleep 60 & exit 0"], namespaces=SIX, pass_fds=[writer], init=True).wait()
    os.close(writer)
    assert os.read(reader, 1) == b""  # the last holder of the other end is gone
    os.close(reader)


@isolated
def test_init_s_copy_of_our_memory_can_be_read_by_nobody_inside():
    """The init of a function is a copy of this process. That of a program is not: tests/escape/test_launcher.py."""

    def read():
        refused = 0
        for name in ("maps", "environ", "mem", "exe"):
            try:
                os.readlink("/proc/1/exe") if name == "exe" else Path(f"/proc/1/{name}").read_bytes()
            except PermissionError:
                refused += 1
        return refused

    process = Process(read, namespaces=SIX, uid_map="root", gid_map="root", init=True, keep_capabilities="all")
    assert process.wait(30) == 4


def test_a_parent_s_death_can_be_told():
    script = """if True:
        import kthreads, os, sys
        process = kthreads.Process(["sh", "-c", "echo $$; exec sleep 60"], parent_death_signal=9)
        os.read(0, 1)
        os._exit(0)
    """
    starter = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pid = int(starter.stdout.readline())
    pidfd = os.pidfd_open(pid)
    starter.communicate(b"x")
    assert select.select([pidfd], [], [], 10)[0] == [pidfd]
    os.close(pidfd)
