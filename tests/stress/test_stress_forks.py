"""Forks while pools are busy, from the main thread and from tasks: each child uses the pools and ends.

A run takes a few seconds by default; with KTHREADS_LONG=1, ten minutes.
"""

from __future__ import annotations

import os

import pytest
from programs import FORK, ended

SECONDS = 600 if os.environ.get("KTHREADS_LONG") else 3

PROGRAM = (
    FORK
    + """
import random, threading, time
from array import array
import kthreads
library, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")
add_one = kthreads.symbol(library, "add_one_to_each", "void(long, long, double *)")
pools = [kthreads.Pool(2), kthreads.Pool(3, queue_size=8, backend="pthread")]
chance, stop, wrong, forks = random.Random(seed), threading.Event(), [], 0

def loops(pool):
    pool.parallel_for(add_one, 50_000, array("d", bytes(400_000)))

def native_tasks(pool):
    assert {future.result() for future in [pool.submit(crc32, 0, b"abc", 3) for _ in range(20)]} == {0x352441C2}

def python_tasks(pool):
    assert pool.submit(abs, -3).result() == 3

def changes(pool):
    pool.quiesce()
    stop.wait(0.003)
    pool.resize(chance.randint(1, 4))

def work(what, pool):
    while not stop.is_set():
        try:
            what(pool)
        except BaseException as error:
            wrong.append(error)
            raise

def use():
    for pool in pools:
        values = array("d", bytes(8000))
        pool.parallel_for(add_one, 1000, values)
        assert set(values) == {1}
        native_tasks(pool)
        python_tasks(pool)
        pool.quiesce()
        pool.resize(3)
        python_tasks(pool)

def use_in_a_child(leave):
    global forks
    forks += 1
    if status := status_of(fork(use, leave, 0)):
        wrong.append(status)

workers = [threading.Thread(target=work, args=(what, pool), daemon=True)
           for pool in pools for what in (loops, native_tasks, python_tasks, changes)]
for worker in workers:
    worker.start()
end = time.monotonic() + seconds
while time.monotonic() < end:
    use_in_a_child(chance.choice([os._exit, sys.exit]))
    chance.choice(pools).submit(use_in_a_child, os._exit).result()
stop.set()
for worker in workers:
    worker.join()
print("forks:", forks > 0, "wrong:", wrong)
"""
)


@pytest.mark.timeout(900)
def test_children_forked_while_pools_work_use_them_and_end(native_library):
    args = (native_library, str(SECONDS), "1")
    done = ended(PROGRAM, *args, options=("-W", "ignore"), timeout=SECONDS + 200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "forks: True wrong: []\n", "")
