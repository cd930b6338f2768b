"""`kthreads demo`: three jobs on real files, each beside what people use today."""

from __future__ import annotations

import argparse
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from rich.table import Table
from rich.text import Text

import kthreads
from kthreads.cli.console import Console
from kthreads.cli.message import visible
from kthreads.cli.parser import Parser
from kthreads.cli.values import positive
from kthreads.demo.checksums import checksums, compare_checksums
from kthreads.demo.comparison import Comparison, Missing, count_of
from kthreads.demo.entropy import compare_entropies
from kthreads.demo.files import MOST, Files, size_of
from kthreads.demo.hashes import compare_hashes
from kthreads.flags.text import text

LEAST = 128 << 10  # bytes that are worth dividing


def _files_table(files: Files) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("crc32", justify="right", no_wrap=True)
    rows = zip(files.paths, files.contents, checksums(files), strict=True)
    for path, content, checksum in sorted(rows, key=lambda row: -len(row[1])):
        table.add_row(Text(visible(str(path))), size_of(len(content)), f"{checksum:08x}")
    return table


def _comparison_table(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(min_width=36, no_wrap=True)
    for _ in range(3):
        table.add_column(justify="right", min_width=12, no_wrap=True)
    for way in comparison.ways:
        cells = f"{way.seconds * 1e3:.1f} ms", f"{size_of(comparison.size / way.seconds)}/s"
        speed_up = f"{comparison.speed_up(way):.2f} times"
        table.add_row(f"  {way.name}", *cells, speed_up, style="bold" if "kthreads" in way.name else "")
    return table


Jobs = Iterator[tuple[str, Callable[[], Comparison]]]
"""What each job is called, and what makes it."""


def _jobs(files: Files, threads: int, pool: kthreads.Pool, executor: Executor) -> Jobs:
    content, name = files.contents[files.largest], visible(files.paths[files.largest].name)
    yield "CRC-32", lambda: compare_checksums(files, threads, pool, executor)
    yield "SHA-256", lambda: compare_hashes(content, name, threads, pool, executor)
    yield "entropy", lambda: compare_entropies(content, name, pool, executor)


def _left_out(job: str, why: str, console: Console) -> None:
    console.print(f"{job}: left out, {why}", "", sep="\n", markup=False, highlight=False)


def _measure(files: Files, jobs: Jobs, console: Console) -> list[Comparison]:
    """Measures the jobs, and prints each as soon as it has been measured."""
    measured = []
    for job, make in jobs:
        if job != "CRC-32" and len(files.contents[files.largest]) < LEAST:
            _left_out(job, "as the largest file has too few blocks to divide them", console)
            continue
        try:
            comparison = make()
        except Missing as reason:
            _left_out(job, f"because {reason}", console)
            continue
        comparison.measure()
        title = f"{comparison.title}, {size_of(comparison.size)}"
        console.print(title, style="bold", highlight=False, markup=False, overflow="ellipsis", no_wrap=True)
        console.print(_comparison_table(comparison), "", sep="\n")
        measured.append(comparison)
    return measured


def _summary(threads: int, references: list[str]) -> str:
    thread = kthreads.Thread(target=kthreads.symbol(None, "labs", "long(long)"), args=(0,))
    thread.start()
    thread.join()
    return (
        f"Every result is that of {', '.join(references[:-1])}{' and ' * (len(references) > 1)}{references[-1]}. "
        f"kthreads did the jobs by a pool of {count_of(threads, 'kernel thread')}, without the GIL; "
        f"each thread was made by clone({text(thread.flags, 0).replace('|', ' | ')})."
    )


def _tell_of_files(files: Files, console: Console) -> None:
    """What a reader must know of the files."""
    if files.unreadable:
        console.print(f"{count_of(files.unreadable, 'file')} could not be read.", highlight=False)
    if files.left_out:
        console.print(f"{count_of(files.left_out, 'file')} left out: {size_of(MOST)} are enough.", highlight=False)
    if files.is_cut:
        console.print(f"Only the first {size_of(MOST)} of the file are used.", highlight=False)


def _divide(files: Files, threads: int, console: Console, errors: Console) -> int:
    """Shows the jobs; returns the exit status."""
    try:
        pool = kthreads.Pool(threads)
    except (ValueError, kthreads.KThreadsError) as error:  # so many threads cannot be started
        errors.print(f"kthreads demo: {error}", markup=False)
        return 2
    with pool, ThreadPoolExecutor(threads) as executor:
        measured = _measure(files, _jobs(files, threads, pool, executor), console)
    wrong = [f"{comparison.title}: {name}" for comparison in measured for name in comparison.wrong]
    for name in wrong:
        errors.print(f"kthreads demo: the result is WRONG: {name}", style="bold red", markup=False)
    if measured and not wrong:
        console.print(_summary(threads, [comparison.reference for comparison in measured]), highlight=False)
    return int(bool(wrong))


def _run(options: argparse.Namespace) -> int:
    console, errors = Console(), Console(stderr=True)
    try:
        files = Files.read(options.paths or [Path(sysconfig.get_path("stdlib"))])
    except OSError as error:
        errors.print(f"kthreads demo: {visible(str(error.filename))}: {error.strerror}", markup=False)
        return 2
    if not files.size:
        errors.print("kthreads demo: there is nothing to do: no file, or only empty ones", markup=False)
        return 2
    if options.files or files.size < LEAST:
        console.print(_files_table(files))
    _tell_of_files(files, console)
    if files.size < LEAST:
        what = f"{count_of(len(files.paths), 'file')} of {size_of(files.size)}{' in all' * (len(files.paths) > 1)}"
        console.print(f"There is nothing to divide: {what}.", highlight=False)
        return 0
    return _divide(files, options.threads or kthreads.cpu_count(), console, errors)


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `demo`."""
    parser.description = (
        "Does three jobs on files, on kernel threads and as people do them today, and compares times and results: CRC-32 "
        "of each file, SHA-256 of each block of the largest file, and the entropy of each of its blocks."
    )
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files or folders (default: Python's own library)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads (default: one per CPU)")
    parser.add_argument("--files", action="store_true", help="print the size and the CRC-32 of each file")
    parser.set_defaults(run=_run)
