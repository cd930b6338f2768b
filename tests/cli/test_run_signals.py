"""Signals to `kthreads run`: they are the program's."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from containers import PATIENCE, container_tests, signals_are_caught, start

from kthreads.cli.signals import Signals

pytestmark = container_tests

LOOP = "echo ready; while :; do sleep 0.1; done"


def started(root, script, *options):
    """A command whose program is ready."""
    words = ["--root", root, *options, "--", "sh", "-c", script]
    process = start(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH"])
def test_a_signal_is_passed_on(root, name):
    with started(root, f"trap 'exit 9' {name}; {LOOP}") as process:
        process.send_signal(getattr(signal, f"SIG{name}"))
        assert process.wait(PATIENCE) == 9


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "TERM"])
def test_a_signal_that_ends_the_program_is_the_status(root, name):
    number = getattr(signal, f"SIG{name}")
    # No shell: busybox's ignores SIGQUIT at times.
    with start("--root", root, "--", "yes", "ready", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number


@pytest.mark.parametrize("options", [[], ["--tty"]], ids=["no terminal", "terminal"])
def test_ten_thousand_signals_at_once_hang_nothing(root, options):
    script = "stty -onlcr 2>/dev/null; trap : HUP; trap 'exit 9' TERM; " + LOOP
    with started(root, script, *options) as process:
        for _ in range(10_000):
            process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 9


def test_signals_that_come_during_the_start_are_passed_on(root):
    words = ["--root", root, "--", "sh", "-c", "echo ready; exec sleep 60"]
    with start(*words, stdout=subprocess.PIPE) as process:
        while not signals_are_caught(process.pid):
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_sigtstp_stops_the_command_until_sigcont(root):
    with started(root, "trap 'exit 9' TERM; " + LOOP) as process:
        process.send_signal(signal.SIGTSTP)
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        process.send_signal(signal.SIGCONT)
        assert os.WIFCONTINUED(os.waitpid(process.pid, os.WCONTINUED)[1])
        process.terminate()
        assert process.wait(PATIENCE) == 9


def test_sigtstp_stops_every_process_of_the_container_until_sigcont(root, tmp_path):
    script = "sleep 60 & echo ready; while :; do sleep 0.1; done"
    with started(root, script, "--pid-file", tmp_path / "pid") as process:
        inside = os.readlink(f"/proc/{(tmp_path / 'pid').read_text().strip()}/ns/pid")
        process.send_signal(signal.SIGTSTP)
        os.waitpid(process.pid, os.WUNTRACED)
        wait_until(lambda: set(states_in(inside)) == {"T"})
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "T" not in states_in(inside))
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


@pytest.mark.parametrize("first", [signal.SIGTSTP, signal.SIGCONT])
def test_of_a_stop_and_a_continuation_that_come_together_the_continuation_counts(first):
    with Signals([signal.SIGTSTP, signal.SIGCONT, signal.SIGHUP]) as signals:
        for number in (first, signal.SIGHUP, signal.SIGTSTP, signal.SIGCONT):
            os.kill(os.getpid(), number)
        assert sorted(signals.take()) == [signal.SIGHUP, signal.SIGCONT]


def states_in(namespace):
    """The states of the processes of a PID namespace but of its init."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/status") as file:
                lines = dict(line.split(":", 1) for line in file)
            if os.readlink(f"/proc/{pid}/ns/pid") == namespace and lines["NSpid"].split()[-1] != "1":
                yield lines["State"].split()[0]
        except OSError:
            continue


def wait_until(is_so):
    limit = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < limit
        os.sched_yield()
