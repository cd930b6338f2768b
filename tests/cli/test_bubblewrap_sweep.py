"""`kthreads run` beside bubblewrap: the same case with the options of each, and the same output and status.

Where the two are to differ, docker's way is ours, and tests of its own say so: a program that is not found is 127 rather than
1, what is wrong with the container is 125 rather than 1, and mounts of upper folders come first whatever their order.
"""

from __future__ import annotations

import os
import platform
import signal
import struct
import subprocess
from typing import NamedTuple

import pytest
from containers import PATIENCE, container_tests, forked
from process_runs import isolated, tool

pytestmark = [*container_tests, isolated, tool("bwrap")]


@pytest.fixture(autouse=True)
def hangups_end_programs():
    """Bubblewrap's program ignores the signals that its starter ignores, such as nohup's; ours does not, as docker's."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


CAPABILITIES = "grep -E '^Cap(Prm|Eff|Inh)' /proc/self/status"
FLAGS = "grep ' /mnt' /proc/self/mountinfo | cut -d' ' -f5,6 | sed 's/,relatime//'"


class Case(NamedTuple):
    """What is run, and with which options of each: {host} is a folder of the host, with `file` and `folder/inner` in it."""

    script: str
    theirs: str = ""
    ours: str = ""


SAME_WORDS = [
    ("hostname", "--hostname box"),
    ("cut -d' ' -f7 /proc/self/stat", "--new-session"),
    ("echo hidden > /dev/null", "--die-with-parent"),
]

CASES = [
    # Binds.
    Case("cat /mnt/file; echo new > /mnt/new; cat /mnt/new", "--bind {host} /mnt", "--bind {host}:/mnt"),
    Case("cat /mnt/file; touch /mnt/x 2>/dev/null; echo $?", "--ro-bind {host} /mnt", "--ro-bind {host}:/mnt"),
    Case("cat /mnt/f; ls /mnt", "--bind {host}/file /mnt/f", "--bind {host}/file:/mnt/f"),
    Case("cat /mnt/f; echo x 2>&1 > /mnt/f || echo no", "--ro-bind {host}/file /mnt/f", "--ro-bind {host}/file:/mnt/f"),
    Case("ls /mnt", "--bind-try {host}/none /mnt", "--bind-try {host}/none:/mnt"),
    Case("ls /mnt", "--ro-bind-try {host}/none /mnt", "--ro-bind-try {host}/none:/mnt"),
    Case("ls /mnt", "--dev-bind-try {host}/none /mnt", "--dev-bind-try {host}/none:/mnt"),
    Case("ls /mnt", "--bind-try {host} /mnt", "--bind-try {host}:/mnt"),
    Case("ls /mnt; ls /mnt/a", "--bind {host} /mnt/a/b/c", "--bind {host}:/mnt/a/b/c"),
    Case("ls /mnt/folder", "--bind {host} /mnt --tmpfs /mnt/folder", "--bind {host}:/mnt --tmpfs /mnt/folder"),
    Case("ls /mnt", "--tmpfs /mnt --bind {host} /mnt", "--tmpfs /mnt --bind {host}:/mnt"),
    Case("ls /mnt", "--bind {host} /mnt --tmpfs /mnt", "--bind {host}:/mnt --tmpfs /mnt"),
    Case("ls /mnt", "--bind {host}/folder /mnt --ro-bind {host} /mnt", "-v {host}/folder:/mnt -v {host}:/mnt:ro"),
    Case("ls /mnt/m; touch /mnt/x", "--ro-bind {host} /mnt/m", "--ro-bind {host}:/mnt/m"),
    Case("echo x > /mnt/null; test -c /mnt/null", "--dev-bind /dev /mnt", "--dev-bind /dev:/mnt"),
    Case("echo x 2>&1 > /mnt/null || echo no", "--bind /dev /mnt", "--bind /dev:/mnt"),
    Case("test -c /dev/void && echo x > /dev/void", "--dev-bind /dev/null /dev/void", "--device /dev/null:/dev/void"),
    Case(FLAGS, "--bind {host} /mnt", "--bind {host}:/mnt"),
    Case(FLAGS, "--ro-bind {host} /mnt", "--ro-bind {host}:/mnt"),
    Case("readlink /mnt/link; cat /mnt/link", "--bind {host} /mnt", "--bind {host}:/mnt"),
    # Folders, links and file systems in memory.
    Case("touch /mnt/x; ls /mnt; stat -c %a /mnt", "--tmpfs /mnt", "--tmpfs /mnt"),
    Case("stat -c %a /mnt", "--perms 1777 --tmpfs /mnt", "--tmpfs /mnt:mode=1777"),
    Case("stat -c %a /mnt", "--perms 0700 --tmpfs /mnt", "--tmpfs /mnt:mode=0700"),
    Case("df -k /mnt | tail -1 | awk '{print $2}'", "--size 65536 --tmpfs /mnt", "--tmpfs /mnt:size=64k"),
    Case("df -k /mnt | tail -1 | awk '{print $2}'", "--size 1048576 --tmpfs /mnt", "--tmpfs /mnt:size=1M"),
    Case(FLAGS, "--tmpfs /mnt", "--tmpfs /mnt"),
    Case("stat -c %a /mnt/a /mnt/a/b", "--tmpfs /mnt --dir /mnt/a/b", "--tmpfs /mnt --dir /mnt/a/b"),
    Case("stat -c %a /mnt/a", "--tmpfs /mnt --perms 0711 --dir /mnt/a", "--tmpfs /mnt --dir /mnt/a:mode=711"),
    Case("stat -c %a /mnt/folder", "--bind {host} /mnt --dir /mnt/folder", "--bind {host}:/mnt --dir /mnt/folder"),
    Case("readlink /mnt/l", "--tmpfs /mnt --symlink a/b /mnt/l", "--tmpfs /mnt --symlink a/b:/mnt/l"),
    Case("readlink /mnt/d/l", "--tmpfs /mnt --symlink /x /mnt/d/l", "--tmpfs /mnt --symlink /x:/mnt/d/l"),
    Case(
        "cd /mnt/l; ls; pwd -P",
        "--bind {host} /mnt/h --symlink h/folder /mnt/l",
        "--bind {host}:/mnt/h --symlink h/folder:/mnt/l",
    ),
    # Environment and folder.
    Case("env | sort", "--setenv A 1", "-e A=1"),
    Case("env | sort", "--setenv A 1 --setenv A 2", "-e A=1 -e A=2"),
    Case("env | sort", "--setenv A 1 --unsetenv A", "-e A=1 -e A"),
    Case("env | sort", "--setenv A x=y", "-e A=x=y"),
    Case("pwd; ls", "--bind {host} /mnt --chdir /mnt/folder", "--bind {host}:/mnt --chdir /mnt/folder"),
    Case("pwd -P", "--chdir /mnt/..", "--chdir /mnt/.."),
    # Users and capabilities.
    Case("id -u; id -g", "--uid 5 --gid 6", "--user 5:6"),
    Case("id -u; id -g", "--uid 2147483647 --gid 1", "--user 2147483647:1"),
    Case("touch /mnt/x; stat -c %u:%g /mnt/x", "--tmpfs /mnt --uid 5 --gid 6", "--tmpfs /mnt --user 5:6"),
    Case("cat /proc/self/uid_map /proc/self/gid_map", "--uid 5 --gid 6", "--user 5:6"),
    Case(CAPABILITIES, "--uid 5", "--user 5:0"),
    Case(CAPABILITIES, "--cap-add CAP_NET_RAW", "--cap-add CAP_NET_RAW"),
    Case(CAPABILITIES, "--cap-add CAP_NET_RAW --cap-add CAP_CHOWN", "--cap-add CAP_NET_RAW,chown"),
    Case(CAPABILITIES, "--cap-drop ALL --cap-add CAP_KILL", "--cap-drop all --cap-add kill"),
    Case(
        "unshare -U true 2>/dev/null && echo made || echo none", "--unshare-user --disable-userns", "--disable-userns"
    ),
    # Processes, and how they end.
    Case("echo $$; ls -d /proc/[0-9]*", "--as-pid-1", "--no-init"),
    Case("(sleep 0; exec true) & wait; exit 4"),
    Case("exit 255"),
    Case("kill -TERM $$"),
    Case("kill -HUP $$"),
    Case("kill -KILL $$"),
    Case("kill -ABRT $$"),
    Case("ls -l /proc/self/fd | wc -l"),
    Case("cat; echo end"),
    Case("umask; ulimit -n; nice"),
    Case("grep -E 'NoNewPrivs|SigBlk|SigIgn' /proc/self/status"),
    Case("ls /dev | grep -v -e console -e core; ls -l /dev/fd /dev/ptmx | sed 's/.*-> //'"),
    Case("ip -o addr show lo | grep -o 'inet [0-9./]*'; ip -o link | wc -l"),
    *(Case(script, words, words if words != "--die-with-parent" else "") for script, words in SAME_WORDS),
]


def bubblewrap(root, options, words, *, text="", fds=()):
    return subprocess.run(
        ["bwrap", "--unshare-all", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--cap-drop", "ALL"]
        + ["--uid", "0", "--gid", "0", "--clearenv", "--setenv", "PATH", "/bin", *options, "--", *words],
        cwd="/",
        timeout=PATIENCE,
        capture_output=True,
        input=text,
        text=True,
        check=False,
        pass_fds=fds,
    )


def ours(root, options, words, *, text="", fds=()):
    for fd in fds:
        os.set_inheritable(fd, True)
    settings = ["--root", root, "--userns", "--clear-env", "-e", "PATH=/bin"]
    return forked("run", *settings, *options, "--", *words, text=text)


@pytest.fixture
def host(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("inner\n")
    (tmp_path / "file").write_text("text\n")
    (tmp_path / "link").symlink_to("folder/inner")
    return tmp_path


@pytest.fixture
def clean_root(root):
    """A root in which a case leaves nothing for the next."""
    yield root
    subprocess.run(["find", root / "mnt", "-mindepth", "1", "-delete"], check=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.theirs} {case.script}"[:70])
def test_output_and_status_are_bubblewrap_s(clean_root, host, case):
    words = ["sh", "-c", case.script]
    options = [text.format(host=host).split() for text in (case.theirs, case.ours)]
    theirs = bubblewrap(clean_root, options[0], words, text="input\n")
    subprocess.run(
        ["find", clean_root / "mnt", host / "new", "-mindepth", "1", "-delete"], capture_output=True, check=False
    )
    found = ours(clean_root, options[1], words, text="input\n")
    assert (found.stdout, found.returncode) == (theirs.stdout, theirs.returncode), (theirs, found)


REFUSED = [
    ("--bind {host}/none /mnt", "--bind {host}:{host}/none/x:/mnt"),
    ("--bind {host}/none /mnt", "--bind {host}/none:/mnt"),
    ("--ro-bind {host}/none /mnt", "--ro-bind {host}/none:/mnt"),
    ("--chdir /no/such", "--chdir /no/such"),
    ("--uid -1", "--user -1"),
    ("--uid x", "--user x"),
    ("--perms 888 --tmpfs /mnt", "--tmpfs /mnt:mode=888"),
    ("--size 0 --tmpfs /mnt", "--tmpfs /mnt:size=0"),
    ("--size x --tmpfs /mnt", "--tmpfs /mnt:size=x"),
    ("--info-fd x", "--info-fd x"),
    ("--cap-add CAP_NONE", "--cap-add CAP_NONE"),
    ("--seccomp 99", "--seccomp 99"),
    ("--no-such-option", "--no-such-option"),
    ("--symlink a /bin/sh", "--symlink a:/bin/sh"),
    ("--bind {host} /bin/sh", "--bind {host}:/bin/sh"),
    ("--dir /bin/sh", "--dir /bin/sh"),
]


@pytest.mark.parametrize("options", REFUSED, ids=lambda options: options[1])
def test_what_bubblewrap_refuses_is_refused(root, host, options):
    theirs, found = (
        tool(root, text.format(host=host).split(), ["echo", "begun"])
        for tool, text in zip((bubblewrap, ours), options, strict=True)
    )
    assert (theirs.stdout, bool(theirs.returncode)) == ("", True)
    assert (found.stdout, found.returncode) == ("", 125)
    assert found.stderr.splitlines()[-1].startswith("kthreads run: ")


def told(tool, root, option, script):
    """What a tool writes to a descriptor that an option names."""
    reader, writer = os.pipe()
    with open(reader) as file:
        try:
            tool(root, [option, str(writer)], ["sh", "-c", script], fds=[writer])
        finally:
            os.close(writer)
        return [line.strip() for line in file]


def shape(lines):
    """Lines of JSON with each number as 0, but that of an exit status."""
    return [
        "".join(
            "0" if part.isdigit() and "exit-code" not in line else part for part in line.replace(",", " ,").split(" ")
        )
        for line in lines
    ]


@pytest.mark.parametrize("option", ["--info-fd", "--json-status-fd"])
@pytest.mark.parametrize("script", ["exit 3", "kill -KILL $$", "true"])
def test_what_is_told_has_bubblewrap_s_shape(root, option, script):
    assert shape(told(ours, root, option, script)) == shape(told(bubblewrap, root, option, script))


@pytest.mark.parametrize("tool", [bubblewrap, ours])
def test_a_filter_of_system_calls_is_read_from_a_descriptor(root, tool, tmp_path):
    number = 83 if platform.machine() == "x86_64" else 34  # mkdir, mkdirat
    program = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    (tmp_path / "filter").write_bytes(b"".join(struct.pack("=HBBI", *each) for each in program))
    with open(tmp_path / "filter", "rb") as file:
        fd = file.fileno()
        script = "mkdir /mnt/x 2>/dev/null; echo $?; touch /mnt/y; echo $?"
        done = tool(root, ["--tmpfs", "/mnt", "--seccomp", str(fd)], ["sh", "-c", script], fds=[fd])
    assert done.stdout.split() == ["1", "0"]


@pytest.mark.parametrize("tool", [bubblewrap, ours])
@pytest.mark.parametrize("data", [b"x", b""], ids=["data", "end"])
def test_the_program_begins_when_the_block_fd_can_be_read(root, tool, data):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    try:
        done = tool(root, ["--block-fd", str(reader)], ["echo", "begun"], fds=[reader])
    finally:
        os.close(reader)
    assert (done.stdout, done.returncode) == ("begun\n", 0)
