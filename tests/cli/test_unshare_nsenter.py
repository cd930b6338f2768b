"""`kthreads unshare` and `nsenter` beside the tools of util-linux: same ids, names, mounts, interfaces, exit statuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from kthreads.cli.parser import Parser
from kthreads.cli.unshare import _Ranges

KTHREADS = [sys.executable, "-m", "kthreads"]

pytestmark = [
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


def both(tool, *arguments):
    """What the real tool and ours answer: exit status and output."""
    theirs, ours = run([tool], *arguments), run([*KTHREADS, tool], *arguments)
    return theirs[:2], ours[:2]


# ---- unshare ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["-u", "sh", "-c", "hostname there; hostname"],
        ["--uts", "--", "sh", "-c", "hostname there; hostname"],
        ["-n", "cat", "/proc/net/dev"],
        ["-i", "sh", "-c", "ipcs -q | wc -l"],
        ["-m", "sh", "-c", "mount -t tmpfs none /mnt && ls /mnt | wc -l"],
        ["-m", "sh", "-c", "grep -c shared: /proc/self/mountinfo"],
        ["-m", "--propagation", "shared", "sh", "-c", "grep -c shared: /proc/self/mountinfo"],
        ["-m", "--propagation=slave", "sh", "-c", "grep -c master: /proc/self/mountinfo"],
        ["-p", "-f", "sh", "-c", "echo $$"],
        ["-fp", "--mount-proc", "sh", "-c", "ls /proc | grep '^[0-9]' | head -1; echo $$"],
        ["-p", "sh", "-c", "readlink /proc/self/ns/pid >/dev/null; sh -c 'echo $$'"],
        ["-C", "cat", "/proc/self/cgroup"],
        ["-T", "-f", "--boottime", "100000000", "sh", "-c", "cut -c1-3 /proc/uptime"],
        ["-T", "-f", "--monotonic=1000", "tail", "-n", "+1", "/proc/self/timens_offsets"],
        ["-U", "id", "-u"],
        ["-r", "sh", "-c", "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups"],
        ["-c", "sh", "-c", "id -u; id -g"],
        ["--map-user=5", "--map-group", "60", "sh", "-c", "id -u; id -g"],
        ["--map-user", "daemon", "id", "-u"],
        ["--map-users=nonsense", "true"],
        ["-U", "--setgroups", "deny", "cat", "/proc/self/setgroups"],
        ["-r", "-S", "0", "id", "-u"],
        ["-S", "7", "-G", "8", "sh", "-c", "id -u; id -g; id -G"],
        ["-w", "/usr", "pwd"],
        ["-R", "/usr", "-w", "/bin", "/bin/pwd"],
        ["-R/", "pwd"],
        ["sh", "-c", "exit 3"],
        ["-f", "sh", "-c", "exit 4"],
        ["-f", "sh", "-c", "kill -TERM $$"],
        ["no-such-program"],
        ["-f", "no-such-program"],
        ["/etc/passwd"],
        ["--no-such-option"],
        ["-Z"],
        ["--setgroups", "perhaps", "true"],
        ["--map-user=nobody-of-that-name", "true"],
        ["--monotonic", "5", "true"],
        ["-r", "--setgroups", "allow", "true"],
        ["-R", "/no/such/directory", "true"],
        ["--kill-child=NONSENSE", "true"],
        ["--propagation", "sideways", "true"],
    ],
    ids=" ".join,
)
def test_unshare_does_what_unshare_does(arguments):
    theirs, ours = both("unshare", *arguments)
    assert ours == theirs


@pytest.mark.parametrize("kind", ["uts", "net", "ipc", "pid", "cgroup", "mnt", "user"])
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
    program = (
        "import os, sys; from kthreads.cli.main import main; from kthreads.cli import system, unshare; "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); "
        "system._prctl(4, 1, 0, 0, 0); "  # PR_SET_DUMPABLE, as after an exec: /proc/self is ours
        "sys.exit(main())"
    )
    script = "id -u; id -g; cat /proc/self/setgroups; hostname there; hostname"
    status, output, error = run([sys.executable, "-c", program, "unshare", "-r", "-u"], "sh", "-c", script)
    if "user namespace" in error:
        pytest.skip("user namespaces are not allowed to all here")
    assert (status, output.split()) == (0, ["0", "0", "deny", "there"])


def test_without_privilege_the_status_is_1_and_the_message_says_what_is_missing():
    program = (
        "import os, sys; from kthreads.cli.main import main; import kthreads.cli.unshare; os.setgid(65534); "
        "os.setuid(65534); sys.exit(main())"
    )
    status, _, error = run([sys.executable, "-c", program, "unshare", "-n", "true"])
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


@pytest.mark.parametrize(
    ("ranges", "single", "rows"),
    [
        ("0:1000:10", None, ((0, 1000, 10),)),
        ("0:1000:10", 0, ((0, 7, 1), (1, 1000, 10))),
        ("0:1000:10", 4, ((0, 1000, 4), (4, 7, 1), (5, 1004, 6))),
        ("0:1000:10", 20, ((0, 1000, 10), (20, 7, 1))),
        ("100:1000:10", 0, ((0, 7, 1), (100, 1000, 10))),
        ("1000,100,10", None, ((100, 1000, 10),)),
    ],
)
def test_one_s_own_id_is_put_into_a_range(ranges, single, rows):
    assert _Ranges("uid", ranges).with_own(single, 7) == rows


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


WHERE = "for kind in mnt uts ipc net pid user cgroup; do readlink /proc/self/ns/$kind; done"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-t", "TARGET", "-a", "sh", "-c", f"hostname; id -u; id -G; pwd; {WHERE}"],
        ["--target=TARGET", "--all", "--preserve-credentials", "id", "-u"],
        ["-t", "TARGET", "-u", "hostname"],
        ["-t", "TARGET", "-n", "cat", "/proc/net/dev"],
        ["-t", "TARGET", "-m", "sh", "-c", "ls /proc | grep -c '^[0-9]'"],
        ["-t", "TARGET", "-p", "-m", "sh", "-c", "readlink /proc/self/ns/pid; exit 5"],
        ["-t", "TARGET", "-p", "-F", "readlink", "/proc/self/ns/pid"],
        ["-t", "TARGET", "-i", "-C", "sh", "-c", WHERE],
        ["-t", "TARGET", "-U", "sh", "-c", "id -u; id -g"],
        ["-t", "TARGET", "-U", "-S", "0", "-G", "0", "sh", "-c", "id -u; id -g"],
        ["-t", "TARGET", "-u", "-S", "7", "-G", "8", "sh", "-c", "id -u; id -g; id -G"],
        ["-t", "TARGET", "-u", "-w", "pwd"],
        ["-t", "TARGET", "-m", "-w/usr", "pwd"],
        ["-t", "TARGET", "-m", "-W", "/proc", "pwd"],
        ["-t", "TARGET", "-m", "-r", "sh", "-c", "ls -d /proc/self"],
        ["-t", "TARGET", "-u", "--root=/usr", "/bin/ls", "/"],
        ["--uts=/proc/TARGET/ns/uts", "hostname"],
        ["-u/proc/TARGET/ns/uts", "hostname"],
        ["--net=/proc/TARGET/ns/net", "--uts=/proc/TARGET/ns/uts", "sh", "-c", WHERE],
        ["-t", "TARGET", "-a", "sh", "-c", "kill -TERM $$"],
        ["-t", "TARGET", "-u", "no-such-program"],
        ["-t", "TARGET", "-u", "/etc/passwd"],
        ["-u", "true"],
        ["-a", "true"],
        ["-t", "4194305", "-u", "true"],
        ["-t", "4194305", "-a", "true"],
        ["-t", "nonsense", "-a", "true"],
        ["--uts=/no/such/file", "true"],
        ["--uts=/proc/TARGET/ns/net", "true"],
        ["--no-such-option"],
    ],
    ids=" ".join,
)
def test_nsenter_does_what_nsenter_does(arguments, target):
    theirs, ours = both("nsenter", *(word.replace("TARGET", str(target)) for word in arguments))
    assert ours == theirs


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
