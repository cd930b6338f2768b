"""Timeouts of processes: whatever is a number of seconds is taken, and nothing else."""

from __future__ import annotations

import asyncio
import decimal
import fractions
import math
import subprocess

import pytest

import kthreads
from kthreads import Process
from kthreads.processes import process

pytestmark = [pytest.mark.usefixtures("leaves_nothing_behind"), pytest.mark.any_python]

pause = kthreads.symbol(None, "pause", "int(void)")
LONG = [math.inf, 1e300, 10**400, 2**63, 1e7, 2**31 / 1000 + 1, decimal.Decimal("1e30"), fractions.Fraction(10**10, 3)]


def program():
    return Process(["sh", "-c", "sleep 0.05; echo text; exit 7"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def cloned():
    return kthreads.clone(lambda: 7)


def close(started):
    if isinstance(started, Process):
        started.stdout.close()
        started.stderr.close()


makers = pytest.mark.parametrize("make", [program, cloned])


@pytest.mark.parametrize("timeout", LONG, ids=repr)
@makers
def test_a_long_timeout_waits_as_long(make, timeout):
    started = make()
    assert started.wait(timeout) == 7
    close(started)


@pytest.mark.parametrize("timeout", [*LONG[:3], *LONG[4:6]], ids=repr)
def test_communicate_takes_a_long_timeout(timeout):
    started = program()
    assert started.communicate(timeout=timeout) == (b"text\n", b"")
    assert started.returncode == 7


@pytest.mark.parametrize("timeout", [0, -1, -1e300, -math.inf, 0.0, 1e-9, 0.01, fractions.Fraction(1, 100)], ids=repr)
@makers
def test_a_short_or_negative_timeout_ends_soon(make, timeout):
    started = kthreads.clone(pause) if make is cloned else Process(["sleep", "60"])
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(timeout)
    started.kill()
    started.wait()


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(math.nan, ValueError), ("1", TypeError), (b"1", TypeError), (True, TypeError), ([], TypeError), (1j, TypeError)],
    ids=repr,
)
@makers
def test_what_is_no_number_of_seconds_is_refused(make, timeout, error):
    started = make()
    with pytest.raises(error):
        started.wait(timeout)
    assert started.wait() == 7
    with pytest.raises(error):
        started.wait(timeout)  # also once the end was seen
    close(started)


def test_communicate_waits_in_pieces_that_poll_takes(monkeypatch):
    monkeypatch.setattr(process, "_LONGEST_POLL", 0.01)
    with Process(["sh", "-c", "sleep 0.1; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.communicate(b"text", timeout=60) == (b"text", None)
    with Process(["sleep", "60"], stdout=subprocess.PIPE) as started:
        with pytest.raises(subprocess.TimeoutExpired):
            started.communicate(timeout=0.035)
        started.kill()


def test_a_timeout_can_be_used_in_asyncio():
    async def run(started):
        async with asyncio.timeout(60):
            return await started

    assert asyncio.run(run(cloned())) == 7


def test_a_timeout_of_communicate_tells_the_one_that_was_given():
    with Process(["sleep", "60"], stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            process.communicate(timeout=0.01)
        assert caught.value.timeout == 0.01
        process.kill()
