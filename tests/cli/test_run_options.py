"""The options of `kthreads run` that set up what its program finds: files, environment, privileges and limits."""

from __future__ import annotations

import os
import sys

import pytest
from containers import container_tests, inside, run
from process_runs import isolated

from kthreads import CloneFlags, Process
from kthreads.cli.main import main
from kthreads.mounts import Bind

pytestmark = container_tests


@pytest.fixture
def refusal(capsys):
    """What is said of options that are refused."""

    def run_command(*options):
        with pytest.raises(SystemExit) as end:
            sys.exit(main(["run", *map(str, options), "--", "true"]))
        assert end.value.code == 125
        return capsys.readouterr().err.splitlines()[-1]

    return run_command


# ---- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-v", "--bind", "--volume"])
def test_a_bind_has_the_names_of_docker_and_bubblewrap(root, tmp_path, option):
    inside(root, "echo text > /mnt/file", option, f"{tmp_path}:/mnt")
    assert (tmp_path / "file").read_text() == "text\n"


@isolated
@pytest.mark.parametrize(
    "options",
    [
        ["--ro-bind", "{}:/mnt"],
        ["--ro-bind", "{}:/mnt:rw"],
        ["--ro-bind-try", "{}:/mnt"],
        ["-v", "{}:/mnt:ro"],
        ["--mount", "type=bind,src={},dst=/mnt,ro"],
        ["--mount", "source={},destination=/mnt,readonly=true"],
    ],
    ids=" ".join,
)
def test_a_read_only_bind_cannot_be_written(root, tmp_path, options):
    done = run("--root", root, *(word.format(tmp_path) for word in options), "--", "touch", "/mnt/file")
    assert (done.returncode, "Read-only" in done.stderr) == (1, True)


@pytest.mark.parametrize("option", ["--bind-try", "--ro-bind-try", "--dev-bind-try"])
def test_a_bind_that_is_tried_may_have_no_source(root, tmp_path, option):
    assert inside(root, "ls /mnt", option, f"{tmp_path}/missing:/mnt/missing") == ""


