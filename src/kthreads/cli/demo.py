"""`kthreads demo`: checksums of real files by libz's own crc32, on one kernel thread per CPU."""

from __future__ import annotations

import argparse
import mmap
import os
import sysconfig
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from kthreads.cli.parser import Parser, positive
from kthreads.functions.function import NativeFunction
from kthreads.functions.symbol import symbol
from kthreads.threads.thread import Thread
from kthreads.threads.wait import FIRST_COMPLETED, wait

PART_SIZE = 4 << 20  # bytes of a file that one call takes
LARGE = 128 << 10  # bytes from which a call is worth a thread
SMALL_AT_A_TIME = 64  # files
OTHERS = {"site-packages", "dist-packages"}  # folders of third-party packages in Python's library folder
LIBRARY = "libz.so.1"


@dataclass(frozen=True)
class Part:
    """A range of one mapped file, and the place of its checksum among the file's."""

    file: int
    index: int
    view: memoryview


@dataclass
class Work:
    """The files to checksum, mapped and cut into parts."""

    paths: list[Path] = field(default_factory=list)
    maps: list[mmap.mmap] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    size: int = 0

    def add(self, path: Path) -> None:
        """Takes in one file: a small one is read, a large one mapped (and holds a descriptor); an empty one has no part."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < LARGE:
                view = memoryview(file.read())
            else:
                self.maps.append(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
                view = memoryview(self.maps[-1])
        for index, begin in enumerate(range(0, len(view), PART_SIZE)):
            self.parts.append(Part(len(self.paths), index, view[begin : begin + PART_SIZE]))
        self.paths.append(path)
        self.size += len(view)

    def by_size(self) -> tuple[list[int], list[int]]:
        """The parts that are worth a thread and those that are not, each with the largest last."""
        order = sorted(range(len(self.parts)), key=lambda at: len(self.parts[at].view))
        first_large = sum(len(part.view) < LARGE for part in self.parts)
        return order[first_large:], order[:first_large]

    def touch(self) -> None:
        """Reads every page once, so that no run is the one that waits for the disk."""
        for part in self.parts:
            bytes(part.view[:: mmap.PAGESIZE])


def files_below(path: Path) -> Iterator[Path]:
    """The path if it is a file; the regular files below it, in order, but for packages, if it is a folder."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in OTHERS)
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink() and os.access(file, os.R_OK):
                yield file


@dataclass
class Worker:
    """What one thread did."""

    tid: int = 0
    cpu_s: float = 0.0
    flags: str = ""


@dataclass
class Run:
    """One way to do the work: its wall time in seconds, the checksum of each part, and the threads that did it."""

    name: str
    seconds: float
    crcs: list[int]
    workers: list[Worker]


Advance = Callable[[int], None]


def run_serial(crc32: NativeFunction, work: Work, advance: Advance) -> Run:
    """All parts on this thread."""
    begin, cpu = time.perf_counter(), time.thread_time()
    crcs = []
    for part in work.parts:
        crcs.append(int(crc32(0, part.view, len(part.view))))
        advance(len(part.view))
    worker = Worker(threading.get_native_id(), time.thread_time() - cpu, "the main thread")
    return Run("one thread", time.perf_counter() - begin, crcs, [worker])


