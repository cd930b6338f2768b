"""Measures the table of docs/explanation/cost.md and writes it: `python benchmarks/table.py [--million] [--rounds N]`.

Needs kthreads with its `test` and `dev` extras and a C compiler. For 100,000 threads, which want a larger pid_max, root.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from pairs import measure, ratio

import kthreads

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "_cost.md"
PID_MAX = Path("/proc/sys/kernel/pid_max")
Row = tuple[str, str, str]


def build(folder: Path) -> Path:
    """The C programs; returns where they are."""
    subprocess.run(["meson", "setup", "-Dextension=false", folder, ROOT], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["meson", "compile", "-C", folder, "create_join", "alive"], stdout=subprocess.DEVNULL, check=True)
    return folder / "benchmarks"


# ---- One start and one join -------------------------------------------------------------------------------------------


def c_rows(programs: Path, cpu: int, rounds: int) -> Iterator[Row]:
    """In C, pinned, over five processes."""
    times: dict[str, list[float]] = {}
    for _ in range(5):
        output = subprocess.check_output([programs / "create_join", "--cpu", str(cpu), "--rounds", str(rounds)])
        for kind, found in json.loads(output).items():
            times.setdefault(kind, []).extend(found)
    names = {
        "pthread": "`pthread_create`",
        "clone": "`clone`, whole libc",
        "clone3": "`clone3`, whole libc",
        "reuse": "parked thread, `reuse`",
        "bare_clone": "bare clone",
    }
    for kind, name in names.items():
        against = (
            f"{ratio(times, kind, 'pthread'):.3f} of pthread, {ratio(times, kind, 'bare_clone'):.3f} of bare clone"
        )
        yield f"C, pinned: {name}", f"{statistics.median(times[kind]) / 1000:.2f} µs", against


def nothing() -> None:
    pass


def python_rows(library: Path, cpus: set[int], how: str, rounds: int) -> Iterator[Row]:
    """In Python, in a process of its own so that the CPUs can be chosen."""
    code = f"import sys; sys.path[:0] = [{str(ROOT / 'benchmarks')!r}]; import table; table.time_python({str(library)!r}, {rounds})"
    output = subprocess.check_output(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {cpus!r}); {code}"], text=True
    )
    times = json.loads(output)
    names = {
        "threading": "`threading.Thread`, empty function",
        "native": "`kthreads.Thread`, native function",
        "reuse": "the same with `reuse=True`",
        "python": "`kthreads.Thread`, Python function",
    }
    for kind, name in names.items():
        yield (
            f"Python, {how}: {name}",
            f"{statistics.median(times[kind]) * 1e6:.1f} µs",
            f"{ratio(times, kind, 'threading'):.3f} of threading",
        )


def time_python(library: str, rounds: int) -> None:
    """Prints the times as JSON."""
    function = kthreads.symbol(library, "nothing", "void(void)")

    def start_and_join(kind: type[threading.Thread], *args: object, **options: object) -> None:
        thread = kind(*args, **options)
        thread.start()
        thread.join()

    operations = {
        "threading": lambda: start_and_join(threading.Thread, None, nothing),
        "native": lambda: start_and_join(kthreads.Thread, function),
        "reuse": lambda: start_and_join(kthreads.Thread, function, reuse=True),
        "python": lambda: start_and_join(kthreads.Thread, nothing),
    }
    print(json.dumps(measure(operations, rounds=rounds)))


# ---- Many threads ---------------------------------------------------------------------------------------------------------


def alive(programs: Path, kind: str, count: int) -> dict[str, float]:
    found: dict[str, float] = json.loads(subprocess.check_output([programs / "alive", kind, str(count)]))
    return found


@contextlib.contextmanager
def more_pids() -> Iterator[bool]:
    """Room for more than 100,000 threads while it lasts, where we may make it."""
    before = PID_MAX.read_text()
    try:
        PID_MAX.write_text("400000")
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        PID_MAX.write_text(before)


def alive_rows(programs: Path) -> Iterator[Row]:
    kinds = {"clone": "kthreads", "pthread": "pthreads", "bare": "bare clones"}
    runs = [tuple(alive(programs, kind, 20000) for kind in kinds) for _ in range(9)][1:]
    for at, name in enumerate(kinds.values()):
        yield (
            f"C: 20,000 {name} alive, first start to all running",
            f"{statistics.median(run[at]['start_s'] for run in runs):.3f} s",
            f"{statistics.median(run[at]['start_s'] / run[1]['start_s'] for run in runs):.3f} of pthreads",
        )
    with more_pids() as allowed:
        for kind in ("clone", "pthread") if allowed else ():
            found = alive(programs, kind, 100_000)
            yield (
                f"C: alive at once by {kind}, of 100,000 wanted",
                f"{found['reached']:,.0f}",
                f"{found['bytes_each'] / 1024:.1f} KiB each, {found['start_s']:.2f} s to start",
            )


# ---- Growth -----------------------------------------------------------------------------------------------------------------


def growth_row() -> Row:
    """A million starts of functions that malloc, use thread_local objects with destructors, and keys."""
    sys.path.insert(0, str(ROOT / "tests" / "conformance"))
    import test_conformance as conformance

    with tempfile.TemporaryDirectory() as folder:
        c = conformance.build("cc", Path(folder, "c.so"), "facilities.c")
        cpp = conformance.build("c++", Path(folder, "cpp.so"), "facilities.cpp", "-fopenmp")
        functions = [
            kthreads.symbol(c, "malloc_serves_all_sizes", "int(void)"),
            kthreads.symbol(cpp, "objects_of_the_thread_are_made_and_destroyed", "int(void)"),
            kthreads.symbol(c, "a_hundred_keys_start_empty_and_hold_values", "int(void)"),
        ]
        resident = []
        for number in range(1_001_000):
            if number in (1000, 500_000, 1_000_999):
                resident.append(conformance.resident())
            thread = kthreads.Thread(functions[number % 3])
            thread.start()
            thread.join()
    grown = (resident[-1] - resident[0]) / 1024
    return (
        "Python: resident growth over 1,000,000 start and join",
        f"{grown:,.0f} KiB",
        "of functions with malloc, `thread_local`, keys",
    )


# ---- The page ---------------------------------------------------------------------------------------------------------------


def environment() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return (
        f"{datetime.date.today()}, Linux {platform.release().partition('-')[0]}, {os.confstr('CS_GNU_LIBC_VERSION')}, "
        f"CPython {platform.python_version()}, {len(os.sched_getaffinity(0))} CPUs of {model}"
        f"{' (virtual)' if 'hypervisor' in Path('/proc/cpuinfo').read_text() else ''}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true", help="also a million starts, for growth; takes minutes")
    parser.add_argument("--rounds", type=int, default=150)
    options = parser.parse_args()
    cpus = os.sched_getaffinity(0)
    cpu = max(cpus)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = folder / "native.so"
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-pthread", "-o", library, ROOT / "tests/native_functions.c"], check=True
        )
        programs = build(folder / "build")
        rows = [
            *c_rows(programs, cpu, options.rounds),
            *python_rows(library, {cpu}, "pinned", options.rounds),
            *python_rows(library, cpus, "not pinned", options.rounds),
            *alive_rows(programs),
        ]
        if options.million:
            rows.append(growth_row())
    text = [
        environment(),
        "",
        "| what | measured | ratio |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    PAGE.write_text("\n".join(text) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
