"""Paths in a hostile root: nothing outside of the root is opened, entered or made."""

from __future__ import annotations

import contextlib
import os
import subprocess
import textwrap

import pytest

pytestmark = pytest.mark.any_python

# A process of the host that holds a folder of the host open, without close-on-exec, as libraries do by mistake.
HOLDING = """
held = os.open(sys.argv[2], os.O_PATH | os.O_DIRECTORY)
os.set_inheritable(held, True)
root = sys.argv[1]
def link(name, target):
    path = root + name
    os.path.lexists(path) and os.unlink(path)
    os.symlink(target, path)
"""

# No openat2, as on Linux before 5.6: a filter of system calls answers ENOSYS.
WITHOUT_OPENAT2 = """
import ctypes, struct
program = b"".join(struct.pack("=HBBI", *row) for row in (
    (0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)))
code = ctypes.create_string_buffer(program, len(program))
filter = struct.pack("=HxxxxxxQ", 4, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, ctypes.c_char_p(filter), 0, 0) == 0
"""

BOTH = pytest.mark.parametrize("kernel", ["", WITHOUT_OPENAT2], ids=["openat2", "no openat2"])


@BOTH
@pytest.mark.parametrize("close_fds", [True, False])
def test_a_working_directory_that_is_a_link_to_a_descriptor_is_refused(attack, kernel, close_fds):
    script = """
    out = []
    for fd in range(3, 12):
        link("/work", f"/proc/self/fd/{fd}")
        out.append(run("/bin/cat", "secret", root=root, cwd="/work", mounts=[Proc()], close_fds=eval(sys.argv[3])))
    print(*out, sep="\\n")
    """
    out = attack.python(kernel + HOLDING + textwrap.dedent(script), attack.root, attack.host, close_fds)
    assert "the host's secret" not in out
    assert out.count("refused: ") == 9, out


@BOTH
def test_a_working_directory_below_such_a_link_is_refused(attack, kernel):
    script = """
    link("/work", "/proc/self/cwd/../../proc/thread-self/fd")
    print(*(run("/bin/cat", "secret", root=root, cwd=f"/work/{fd}", mounts=[Proc()], close_fds=False)
            for fd in range(3, 12)), sep="\\n")
    """
    out = attack.python(kernel + HOLDING + textwrap.dedent(script), attack.root, attack.host)
    assert "the host's secret" not in out
    assert out.count("refused: ") == 9, out


def test_a_working_directory_by_descriptor_lies_under_the_root(attack):
    script = 'print(run("/bin/cat", "secret", root=root, cwd=held))'
    out = attack.python(HOLDING + script, attack.root, attack.host)
    assert out.startswith("refused: "), out


MADE = [
    "Tmpfs('/link/made')",
    "Bind('/etc/passwd', '/link/made')",
    "Dev('/link/dev')",
    "Device('/dev/null', '/link/made')",
    "Directory('/link/made')",
    "Directory('/link/made', 0o777)",
    "Directory('/link')",
    "Symlink('/', '/link/made')",
    "Overlay('/link/made', ['/etc'], temporary=True)",
    "Sys('/link/made')",
]


@BOTH
@pytest.mark.parametrize("mount", MADE)
def test_a_mount_point_below_such_a_link_is_not_made(attack, kernel, mount):
    script = f"""
    out = []
    for fd in range(3, 12):
        link("/link", f"/proc/self/fd/{{fd}}")
        out.append(run("/bin/true", root=root, mounts=[Proc(), {mount}], close_fds=False))
    print(*out, sep="\\n")
    """
    out = attack.python(kernel + HOLDING + textwrap.dedent(script), attack.root, attack.host)
    assert attack.changes == []
    assert out.count("refused: ") == 9, out


