"""parent_death_signal: no process outlives the thread that has started it, whenever that ends."""

from __future__ import annotations

import subprocess
import sys

import pytest
from process_runs import isolated, needs_root

pytestmark = [isolated, pytest.mark.any_python]

# The output of the starter stays open until all its processes have ended.
PROGRAM = """if True:
    import os, signal, sys
    from kthreads import CloneFlags, Process
    from kthreads.flags import NAMESPACES
    SIX = NAMESPACES & ~(CloneFlags.NEWCGROUP | CloneFlags.NEWTIME)
    MAPS = {"uid_map": "root", "gid_map": "root"}
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
    when, options, program = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
    before_go = die if when == "before" else None
    with Process(program, parent_death_signal=signal.SIGKILL, before_go=before_go, **options) as process:
        die()
"""
OPTIONS = {
    "plain": "{}",
    "container": "{'namespaces': SIX, **MAPS}",
    "init": "{'namespaces': SIX, 'init': True, **MAPS}",
    "processes": "{'namespaces': CloneFlags.NEWPID}",
    "ids": "{'user': 65534, 'group': 65534}",
    "init and ids": "{'namespaces': SIX & ~CloneFlags.NEWUSER, 'init': True, 'user': 65534, 'group': 65534}",
    "mapped ids": "{'namespaces': SIX, 'init': True, 'uid_map': [(0, 100000, 9)], 'gid_map': [(0, 100000, 9)], 'user': 5}",
    "joined": "{'join': ['/proc/self/ns/uts']}",
    "joined, with an init": "{'join': ['/proc/self/ns/net'], 'namespaces': CloneFlags.NEWPID | CloneFlags.NEWNS, 'init': True}",
}


def starter_is_killed(when, options, program):
    """Returns when all processes have ended."""
    command = [sys.executable, "-c", PROGRAM, when, options, program]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-9, b"")


@needs_root
@pytest.mark.parametrize("program", ["['sleep', '1000']", "signal.pause"], ids=["program", "function"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_process_ends_when_its_starter_is_killed(options, program):
    starter_is_killed("after", options, program)


@needs_root
@pytest.mark.parametrize("name", ["plain", "init and ids", "joined"])
def test_a_process_ends_when_its_starter_is_killed_during_the_start(name):
    starter_is_killed("before", OPTIONS[name], "['sleep', '1000']")
