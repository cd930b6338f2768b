"""SIGSTOP and SIGCONT to a process with an init: they stop and continue its program and all other processes in it."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from process_runs import SIX, isolated

from kthreads import CloneFlags, Process

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), isolated, pytest.mark.any_python]


def states(process):
    """The state of each process in the PID namespace but its init."""
    place = os.readlink(f"/proc/{process.pid}/ns/pid")
    found = ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(pid) != process.pid and os.readlink(f"/proc/{pid}/ns/pid") == place:
                with open(f"/proc/{pid}/stat") as file:
                    found += file.read().rpartition(")")[2].split()[0]
        except OSError:  # it has ended
            continue
    return found


def wait_for(process, condition):
    while not condition(states(process)):
        time.sleep(0.001)


def stopped(count):
    return lambda shown: shown == "T" * count


def running(count):
    return lambda shown: len(shown) == count and "T" not in shown


@pytest.fixture
def three():
    """A process with an init and three processes: a shell, its child, and one that ignores the terminal's stop."""
    script = "sleep 1000 & trap '' TSTP; sleep 1001 & echo ready; wait"
    with Process(["sh", "-c", script], namespaces=SIX, init=True, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        wait_for(process, running(3))
        yield process
        process.kill()


def test_a_stop_is_for_all_processes_and_a_continuation_too(three):
    for _ in range(3):
        three.send_signal(signal.SIGSTOP)
        wait_for(three, stopped(3))
        three.send_signal(signal.SIGCONT)
        wait_for(three, running(3))


def test_the_last_of_many_counts(three):
    for number in (signal.SIGSTOP, signal.SIGCONT) * 50:
        three.send_signal(number)
    three.send_signal(signal.SIGSTOP)
    wait_for(three, stopped(3))
    for number in (signal.SIGCONT, signal.SIGSTOP) * 50:
        three.send_signal(number)
    three.send_signal(signal.SIGCONT)
    wait_for(three, running(3))


def test_what_is_stopped_can_be_killed(three):
    three.send_signal(signal.SIGSTOP)
    wait_for(three, stopped(3))
    three.kill()
    assert three.wait() == -signal.SIGKILL


def test_a_continuation_without_a_stop_is_the_program_s():
    script = "trap 'echo continued; exit 5' CONT; echo ready; read line"
    options = {"namespaces": SIX, "init": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with Process(["sh", "-c", script], **options) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "continued\n"
    assert process.returncode == 5


def test_the_stop_of_a_terminal_is_for_all_processes_too(three):
    three.send_signal(signal.SIGTSTP)
    wait_for(three, stopped(3))


def test_a_function_with_an_init_is_stopped():
    reader, writer = os.pipe()

    def run():
        os.write(writer, b".")
        signal.pause()

    with Process(run, namespaces=SIX | CloneFlags.NEWCGROUP, init=True, pass_fds=[writer]) as process:
        assert os.read(reader, 1) == b"."
        process.send_signal(signal.SIGSTOP)
        wait_for(process, stopped(1))
        process.send_signal(signal.SIGCONT)
        wait_for(process, running(1))
        process.kill()
    os.close(reader)
    os.close(writer)
