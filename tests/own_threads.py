"""The threads of the process that the tests run in."""

from __future__ import annotations

import os


def threads_of_process() -> set[str]:
    """Their thread ids. Those of earlier tests may be among them while the kernel ends them: count new ones alone."""
    return set(os.listdir("/proc/self/task"))
