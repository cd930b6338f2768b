"""`kthreads run --tty`: a terminal of the program's own, shown on the command's."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from containers import PATIENCE, container_tests, run, screen_of, start

pytestmark = container_tests

HANG_UP = "trap 'echo hung up > /mnt/told; exit' HUP; echo ready; while :; do sleep 0.1; done"


def tty(root, script, *options):
    return ["--root", root, "--tty", *options, "--", "sh", "-c", script]


@pytest.mark.parametrize("options", ["-it", "-ti", "-t", "--tty --interactive", "-i -t"])
def test_the_program_has_a_terminal(root, options):
    script = "test -t 0 -a -t 1 -a -t 2 && read line && exit 7"
    assert run("--root", root, *options.split(), "--", "sh", "-c", script, input="text\n").returncode == 7


def test_interactive_alone_makes_no_terminal(root):
    assert run("--root", root, "-i", "--", "sh", "-c", "test -t 0 || cat", input="text\n").stdout == "text\n"


def test_its_size_follows_that_of_the_command_s(root):
    script = "trap 'stty size' WINCH; stty size; echo ready; while :; do sleep 0.1; done"
    with screen_of("run", *tty(root, script), rows=33, columns=77) as screen:
        screen.wait_for(b"33 77")
        screen.wait_for(b"ready")
        screen.resize(44, 88)
        screen.wait_for(b"44 88")


def test_keys_reach_the_program_as_they_are_and_the_modes_come_back(root):
    with screen_of("run", *tty(root, "stty raw; echo ready; head -c 3 | od -An -tx1")) as screen:
        screen.wait_for(b"ready")
        assert screen.is_raw
        screen.type(b"\x03\x1a\x13")
        screen.wait_for(b"03 1a 13")
        assert screen.status() == 0
        assert not screen.is_raw


def test_sigterm_gives_the_terminal_back_its_modes(root):
    with screen_of("run", *tty(root, "echo ready; exec sleep 60")) as screen:
        screen.wait_for(b"ready")
        os.kill(screen.pid, signal.SIGTERM)
        assert screen.status() == 128 + signal.SIGTERM
        assert not screen.is_raw


def test_sigtstp_stops_the_command_and_gives_the_modes_back_until_sigcont(root):
    with screen_of("run", *tty(root, "echo ready; read line; echo got $line")) as screen:
        screen.wait_for(b"ready")
        os.kill(screen.pid, signal.SIGTSTP)
        _, status = os.waitpid(screen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert not screen.is_raw
        os.kill(screen.pid, signal.SIGCONT)
        screen.type(b"text\n")
        screen.wait_for(b"got text")
        assert screen.status() == 0


def test_when_the_terminal_goes_the_program_is_hung_up(root, tmp_path):
    with screen_of("run", *tty(root, HANG_UP, "--bind", f"{tmp_path}:/mnt")) as screen:
        screen.wait_for(b"ready")
        screen.close()
        os.waitpid(screen.pid, 0)
        screen.pid = 0
    assert (tmp_path / "told").read_text() == "hung up\n"


@pytest.mark.parametrize("before", ["", "trap '' HUP;"], ids=["hung up", "killed as it ignores that"])
def test_when_nobody_reads_the_output_the_container_ends(root, before):
    script = f"{before} while :; do echo text 2>/dev/null; done"
    with start(*tty(root, script), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"text\r\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 128 + (signal.SIGKILL if before else signal.SIGHUP)


def test_much_input_arrives_whole(root, tmp_path):
    text = "".join(f"{number:07}\n" for number in range(200_000))
    run(*tty(root, "cat > /mnt/got", "--bind", f"{tmp_path}:/mnt"), input=text)
    assert (tmp_path / "got").read_text() == text


def test_much_output_does_not_keep_input_from_the_program(root, tmp_path):
    """It has more to write than the terminal and the pipe hold, and none of that is read before the input was."""
    script = "yes | head -n 100000 & read line; echo $line > /mnt/got; wait"
    os.mkfifo(tmp_path / "got")
    words = tty(root, script, "--bind", f"{tmp_path}:/mnt")
    with start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"text\n")
        process.stdin.flush()
        assert (tmp_path / "got").read_text() == "text\n"
        out, _ = process.communicate(timeout=PATIENCE)
    assert (out.count(b"y\r\n"), process.returncode) == (100_000, 0)


@pytest.mark.parametrize("text", ["", "text\n", "no end of line", "one\nand no end"])
def test_the_end_of_input_is_the_end_of_the_program_s(root, tmp_path, text):
    done = run(*tty(root, "cat > /mnt/got; exit 7", "--bind", f"{tmp_path}:/mnt"), input=text)
    assert ((tmp_path / "got").read_text(), done.returncode) == (text, 7)


def test_standard_input_may_be_closed(root):
    done = run(*tty(root, "cat; echo end"), preexec_fn=lambda: os.close(0))
    assert (done.stdout, done.returncode) == ("end\n", 0)


def test_output_that_was_written_before_the_end_is_shown(root):
    assert run(*tty(root, "seq 100000")).stdout.split() == [str(number) for number in range(1, 100_001)]