@pytest.fixture
def files(tmp_path):
    """A folder with a file of user 1000 and group 1001, on a file system that can map ids."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 1000, 1001)
    try:
        with Process(
            ["true"], namespaces=CloneFlags.NEWNS, mounts=[Bind(tmp_path, "/mnt", uid_map=[(0, 1, 1)])]
        ) as process:
            process.wait()
    except OSError as error:
        pytest.skip(f"no mapped ids here: {error}")
    return tmp_path


@isolated
@pytest.mark.parametrize(
    ("option", "seen"),
    [
        ("idmap=uids=0-5-1#1000-7-9;gids=1001-8-1", "7:8"),
        ("idmap=uids=1000-7-1", "7:1001"),
        ("ro", "1000:1001"),
    ],
)
def test_a_bind_shows_files_with_ids_that_are_asked_for(root, files, option, seen):
    mount = ["--mount", f"type=bind,src={files},dst=/mnt,{option}"]
    assert inside(root, "stat -c %u:%g /mnt/file", *mount) == f"{seen}\n"


@isolated
@pytest.mark.parametrize("option", [["-v", "{}:/mnt:idmap"], ["--mount", "type=bind,src={},dst=/mnt,idmap"]])
def test_a_bind_shows_files_with_the_ids_of_the_user_namespace(root, files, option):
    os.chown(files / "file", 5, 5)
    words = [word.format(files) for word in option]
    # User 5 inside is user 0 outside, as there is but one.
    assert inside(root, "stat -c %u:%g /mnt/file", "--userns", "--user", "5:5", *words) == "5:5\n"


def test_a_path_with_a_colon_is_bound_by_the_long_form(root, tmp_path):
    source = tmp_path / "a:b, c"
    source.mkdir()
    (source / "file").write_text("text\n")
    option = f'type=bind,"src={source}",dst=/mnt/d:e'
    assert inside(root, "cat /mnt/d:e/file", "--mount", option, "--tmpfs", "/mnt") == "text\n"


def test_a_mount_of_an_upper_folder_does_not_hide_one_that_was_given_before_it(root, tmp_path):
    (tmp_path / "file").write_text("text\n")
    options = ["--bind", f"{tmp_path}:/mnt/a", "--tmpfs", "/mnt"]
    assert inside(root, "cat /mnt/a/file", *options) == "text\n"


@pytest.mark.parametrize(
    "option", [["--tmpfs", "/mnt:size=1m,mode=1750"], ["--mount", "type=tmpfs,dst=/mnt,size=1m,mode=1750"]]
)
def test_a_tmpfs_has_a_size_and_a_mode(root, option):
    script = "stat -c %a /mnt; head -c 2m /dev/zero 2>/dev/null > /mnt/file; wc -c < /mnt/file"
    assert inside(root, f"{script} 2>/dev/null", *option).split() == ["1750", str(1 << 20)]


@pytest.mark.parametrize("option", ["/dev/null:/dev/void", "/dev/null:/dev/void:rwm"])
def test_a_device_can_be_opened(root, option):
    assert inside(
        root, "echo text > /dev/void; cat /dev/void; test -c /dev/void && echo device", "--device", option
    ) == ("device\n")


def test_a_sys_is_added_and_read_only(root):
    assert inside(root, "ls /sys/class/net; touch /sys/x 2>/dev/null || echo no", "--add-sys") == "lo\nno\n"


def test_folders_and_links_are_made(root):
    options = ["--tmpfs", "/mnt", "--dir", "/mnt/a/b", "--dir", "/mnt/c:mode=1700", "--symlink", "a/b:/mnt/link"]
    assert inside(root, "cd /mnt; test -d a/b; stat -c %a a c; readlink link", *options).split() == [
        "755",
        "1700",
        "a/b",
    ]


def test_what_is_written_over_an_overlay_is_gone_at_the_end(root):
    script = "echo new > /bin/new; rm /bin/ls; echo x > /mnt/x; cat /bin/new; test -e /bin/ls || echo no ls"
    assert inside(root, script, "--overlay") == "new\nno ls\n"
    assert (os.listdir(root / "mnt"), (root / "bin" / "new").exists(), (root / "bin" / "ls").is_symlink()) == (
        [],
        False,
        True,
    )


def test_a_terminal_has_a_name(root):
    assert inside(root, "tty", "--tty") == "/dev/console\n"


# ---- Environment -----------------------------------------------------------------------------------------------------


def environment(root, *options, **variables):
    done = run("--root", root, *options, "--", "env", env={**os.environ, **variables})
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_a_variable_that_the_caller_has_not_is_unset(root):
    seen = environment(root, "-e", "NO_SUCH_VARIABLE=before", "-e", "NO_SUCH_VARIABLE")
    assert ("NO_SUCH_VARIABLE" in seen, "HOME" in seen) == (False, True)


def test_clear_env_leaves_what_is_given(root):
    assert environment(root, "--clear-env", "-e", "A=1") == {"A": "1"}
    done = run("--clear-env", "-e", "A=1", "--", "env")
    assert done.stdout == "A=1\n"


def test_an_env_file_is_read_as_docker_reads_it(root, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbf# comment\n\n  A=1\r\nB='two words'\nC=\nD=x=y # no comment\nPASSED\nUNKNOWN\n")
    seen = environment(root, "--clear-env", "--env-file", file, "-e", "C=3", PASSED="on")
    assert seen == {"A": "1", "B": "'two words'", "C": "3", "D": "x=y # no comment", "PASSED": "on"}


@pytest.mark.parametrize("line", ["=x", "a b=c", "a\tb"])
def test_a_line_of_an_env_file_that_names_no_variable_is_refused(refusal, tmp_path, line):
    file = tmp_path / "file"
    file.write_text(f"A=1\n{line}\n")
    assert "line 2" in refusal("--env-file", file)


# ---- Privileges ------------------------------------------------------------------------------------------------------


def effective(root, *options):
    return int(inside(root, "grep CapEff /proc/self/status", *options).split()[1], 16)


with open("/proc/self/status") as status:
    OURS = int(next(line for line in status if line.startswith("CapPrm")).split()[1], 16)
CHOWN, NET_RAW, SYS_ADMIN = 1 << 0, 1 << 13, 1 << 21


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("--cap-add net_raw", NET_RAW),
        ("--cap-add CAP_NET_RAW,chown", NET_RAW | CHOWN),
        ("--cap-add net_raw --cap-add chown --cap-drop all", NET_RAW | CHOWN),
        ("--cap-drop ALL --cap-add net_raw", NET_RAW),
        ("--cap-drop net_raw,sys_admin --cap-add all", OURS & ~(NET_RAW | SYS_ADMIN)),
        ("--cap-add all", OURS),
        ("--keep-capability all", OURS),
        ("--user 5 --cap-add ALL", OURS),
        ("--cap-drop net_raw", 0),
    ],
)
def test_capabilities_are_kept_as_docker_keeps_them(root, options, kept):
    assert effective(root, *options.split()) == kept


def test_limits_of_processes_are_set(root):
    options = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"]
    assert inside(root, "ulimit -Sn; ulimit -Hn; ulimit -c", *options).split() == ["100", "200", "0"]


def test_settings_of_the_kernel_are_the_container_s(root):
    script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/domainname"
    options = ["--sysctl", "net.ipv4.ip_forward=1", "--domainname", "example"]
    assert inside(root, script, *options).split() == ["1", "example"]


def test_the_program_begins_on_the_cpus_that_are_asked_for(root):
    cpu = max(os.sched_getaffinity(0))
    assert inside(root, "grep Cpus_allowed_list /proc/self/status", "--cpuset-cpus", cpu).split()[1] == str(cpu)


# ---- What is refused -------------------------------------------------------------------------------------------------

TOO_LARGE = "9" * 5000


@pytest.mark.parametrize(
    "options",
    [
        "--cpus 1_000",
        "--cpus nan",
        "--cpus inf",
        "--cpus 1e3",
        "--cpus -1",
        "--cpus 0.001",
        "--memory 0",
        "--memory -1",
        "--memory 9999999999999P",
        f"--memory {TOO_LARGE}",
        "--memory 1_000",
        "--pids 0",
        "--pids 4194305",
        "--pids ²",
        "--pids ٣",
        f"--pids {TOO_LARGE}",
        "--cpuset-cpus 3-1",
        "--cpuset-cpus 0,",
        "--cpuset-cpus 99999",
        "--cpuset-cpus 9999",
        "--tmpfs /x:size=0",
        "--tmpfs /x:mode=888",
        "--tmpfs /x:mode=77777",
        "--tmpfs /x:colour=red",
        "--tmpfs relative",
        "--tmpfs /",
        "--bind /usr:/",
        "--bind /usr:/a:b:c",
        "--bind /usr:/a:fast",
        "--bind :/a",
        "--mount type=volume,dst=/a",
        "--mount type=bind,src=/usr",
        "--mount type=bind,src=/usr,dst=/a,size=3",
        "--mount type=bind,src=/usr,dst=/a,ro=maybe",
        '--mount type=bind,"src=/usr,dst=/a',
        "--mount src=/usr,dst=/a,idmap=uids=0-1",
        "--mount src=/usr,dst=/a,idmap=uids=0-1-x",
        "--mount src=/usr,dst=/a,idmap=uids=0-1-0",
        "--mount src=/usr,dst=/a,idmap=gids=4294967294-1-2",
        "--mount src=/usr,dst=/a,idmap=colour=0-1-1",
        "-v /usr:/a:idmap",
        "--device /etc/passwd",
        "--device /dev/null:/dev/x:r",
        "--device /no/such",
        "--dir relative",
        "--dir /a:size=3",
        "--symlink /a",
        "--symlink :/a",
        "--symlink a:relative",
        "--overlay",
        "--ulimit nofile",
        "--ulimit nofile=",
        "--ulimit nofile=2:1",
        "--ulimit colour=1",
        "--ulimit nofile=18446744073709551616",
        "--ulimit nofile=-2",
        "--cap-add net_raw,",
        "--cap-drop no_such",
        "--sysctl net.ipv4.ip_forward",
        "--sysctl kernel.panic=1",
        "--sysctl net.ipv4.ip_forward=1 --net host",
        "--user 4294967295",
        "--user 99999999999999999999999",
        "--user :",
        "--user bob:",
        "--user -1",
        "-e =x",
        "-e =",
        "--env-file /no/such",
        "--env-file /",
        "--env-file /dev/zero",
        "--info-fd 99999",
        "--info-fd -1",
        "--info-fd x",
        f"--block-fd {TOO_LARGE}",
        "--seccomp 99999999999",
        "--seccomp 99999",
        "--net bridge",
        "--workdir /no/such",
    ],
)
def test_a_value_that_cannot_be_is_refused_with_a_sentence(refusal, options):
    assert refusal(*options.split(" ")).startswith("kthreads run: ")


def test_an_empty_value_is_refused(refusal):
    for option in (
        "--user",
        "-e",
        "--bind",
        "--tmpfs",
        "--device",
        "--mount",
        "--cap-add",
        "--cpus",
        "--memory",
        "--ulimit",
        "--symlink",
        "--dir",
    ):
        assert refusal(option, "").startswith("kthreads run: "), option


def test_an_empty_root_is_not_the_working_directory(tmp_path):
    done = run("--root", "", "--", "true", cwd=tmp_path)
    assert (done.returncode, "root must be a path" in done.stderr, os.listdir(tmp_path)) == (125, True, [])
