"""Options of `kthreads unshare` that util-linux 2.38 lacks, and values that no option takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from ordinary import kthreads_as

from kthreads.cli.main import main
from kthreads.namespaces import list_namespaces

KTHREADS = [sys.executable, "-m", "kthreads"]
UNSHARE = [*KTHREADS, "unshare"]

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need CAP_SYS_ADMIN"),
]


def run(*words, **options):
    done = subprocess.run(
        [*UNSHARE, *words], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL, **options
    )
    return done.returncode, done.stdout, done.stderr


def run_as(uid, *words, **options):
    """The same as an ordinary user."""
    command = [*kthreads_as(uid), "unshare", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout, done.stderr


# ---- Bad values ------------------------------------------------------------------------------------------------------

NO_IDS = ["", "x", "-1", "4294967295", "4294967296", "99999999999", "9" * 5000, "0x10", "1_0", "1.5", "\u0661"]


@pytest.mark.parametrize(
    "word",
    [f"{option}={value[:12]}" for option in ("--setuid", "--setgid", "--map-user", "--map-group") for value in NO_IDS]
    + [f"--setuid={'9' * 5000}", "--setuid=root", "--setgid=root"]
    + [f"--owner={value}" for value in ("", "1", "1:", ":1", "1:2:3", "-1:0", "0:4294967295", "root:root")]
    + [f"--kill-child={value}" for value in ("", "0", "9", "NOTHING", "RTMIN", "RTMIN+99", "RTMAX-99", "SIG")]
    + [f"--{clock}={value}" for clock in ("monotonic", "boottime") for value in ("", "x", "1.5", str(2**63))]
    + ["--map-users=1,2,0", "--map-groups=0:0:0", "--clear-env=x", "--fork=x", "--propagation=", "--setgroups="],
)
def test_a_value_that_an_option_does_not_take_is_bad_usage(word, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["unshare", word, "true"])
    assert exit_.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert (len(said), said[0].split()[0]) == (2, "usage:")


@pytest.mark.parametrize("options", [["--uts="], ["--wd="], ["--root="], ["--mount-proc="], ["--mount-proc=", "-R/"]])
def test_an_empty_name_names_no_file(options):
    status, _, error = run(*options, "true")
    assert status == 1
    assert "No such file or directory: ''" in error


@pytest.mark.parametrize("option", ["--map-auto", "--map-subids", "--map-users=auto", "--map-groups=subids"])
def test_who_has_no_entry_in_passwd_has_no_range(option):
    status, _, error = run_as(4242, option, "true")
    assert status == 1
    assert "user 4242 has no entry in /etc/passwd" in error
    assert "Traceback" not in error


def test_who_has_no_entry_in_passwd_gets_a_shell():
    environment = {name: value for name, value in os.environ.items() if name != "SHELL"}
    assert run_as(4242, env=environment, input="echo $0\n")[:2] == (0, "-sh\n")


def test_a_deleted_working_directory_is_no_hindrance(tmp_path):
    script = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    command = ["sh", "-c", script, "sh", *UNSHARE, "-u", "-f", "echo", "here"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "here\n")


# ---- Namespaces that are kept, and the child -------------------------------------------------------------------------


def test_a_program_does_not_begin_where_its_namespace_cannot_be_kept(tmp_path):
    status, output, error = run(f"--uts={tmp_path}/none", "--fork", "echo", "begun")
    assert (status, output) == (1, "")
    assert f"{tmp_path}/none" in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_forwarded_signals_reach_the_child(number):
    script = f"trap 'echo got; exit 3' {number.name[3:]}; echo ready; read line"
    with subprocess.Popen(
        [*UNSHARE, "--forward-signals", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == b"got\n"
        assert process.wait(timeout=60) == 3


def test_signals_are_not_forwarded_otherwise():
    script = "trap 'echo got; exit 3' TERM; echo ready; read line"
    with subprocess.Popen(
        [*UNSHARE, "--fork", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("name", ["TERM", "sigterm", "RTMIN+1", "RT2", "rtmax-3"])
def test_a_signal_is_named_as_unshare_names_it(name):
    assert run(f"--kill-child={name}", "true")[0] == 0


# ---- Users and capabilities ------------------------------------------------------------------------------------------


def test_ranges_are_mapped_in_the_order_of_their_options():
    words = ["--map-users=0:0:10", "--map-users=20,10,5", "-r", "cat", "/proc/self/uid_map"]
    rows = [line.split() for line in run(*words)[1].splitlines()]
    assert rows == [["0", "0", "1"], ["1", "1", "9"], ["10", "20", "5"]]


def test_all_ids_can_be_mapped_to_themselves():
    with open("/proc/self/uid_map") as file:
        own = [(int(first), int(first), int(count)) for first, _, count in map(str.split, file)]
    status, output, _ = run("--map-users=all", "cat", "/proc/self/uid_map")
    assert (status, [tuple(map(int, line.split())) for line in output.splitlines()]) == (0, own)


def test_a_user_namespace_can_belong_to_another_user():
    words = [
        "--owner",
        "1234:1235",
        "--map-user=7",
        "--map-group=8",
        "sh",
        "-c",
        "cat /proc/self/[ug]id_map; read line",
    ]
    with subprocess.Popen([*UNSHARE, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        maps = [process.stdout.readline().split() for _ in range(2)]
        owners = {each.uid for each in list_namespaces(process.pid) if each.kind == "user"}
        process.communicate()
    assert maps == [["8", "0", "1"], ["7", "0", "1"]]
    assert owners == {1234}


def capabilities(*words):
    status = run(*words, "cat", "/proc/self/status")[1]
    return {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}


def test_a_program_of_another_user_keeps_its_capabilities_on_request():
    without, with_them = (capabilities("--map-user=7", *words) for words in ([], ["--keep-caps"]))
    assert without["CapEff:"] == 0
    assert with_them["CapEff:"] == with_them["CapAmb:"] == with_them["CapBnd:"] != 0


def test_capabilities_are_kept_with_a_user_namespace_alone():
    assert capabilities("--keep-caps", "-u")["CapAmb:"] == 0


# ---- The environment -------------------------------------------------------------------------------------------------


def test_the_environment_can_be_cleared():
    assert run("--clear-env", "env", env={**os.environ, "COLOUR": "blue"})[:2] == (0, "")


def test_the_environment_can_be_cleared_but_for_some():
    environment = {**os.environ, "COLOUR": "blue", "SHAPE": "round", "TASTE": "sweet"}
    words = ["--whitelist-env=COLOUR,NONE", "--clear-env", "--whitelist-env", "SHAPE", "env"]
    status, output, _ = run(*words, env=environment)
    assert (status, sorted(output.split())) == (0, ["COLOUR=blue", "SHAPE=round"])


def test_the_environment_can_be_cleared_for_a_program_in_a_root():
    assert run("--clear-env", "--root=/", "env")[:2] == (0, "")


def test_a_cleared_environment_names_no_shell():
    done = subprocess.run(
        [*UNSHARE, "--clear-env"], input="echo $0", capture_output=True, text=True, env={"SHELL": "/none"}, check=False
    )
    assert (done.returncode, done.stdout[:1]) == (0, "-")


@pytest.mark.parametrize("command", ["unshare", "nsenter"])
@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_printed(command, option, capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit) as exit_:
        main([command, option])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"kthreads {command} {version('kthreads')}\n"
