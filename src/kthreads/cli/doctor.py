"""`kthreads doctor`: what kthreads found out about this process, kernel and libc."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any, NamedTuple

from rich.table import Table

from kthreads import __version__
from kthreads._native import ffi, lib
from kthreads.cli.console import Console
from kthreads.cli.parser import Parser
from kthreads.limits import limits, memory_limits


class Finding(NamedTuple):
    """One line of the report."""

    section: str
    what: str
    value: str
    good: bool = True


def _software() -> list[Finding]:
    return [
        Finding("software", "kthreads", __version__),
        Finding("software", "Python", f"{platform.python_implementation()} {platform.python_version()}"),
        Finding("software", "GIL", "off" if not getattr(sys, "_is_gil_enabled", lambda: True)() else "on"),
        Finding("software", "kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Finding("software", "libc", os.confstr("CS_GNU_LIBC_VERSION") or "unknown"),
        Finding("software", "CPUs of this process", str(len(os.sched_getaffinity(0)))),
    ]


def _features() -> list[Finding]:
    found = int(lib.kt_features())

    def feature(bit: int, what: str, yes: str, no: str) -> Finding:
        return Finding("kernel", what, yes if found & bit else no, bool(found & bit))

    rows = [
        feature(lib.KT_FEATURE_CLONE3, "clone3", "allowed", "refused: clone is used instead"),
        feature(
            lib.KT_FEATURE_GUARD,
            "stack guards",
            "MADV_GUARD_INSTALL: no extra mapping",
            "mprotect: two mappings per thread (MADV_GUARD_INSTALL needs Linux 6.13)",
        ),
        feature(
            lib.KT_FEATURE_FUTEX_WAITV,
            "futex_waitv",
            "up to 128 threads in one wait",
            "missing (Linux 5.16): wait() polls every 5 ms",
        ),
        feature(
            lib.KT_FEATURE_PIDFD_THREAD, "pidfd of a thread", "PIDFD_THREAD", "missing (Linux 6.9): no Thread.fileno()"
        ),
    ]
    if found & lib.KT_FEATURE_SANITIZED:
        rows.append(Finding("kernel", "ThreadSanitizer", 'only backend="pthread" works', good=False))
    return rows


def _verdict(code: int) -> str:
    missing = lib.kt_libc_missing()
    if missing != ffi.NULL:
        return f"missing: {ffi.string(missing).decode()}; use backend='pthread'"
    return "passed" if code == 0 else f"could not be made: {os.strerror(-code)}; try again"


def _libc() -> list[Finding]:
    libc: Any = ffi.new("kt_libc *")
    code = lib.kt_libc_probe(libc)
    rows = [Finding("libc", "self-check", _verdict(code), code == 0)]
    offsets = ("tid", "list", "specific", "start_routine", "stack_block", "robust_list")
    rows += [
        Finding("libc", "struct pthread", f"{libc.descriptor_size} bytes"),
        Finding("libc", "static TLS", f"{libc.tls_size} bytes, aligned to {libc.tls_align}"),
        Finding("libc", "start_thread", f"{libc.start_thread:#x}"),
        Finding("libc", "offsets", ", ".join(f"{name} {getattr(libc, name + '_offset')}" for name in offsets)),
        Finding(
            "libc",
            "list of threads",
            "joined"
            if libc.linked
            else "not usable: no setuid, and no TLS of libraries loaded later, on kthreads' threads",
            bool(libc.linked),
        ),
        Finding(
            "libc",
            "reuse of threads",
            "destructors can run between two runs"
            if libc.destructors and libc.linked
            else "off: reuse= starts a new thread",
            bool(libc.destructors and libc.linked),
        ),
    ]
    return rows


def _limits() -> list[Finding]:
    rows = []
    for limit in [*limits(), *memory_limits()]:
        most = "unlimited" if limit.most is None else f"{limit.most:,}"
        value = most if limit.used is None else f"{limit.used:,} used of {most}"
        near = limit.used is not None and limit.most is not None and limit.used > 0.9 * limit.most
        rows.append(Finding("limits", limit.name, value, not near))
    return rows


def findings() -> list[Finding]:
    """All findings. Probes libc; from then on libc regards the process as multi-threaded."""
    return [*_software(), *_features(), *_libc(), *_limits()]


def _run(_: argparse.Namespace) -> int:
    rows = findings()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(overflow="fold")
    section = None
    for row in rows:
        table.add_row(
            row.section if row.section != section else "", row.what, row.value, style="" if row.good else "yellow"
        )
        section = row.section
    Console().print(table)
    return 0 if lib.kt_libc_probe(ffi.NULL) == 0 else 1


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `doctor`."""
    parser.set_defaults(run=_run)
