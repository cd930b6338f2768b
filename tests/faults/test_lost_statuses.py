"""A status that goes elsewhere, to another wait or to nobody: 0, as subprocess.Popen has it, and never an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from process_runs import isolated, needs_root
from programs import printed

import kthreads
from kthreads import CloneFlags, Process
from kthreads.processes.idmap import IdMap

pytestmark = pytest.mark.any_python

BEGIN = """if True:
    import asyncio, ctypes, os, signal, subprocess, sys, threading, kthreads
    exits = kthreads.symbol(None, "getppid", "int(void)")       # with some status that is not 0
    starts = {
        "popen": lambda: subprocess.Popen(["sh", "-c", "exit 3"], stdout=subprocess.PIPE),
        "program": lambda: kthreads.Process(["sh", "-c", "exit 3"], stdout=subprocess.PIPE),
        "callable": lambda: kthreads.Process(lambda: 3, stdout=subprocess.PIPE),
        "native": lambda: kthreads.Process(exits, stdout=subprocess.PIPE),
        "clone": lambda: kthreads.clone(exits),
        "clone of a callable": lambda: kthreads.clone(lambda: 3),
    }
    start = starts[sys.argv[1]]
"""
KINDS = "program", "callable", "native", "clone", "clone of a callable"

IGNORED = """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
"""
NO_WAIT = """
    # struct sigaction of glibc: a handler, the mask, flags with SA_NOCLDWAIT, a restorer.
    class Action(ctypes.Structure):
        _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int),
                    ("restorer", ctypes.c_void_p)]
    assert ctypes.CDLL(None).sigaction(signal.SIGCHLD, ctypes.byref(Action(flags=2)), None) == 0
"""
TAKEN = """
    made = start
    def start():
        child = made()
        assert os.waitpid(-1, 0)[0] == child.pid
        return child
"""
IN_ALL_WAYS = """
    def poll(child):
        while child.poll() is None:
            pass
        return child.returncode
    def communicate(child):
        child.communicate()
        return child.returncode
    def leave(child):
        with child:
            pass
        return child.returncode
    def in_threads(child):
        codes = []
        threads = [threading.Thread(target=lambda: codes.append(child.wait())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(codes)
    async def wait(child):
        return await child
    ways = [lambda child: child.wait(), lambda child: child.wait(10), poll, leave, in_threads]
    ways += [communicate] if hasattr(start(), "communicate") else []
    ways += [lambda child: asyncio.run(wait(child))] if sys.argv[1] != "popen" else []
    print({way(start()) for way in ways})
"""


@pytest.mark.parametrize("where", [IGNORED, NO_WAIT, TAKEN], ids=["ignored", "no wait", "taken"])
@pytest.mark.parametrize("kind", ["popen", *KINDS])
def test_a_status_that_went_elsewhere_is_0(kind, where):
    assert printed(BEGIN + where + IN_ALL_WAYS, kind, options=("-W", "ignore")) == "{0}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_status_that_is_taken_while_threads_wait_is_0_or_the_true_one(kind):
    """A handler or a thread that reaps all children, as servers have it."""
    script = """
    child, codes = start(), []
    threads = [threading.Thread(target=lambda: codes.append(child.wait())) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    except ChildProcessError:
        status = child.wait()
    for thread in threads:
        thread.join()
    print(set(codes) in ({0}, {status}))
"""
    assert printed(BEGIN + script, kind, options=("-W", "ignore")) == "True\n"


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_still_runs_is_waited_for_although_nobody_gets_its_status(kind):
    script = """
    starts["program"] = lambda: kthreads.Process(["sleep", "60"])
    starts["callable"] = lambda: kthreads.Process(signal.pause)
    starts["clone of a callable"] = lambda: kthreads.clone(signal.pause)
    pause = kthreads.symbol(None, "pause", "int(void)")
    starts["native"], starts["clone"] = lambda: kthreads.Process(pause), lambda: kthreads.clone(pause)
    child = starts[sys.argv[1]]()
    print(child.poll())
    try:
        child.wait(0.01)
    except subprocess.TimeoutExpired:
        print("runs")
    child.kill()
    print(child.wait())
"""
    assert printed(BEGIN + IGNORED + script, kind) == "None\nruns\n0\n"


@pytest.mark.parametrize("kind", KINDS)
def test_its_finalizer_says_nothing_more(kind):
    script = """
    child = start()
    os.waitpid(child.pid, 0)
    del child
    start().wait()
    subprocess.run(["true"])
"""
    assert printed(BEGIN + script, kind, options=("-W", "ignore")) == ""


def test_a_signal_to_one_whose_status_is_lost_does_nothing():
    for child in (kthreads.clone(lambda: 3), Process(["true"])):
        os.waitpid(child.pid, 0)
        child.send_signal(signal.SIGTERM)
        child.kill()
        assert child.wait() == 0
        child.terminate()


def test_a_lost_status_stays_lost():
    child = kthreads.clone(lambda: 3)
    os.waitpid(child.pid, 0)
    assert [child.wait(), child.poll(), child.wait(1), child.returncode] == [0, 0, 0, 0]
    with pytest.raises(kthreads.ProcessStateError):
        child.fileno()


def test_a_program_that_does_not_start_is_told_although_nobody_gets_its_status():
    script = """if True:
        import signal, kthreads
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for options in ({}, {"before_go": print}):
            try:
                kthreads.Process(["/nowhere"], **options)
            except FileNotFoundError:
                print("none")
    """
    assert printed(script).count("none") == 2


def test_a_copy_in_a_forked_child_waits_for_the_end():
    child = kthreads.clone(kthreads.symbol(None, "pause", "int(void)"))

    def look():
        if child.poll() is not None:
            return 1
        child.kill()
        return child.wait(10)

    assert kthreads.clone(look).wait() == 0
    assert child.wait() == -signal.SIGKILL


@needs_root
@pytest.mark.parametrize("words", [["run"], ["run", "--no-init"], ["unshare", "-f"]], ids=" ".join)
def test_a_command_ends_as_its_program_although_its_starter_ignored_sigchld(words):
    script = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-m", "kthreads", *words, "--", "sh", "-c", "exit 7"]
    assert subprocess.run([sys.executable, "-c", script, *command], timeout=60, check=False).returncode == 7


@isolated
def test_a_helper_that_has_refused_a_map_is_noticed_although_its_status_is_lost(tmp_path, monkeypatch):
    helper = tmp_path / "newuidmap"
    helper.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    child = kthreads.clone(kthreads.symbol(None, "pause", "int(void)"), CloneFlags.NEWUSER)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(PermissionError, match="no"):
            IdMap("uid", ((0, 0, 1),)).write_by_helper(child.pid)
    finally:
        signal.signal(signal.SIGCHLD, before)
        child.kill()
        child.wait()
