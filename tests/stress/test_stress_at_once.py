"""All public methods of one Pool at once, and first uses at once. What the GIL orders elsewhere, free-threaded builds do not.

The runs are short by default; with KTHREADS_LONG=1 the threads hammer for ten minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hammer import Hammer
from programs import printed

import kthreads

LONG = bool(os.environ.get("KTHREADS_LONG"))


@pytest.mark.timeout(1200)
def test_eight_threads_call_all_methods_of_one_pool_at_once(native_library):
    program = Path(__file__).with_name("hammer.py")
    seconds = 600 if LONG else 3
    done = subprocess.run(
        [sys.executable, program, native_library, "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hammer_calls_every_public_method():
    done = {each.__name__.removeprefix("do_") for each in (*Hammer.OFTEN, *Hammer.SELDOM, Hammer.do_shutdown)}
    assert {name for name in vars(kthreads.Pool) if not name.startswith("_")} <= done


FIRST_USES = """
import os, threading
from array import array
import kthreads

def use(barrier):
    barrier.wait()
    pool = kthreads.Pool(2)
    pool.submit_many(kthreads.symbol(None, "abs", "int(int)"), array("i", [-1, -2])).results()
    pool.submit(abs, -1).result()
    pool.parallel_for(lambda begin, end: None, 10)
    pool.stats()
    pool.shutdown()

for _ in range(CHILDREN):
    pid = os.fork()
    if pid == 0:
        barrier = threading.Barrier(6)
        threads = [threading.Thread(target=use, args=(barrier,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
print("no child crashed")
"""


def test_first_uses_on_many_threads_at_once_are_safe():
    """In forked children: each uses everything for the first time."""
    assert printed(f"CHILDREN = {1000 if LONG else 30}" + FIRST_USES) == "no child crashed\n"
