"""A program for py-spy: `threads_to_dump.py LIBRARY` runs threads of threading and of kthreads, which wait in the function
`pass_gate` of the tests' library of native functions. It prints the ids in the kernel of those that run Python, by their names,
and lets all end when its input does."""

from __future__ import annotations

import ctypes
import json
import sys
import threading
import time

import kthreads

library = sys.argv[1]
pass_gate = ctypes.CDLL(library).pass_gate
arrived, gate = ctypes.c_int(0), ctypes.c_int(0)
both = ctypes.byref(arrived), ctypes.byref(gate)
ids = {}


def wait():
    ids[threading.current_thread().name] = threading.get_native_id()
    pass_gate(*both)


def target():
    wait()


class Subclass(kthreads.Thread):
    def run(self):
        wait()


def task_of_executor():
    wait()


def task_of_pool():
    wait()


native_target = kthreads.symbol(library, "pass_gate", "int(int *, const int *)")
threads = [
    threading.Thread(target=target, name="of-threading"),
    kthreads.Thread(target=target, name="of-target"),
    Subclass(name="of-subclass"),
    kthreads.Thread(target=native_target, args=both, name="of-native"),
]
for thread in threads:
    thread.start()
executor = kthreads.ThreadPoolExecutor(1, thread_name_prefix="of-executor")
executor.submit(task_of_executor)
pool = kthreads.Pool(1, name="of-pool")
pool.submit(task_of_pool)
while arrived.value < 6:
    time.sleep(0.001)
print(json.dumps(ids), flush=True)
sys.stdin.read()
gate.value = 1
