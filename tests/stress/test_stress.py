"""All operations on threads at once: many creators, with joins, detaches, forks, loads of libraries and garbage collections.

A run is short by default; with KTHREADS_LONG=1 it starts a million threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

STARTS = 1_000_000 if os.environ.get("KTHREADS_LONG") else 16_000

PROGRAM = """
import ctypes, gc, os, random, sys, threading
import kthreads
library, starts, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CREATORS = 32
same = kthreads.symbol(library, "same_i32", "int(int)")
use_key = kthreads.symbol(library, "use_key", "int(void)")
ways = [{}, {"backend": "clone3"}, {"reuse": True}, {"backend": "pthread"}, {"stack_size": 65536}]
wrong = []

def create(number):
    chance = random.Random(f"{seed} {number}")
    for at in range(starts // CREATORS):
        options = chance.choice(ways)
        thread = kthreads.Thread(target=same, args=(at,), **options)
        thread.start()
        dice = chance.random()
        if dice < 0.7:
            thread.join()
            if thread.result != at:
                wrong.append((number, at, thread.result))
        elif dice < 0.8:
            kthreads.wait([thread], timeout=chance.random() / 1000)
        del thread          # joined, or detached
        if dice > 0.99:
            pid = os.fork()
            if pid == 0:
                thread = kthreads.Thread(target=same, args=(5,), **options)
                thread.start()
                thread.join()
                os._exit(0 if thread.result == 5 else 1)
            if os.waitpid(pid, 0)[1] != 0:
                wrong.append((number, at, "forked child"))
        elif dice > 0.97:
            ctypes.CDLL("libm.so.6")
            kthreads.memory.trim()
        elif dice > 0.965:
            gc.collect()
        elif dice > 0.95:
            keyed = kthreads.Thread(target=use_key, **options)
            keyed.start()
            keyed.join()

creators = [threading.Thread(target=create, args=(number,)) for number in range(CREATORS)]
for creator in creators:
    creator.start()
for creator in creators:
    creator.join()
kthreads.memory.trim()
deadline = 1000
while (kthreads.memory.usage().stacks or len(os.listdir("/proc/self/task")) > 1) and deadline:
    threading.Event().wait(0.01)    # the last detached threads may still run
    kthreads.memory.trim()
    deadline -= 1
print("wrong:", wrong, "stacks:", kthreads.memory.usage().stacks, "threads:", len(os.listdir("/proc/self/task")))
"""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2])
def test_many_creators_with_everything_in_between(native_library, seed):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(PROGRAM), native_library, str(STARTS), str(seed)],
        capture_output=True,
        text=True,
        timeout=3500,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout == "wrong: [] stacks: 0 threads: 1\n"