def run_threading(crc32: NativeFunction, work: Work, count: int, advance: Advance) -> Run:
    """The parts shared out among `count` threading.Threads, which release the GIL for each call and take it again."""
    crcs = [0] * len(work.parts)
    workers = [Worker() for _ in range(count)]
    todo = iter(range(len(work.parts)))
    lock = threading.Lock()

    def job(worker: Worker) -> None:
        while True:
            with lock:
                at = next(todo, None)
            if at is None:
                break
            crcs[at] = crc32(0, work.parts[at].view, len(work.parts[at].view))
            advance(len(work.parts[at].view))
        worker.tid, worker.cpu_s, worker.flags = threading.get_native_id(), time.thread_time(), "pthread_create"

    begin = time.perf_counter()
    threads = [threading.Thread(target=job, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Run("threading.Thread", time.perf_counter() - begin, crcs, workers)


def run_kthreads(crc32: NativeFunction, work: Work, count: int, advance: Advance) -> Run:
    """The large parts on kernel threads, which leave the GIL to this thread: it reads the small files meanwhile."""
    crcs = [0] * len(work.parts)
    main = Worker(threading.get_native_id(), flags="the main thread")
    workers: dict[int, Worker] = {}
    running: dict[Thread, int] = {}
    large, small = work.by_size()

    def start(at: int) -> None:
        view = work.parts[at].view
        thread = Thread(crc32, (0, view, len(view)), reuse=True)
        thread.start()
        running[thread] = at

    def finish(thread: Thread) -> None:
        at = running.pop(thread)
        crcs[at] = thread.result
        worker = workers.setdefault(int(thread.native_id or 0), Worker(int(thread.native_id or 0)))
        worker.cpu_s += thread.cpu_time()
        worker.flags = f"{int(thread.flags):#x}"
        advance(len(work.parts[at].view))

    def checksum_small_files() -> None:
        for at in small[-SMALL_AT_A_TIME:]:
            crcs[at] = crc32(0, work.parts[at].view, len(work.parts[at].view))
            advance(len(work.parts[at].view))
        del small[-SMALL_AT_A_TIME:]

    begin, cpu = time.perf_counter(), time.thread_time()
    while large or small or running:
        lanes = max(1, count - 1) if small else count  # this thread also needs a CPU
        while large and len(running) < lanes:
            start(large.pop())
        if small:
            checksum_small_files()
        for thread in wait(running, timeout=0 if small else None, return_when=FIRST_COMPLETED).done:
            finish(thread)
    main.cpu_s = time.thread_time() - cpu
    return Run("kthreads.Thread", time.perf_counter() - begin, crcs, [main, *workers.values()])


def combine(crc32_combine: NativeFunction, work: Work, crcs: list[int]) -> list[int]:
    """The CRC-32 of each file from those of its parts, by libz's own crc32_combine."""
    totals = [0] * len(work.paths)
    for part, crc in zip(work.parts, crcs, strict=True):
        total = crc if part.index == 0 else crc32_combine(totals[part.file], crc, len(part.view))
        totals[part.file] = int(total)
    return totals


def expected(work: Work) -> list[int]:
    """The CRC-32 of each file by zlib.crc32."""
    totals = [0] * len(work.paths)
    for part in work.parts:
        totals[part.file] = zlib.crc32(part.view, totals[part.file])
    return totals


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _files_table(work: Work, totals: list[int]) -> Table:
    table = Table(title="CRC-32 of each file", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right")
    table.add_column("crc32", justify="right", style="bold")
    sizes = [0] * len(work.paths)
    for part in work.parts:
        sizes[part.file] += len(part.view)
    rows = sorted(range(len(work.paths)), key=lambda file: -sizes[file])
    for file in rows:
        table.add_row(str(work.paths[file]), _size(sizes[file]), f"{totals[file]:08x}")
    return table


def _threads_table(runs: list[Run]) -> Table:
    table = Table(title="Threads", title_justify="left")
    table.add_column("run")
    table.add_column("tid", justify="right")
    table.add_column("CPU time", justify="right")
    table.add_column("made by, or flags of clone")
    for run in runs:
        for worker in run.workers:
            table.add_row(run.name, str(worker.tid), f"{worker.cpu_s * 1e3:.1f} ms", worker.flags)
    return table


def _speed_table(work: Work, runs: list[Run]) -> Table:
    table = Table(title="How long it took", title_justify="left")
    for column in ("run", "time", "rate", "speed-up"):
        table.add_column(column, justify="left" if column == "run" else "right")
    for run in runs:
        table.add_row(
            run.name,
            f"{run.seconds * 1e3:.1f} ms",
            f"{_size(work.size / run.seconds)}/s",
            f"{runs[0].seconds / run.seconds:.2f}x",
        )
    return table


def _summary(work: Work, run: Run) -> str:
    large, small = work.by_size()
    return (
        f"crc32 of {LIBRARY} read {len(large)} parts of {len(work.paths)} files on {len(run.workers) - 1} kernel threads "
        "created by clone(2). The threads share memory, files and signal handlers with this process (see the flags "
        "above), have their own libc descriptors and never took the GIL. Meanwhile this thread read "
        f"{len(small)} small files. Each thread was parked after a part and started again for the next. "
        "crc32_combine combined the checksums of the parts, and the results match zlib.crc32."
    )


def _measure(work: Work, count: int, console: Console) -> list[Run]:
    crc32 = symbol(LIBRARY, "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned int)")
    ways: list[Callable[[Advance], Run]] = [
        lambda advance: run_serial(crc32, work, advance),
        lambda advance: run_threading(crc32, work, count, advance),
        lambda advance: run_kthreads(crc32, work, count, advance),
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    runs = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)
        work.touch()
        progress.remove_task(task)
        for way in ways:
            task = progress.add_task("checksumming", total=work.size)
            runs.append(way(lambda size, task=task: progress.advance(task, size)))  # type: ignore[misc]
            progress.update(task, description=runs[-1].name)
    return runs


def _run(options: argparse.Namespace) -> int:
    console = Console()
    errors = Console(stderr=True)
    paths = options.paths or [Path(sysconfig.get_path("stdlib"))]
    work = Work()
    try:
        for path in paths:
            if not path.exists():
                errors.print(f"kthreads demo: {path}: no such file or folder", markup=False)
                return 2
            for file in files_below(path):
                work.add(file)
        combine_function = symbol(LIBRARY, "crc32_combine", "unsigned long(unsigned long, unsigned long, long)")
    except OSError as error:
        errors.print(f"kthreads demo: {error}", markup=False)
        return 1
    if not work.parts:
        errors.print("kthreads demo: there is nothing to checksum: no file, or only empty ones", markup=False)
        return 2
    count = options.threads or len(os.sched_getaffinity(0))
    runs = _measure(work, count, console)
    totals = [combine(combine_function, work, run.crcs) for run in runs]
    wanted = expected(work)
    console.print(_files_table(work, totals[-1]))
    console.print(_threads_table(runs))
    console.print(_speed_table(work, runs))
    if any(total != wanted for total in totals):
        errors.print("kthreads demo: the checksums DIFFER from zlib.crc32's", style="bold red")
        return 1
    console.print(_summary(work, runs[-1]))
    return 0


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `demo`."""
    parser.description = (
        "Checksums files by libz's crc32, on one kernel thread per CPU, on one thread, and on threading.Thread."
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files or folders (default: Python's own library)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads (default: one per CPU)")
    parser.set_defaults(run=_run)
