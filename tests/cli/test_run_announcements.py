"""What `kthreads run` tells other programs, and what it waits for."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from containers import PATIENCE, container_tests, run, signals_are_caught, start

pytestmark = container_tests

ALL = {"child-pid", *(f"{kind}-namespace" for kind in ("cgroup", "ipc", "mnt", "net", "pid", "uts"))}


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    os.set_inheritable(writer, True)
    ends = {reader, writer}

    def close(fd):
        ends.discard(fd)
        os.close(fd)

    yield reader, writer, close
    for fd in ends:
        os.close(fd)


def test_the_first_process_and_the_namespaces_are_told_as_json(root, pipe):
    reader, writer, close = pipe
    words = ["--root", root, "--info-fd", writer, "--", "sleep", "60"]
    with start(*words, pass_fds=[writer]) as process:
        close(writer)
        with open(reader, closefd=False) as file:
            told = json.load(file)
        assert set(told) == ALL
        assert os.stat(f"/proc/{told['child-pid']}/ns/pid").st_ino == told["pid-namespace"]
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_a_namespace_that_is_the_host_s_is_not_told(root, pipe):
    reader, writer, close = pipe
    run("--root", root, "--net", "host", "--info-fd", writer, "--", "true", pass_fds=[writer])
    close(writer)
    with open(reader, closefd=False) as file:
        assert set(json.load(file)) == ALL - {"net-namespace"}


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -KILL $$", 137)])
def test_the_status_is_told_in_a_second_line(root, pipe, script, status):
    reader, writer, close = pipe
    run("--root", root, "--json-status-fd", writer, "--", "sh", "-c", script, pass_fds=[writer])
    close(writer)
    with open(reader, closefd=False) as file:
        first, last = map(json.loads, file)
    assert (set(first), last) == (ALL, {"exit-code": status})


def test_a_reader_that_has_gone_keeps_the_container_from_starting(root, pipe):
    reader, writer, close = pipe
    close(reader)
    done = run("--root", root, "--info-fd", writer, "--", "echo", "begun", pass_fds=[writer])
    assert (done.returncode, done.stdout) == (125, "")
    assert "--info-fd" in done.stderr


def test_a_descriptor_that_cannot_be_written_is_named(root, pipe):
    reader, _, _ = pipe
    done = run("--root", root, "--info-fd", reader, "--", "true", pass_fds=[reader])
    assert (done.returncode, "cannot write to --info-fd" in done.stderr) == (125, True)


def test_the_pid_file_names_the_first_process(root, tmp_path):
    file = tmp_path / "pid"
    with start(
        "--root", root, "--pid-file", file, "--", "sh", "-c", "echo ready; sleep 60", stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        pid = int(file.read_text())
        with open(f"/proc/{pid}/status") as status:
            assert next(line for line in status if line.startswith("NSpid")).split()[-1] == "1"
        process.terminate()
    assert os.listdir(tmp_path) == ["pid"]


def test_a_pid_file_that_is_a_link_is_written_where_the_kernel_follows_it(root, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    before = (tmp_path / "file").stat().st_ino
    run("--root", root, "--pid-file", tmp_path / "link", "--", "true")
    assert int((tmp_path / "file").read_text()) > 1
    assert ((tmp_path / "file").stat().st_ino, (tmp_path / "link").is_symlink()) == (before, True)


def test_a_pid_file_may_be_named_without_a_folder(root, tmp_path):
    run("--root", root, "--pid-file", "pid", "--", "true", cwd=tmp_path)
    assert int((tmp_path / "pid").read_text()) > 1


def test_a_pid_file_that_cannot_be_written_is_named(root):
    done = run("--root", root, "--pid-file", "/no/such/file", "--", "echo", "begun")
    assert (done.returncode, done.stdout, "--pid-file /no/such/file" in done.stderr) == (125, "", True)


@pytest.mark.parametrize("what", ["data", "end"])
def test_the_program_waits_for_the_block_fd(root, pipe, tmp_path, what):
    reader, writer, close = pipe
    words = ["--root", root, "--block-fd", reader, "--pid-file", tmp_path / "pid", "--", "echo", "begun"]
    os.mkfifo(tmp_path / "pid")
    with start(*words, pass_fds=[reader], stdout=subprocess.PIPE) as process:
        pid = int((tmp_path / "pid").read_text())  # the container is there
        assert os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
        os.set_blocking(process.stdout.fileno(), False)
        assert process.stdout.read() is None
        os.set_blocking(process.stdout.fileno(), True)
        os.write(writer, b"x") if what == "data" else close(writer)
        assert process.communicate(timeout=PATIENCE)[0] == b"begun\n"


def test_a_signal_ends_the_wait_for_the_block_fd(root, pipe, tmp_path):
    reader, _, _ = pipe
    os.mkfifo(tmp_path / "pid")
    words = ["--root", root, "--block-fd", reader, "--pid-file", tmp_path / "pid", "--", "echo", "begun"]
    with start(*words, pass_fds=[reader], stdout=subprocess.PIPE) as process:
        pid = int((tmp_path / "pid").read_text())
        process.terminate()
        assert process.communicate(timeout=PATIENCE)[0] == b""
        assert process.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_signal_ends_the_wait_for_a_reader_of_the_pid_file(root, tmp_path):
    os.mkfifo(tmp_path / "pid")
    with start("--root", root, "--pid-file", tmp_path / "pid", "--", "true") as process:
        while not signals_are_caught(process.pid):
            os.sched_yield()
        process.terminate()
        try:
            assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        finally:
            process.kill()


def test_a_stop_and_a_resize_do_not_end_the_wait_for_the_block_fd(root, pipe, tmp_path):
    reader, writer, _ = pipe
    os.mkfifo(tmp_path / "pid")
    words = ["--root", root, "--block-fd", reader, "--pid-file", tmp_path / "pid", "--", "echo", "begun"]
    with start(*words, pass_fds=[reader], stdout=subprocess.PIPE) as process:
        (tmp_path / "pid").read_text()
        process.send_signal(signal.SIGWINCH)
        process.send_signal(signal.SIGTSTP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        process.send_signal(signal.SIGCONT)
        os.write(writer, b"x")
        assert process.communicate(timeout=PATIENCE)[0] == b"begun\n"


def test_the_sync_fd_is_open_until_the_container_has_ended(root, pipe):
    reader, writer, close = pipe
    words = ["--root", root, "--sync-fd", writer, "--", "sh", "-c", "ls /proc/self/fd | wc -l; exec sleep 60"]
    with start(*words, pass_fds=[writer], stdout=subprocess.PIPE) as process:
        close(writer)
        assert process.stdout.readline() == b"4\n"  # 0, 1, 2 and the folder: the program does not have it
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        os.set_blocking(reader, True)
        process.terminate()
        assert os.read(reader, 1) == b""