@BOTH
def test_ordinary_links_lead_where_they_lead_in_the_root(attack, kernel):
    script = """
    for name, target in {"absolute": "/etc", "up": "../../../../etc", "twice": "absolute"}.items():
        link("/" + name, target)
    for name in ("absolute", "up", "twice", "absolute/../etc/./"):
        print(run("/bin/pwd", root=root, cwd="/" + name, mounts=[Tmpfs("/" + name.split("/")[0] + "/made")]))
    link("/round", "round")
    print(run("/bin/pwd", root=root, cwd="/round"))
    print(run("/bin/pwd", root=root, cwd="/proc", mounts=[Proc()]))
    """
    out = attack.python(kernel + HOLDING + textwrap.dedent(script), attack.root, attack.host).splitlines()
    assert out[:4] == ["/etc|0"] * 4
    assert out[4].startswith("refused: ")
    assert out[5:] == ["/proc|0"]


def test_the_command_does_not_start_outside_of_the_root(attack):
    for fd in range(3, 9):
        link = attack.root / f"work{fd}"
        link.symlink_to(f"/proc/self/fd/{fd}")
        done = attack.command("run", "--root", attack.root, "--workdir", f"/work{fd}", "--", "pwd")
        assert done.returncode == 125, done.stdout


@contextlib.contextmanager
def descriptor_of(folder):
    """A descriptor that the commands inherit."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def test_unshare_enters_no_folder_by_such_a_link(attack_by_root):
    attack = attack_by_root
    proc = attack.command("unshare", "-fpm", "-R", attack.root, "--mount-proc", "--wd", "/etc", "sh", "-c", "pwd; ps")
    assert proc.stdout.splitlines()[0] == "/etc"
    assert "    1 " in proc.stdout
    with descriptor_of(attack.host) as fd:
        (attack.root / "work").symlink_to(f"/proc/self/fd/{fd}")
        script = f'mount --rbind /proc {attack.root}/proc && exec "$@"'
        options = ["-R", attack.root, "--wd", "/work", "cat", "secret"]
        done = attack.command("unshare", *options, before=["unshare", "-m", "sh", "-c", script, "-"], pass_fds=[fd])
    assert (done.returncode, "secret\n" in done.stdout) == (1, False), done.stdout


def test_nsenter_enters_no_folder_by_such_a_link(attack_by_root):
    attack = attack_by_root
    words = ["unshare", "-m", "sh", "-c", "echo ready; exec sleep 60"]
    with descriptor_of(attack.host) as fd, subprocess.Popen(words, stdout=subprocess.PIPE) as container:
        (attack.root / "work").symlink_to(f"/proc/self/fd/{fd}")
        assert container.stdout.readline() == b"ready\n"
        target = ["-t", container.pid, "-m", "-W"]
        assert attack.command("nsenter", *target, attack.root / "etc", "pwd").stdout == f"{attack.root}/etc\n"
        done = attack.command("nsenter", *target, attack.root / "work", "cat", "secret", pass_fds=[fd])
        container.kill()
    assert (done.returncode, "secret\n" in done.stdout) == (1, False), done.stdout


def test_nsenter_leaves_no_working_directory_outside_of_the_root(attack_by_root):
    done = attack_by_root.command("nsenter", "-t", os.getpid(), f"-r{attack_by_root.root}", "sh", "-c", "pwd; ls")
    assert done.stdout.splitlines()[0] == "/", done.stdout
    assert "root" not in done.stdout.split()


def test_a_process_that_joins_a_container_enters_no_folder_by_such_a_link(attack_by_root):
    attack = attack_by_root
    script = """
    link("/work", f"/proc/self/fd/{held}")
    with open(f"/proc/{sys.argv[3]}/ns/mnt") as mounts:
        for cwd in (root + "/etc", root + "/work"):
            print(run("/bin/sh", "-c", "pwd; cat secret", namespaces=0, join=[(mounts.fileno(), 0)], cwd=cwd, close_fds=False))
    """
    words = ["unshare", "-m", "sh", "-c", "echo ready; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as container:
        assert container.stdout.readline() == b"ready\n"
        out = attack.python(HOLDING + textwrap.dedent(script), attack.root, attack.host, container.pid).splitlines()
        container.kill()
    assert out[0] == f"{attack.root}/etc"
    assert out[-1].startswith("refused: ")
