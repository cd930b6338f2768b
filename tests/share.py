"""The part of the work that this run of the tests does, where others run at the same time on other Pythons.

With KTHREADS_SHARE=1/3 it is the second of three: it runs each third of the `any_python` tests, and interrupts at each third of
the instructions at which CPython looks at signals. Without it a run does all, and interrupts at each instruction.
"""

from __future__ import annotations

import os

__all__ = ["SHARE", "SHARES"]

SHARE, SHARES = map(int, os.environ.get("KTHREADS_SHARE", "0/1").split("/"))
