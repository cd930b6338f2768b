"""An experiment with a whole program: its threads are made by libc, and then by the engine."""

from __future__ import annotations

import os
import subprocess
import sys

from kthreads.flags.clone_flags import CloneFlags as F
from kthreads.lab.experiment import Missing, Variant, of_variants
from kthreads.lab.stage import Stage
from kthreads.programs.lives import LivesFile
from kthreads.programs.preload import Threads

__all__ = ["two_libraries"]

PROGRAM = """
import threading
sums = []
def add(first, last):
    sums.append(sum(range(first, last)))
threads = [threading.Thread(target=add, args=(part * 100, part * 100 + 100)) for part in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(sums))
"""

_LIBCS = F.VM | F.FS | F.FILES | F.SYSVSEM | F.SIGHAND | F.THREAD | F.SETTLS | F.PARENT_SETTID | F.CHILD_CLEARTID


@of_variants(
    "TWO_LIBRARIES",
    "A program makes four threads by pthread_create. Another library makes them instead. What does the program notice?",
    [Variant("libc's threads", _LIBCS, 0), Variant("the engine's threads", _LIBCS | F.CHILD_SETTID, 0)],
    reason="A thread is what clone makes of its flags, and what libc finds in the descriptor that the thread pointer points "
    "to. Both libraries give clone the flags of a thread, and the engine's descriptor is a copy of one of libc's. The "
    "kernel clears a word when the thread ends; in one library it is libc's, in the other the engine's, and a join waits "
    "for it.",
)
def two_libraries(_: Stage, variant: Variant) -> dict[str, object]:
    """The same program on two thread libraries."""
    threads = Threads("clone3" if variant.flags & F.CHILD_SETTID else "pthread")
    try:
        with LivesFile(64) as file:
            environment = threads.environment(os.environ, file.path)
            ended = subprocess.run(
                [sys.executable, "-S", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
            )
            lives = file.read().lives
    except OSError as error:
        raise Missing(f"{error.filename} cannot be executed: {error.strerror}") from None
    return {
        "the program prints": ended.stdout.strip(),
        "its exit status": ended.returncode,
        "threads that libc made": sum(life.handed != 0 for life in lives),
        "threads that the engine made": sum(not life.handed for life in lives),
        "flags that the engine gave clone": hex(max((life.flags for life in lives), default=0)),
    }
