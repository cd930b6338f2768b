"""`kthreads exec`: any program, with its threads made by the engine."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

from kthreads.cli.console import Console
from kthreads.cli.execute import Program, end_like, execute, status_of
from kthreads.cli.lives_summary import Summary, table_of
from kthreads.cli.message import complain
from kthreads.cli.parser import Parser
from kthreads.programs import program_file, trace
from kthreads.programs.lives import LivesFile, Record
from kthreads.programs.preload import BACKENDS, Threads
from kthreads.programs.program_file import ProgramError

NAME = "kthreads exec"
_FAILURE = 125
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)  # the terminal sends these to the program, too


class Ended(NamedTuple):
    """A program that has ended, with its status as in `subprocess`, and times of CLOCK_MONOTONIC."""

    status: int
    begin_ns: int
    end_ns: int


def _start(path: str, words: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(words, executable=path, env=environment, close_fds=False)
    except OSError as error:
        if error.errno != errno.ENOEXEC:  # else it is of no format that the kernel knows: a shell reads it
            raise ProgramError(f"{path} cannot be executed: {error.strerror}") from None
        return subprocess.Popen(["/bin/sh", path, *words[1:]], env=environment, close_fds=False)


class _Signals:
    """Passes signals on to a program, as a context manager. Those of the terminal the program gets by itself.

    A handler, unlike SIG_IGN, is not inherited by the program.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __enter__(self) -> _Signals:
        self._before: dict[int, Any] = {number: signal.signal(number, self._pass_on) for number in _PASSED_ON}
        self._before |= {number: signal.signal(number, self._leave) for number in _OF_THE_TERMINAL}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def pass_on_to(self, process: subprocess.Popen[bytes]) -> None:
        """Names the program, which gets the signals that have come since it began, too."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _pass_on(self, number: int, _: object) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

    def _leave(self, number: int, _: object) -> None:
        """Does nothing: the terminal has sent the signal to the program, too."""


def _run_to_end(path: str, words: list[str], environment: dict[str, str]) -> Ended:
    with _Signals() as signals:
        begin = time.monotonic_ns()
        process = _start(path, words, environment)
        signals.pass_on_to(process)
        _, wait_status = os.waitpid(process.pid, 0)
        process.returncode = status_of(wait_status)
        return Ended(process.returncode, begin, time.monotonic_ns())


def _json(options: argparse.Namespace, ended: Ended, summary: Summary, record: Record) -> dict[str, Any]:
    return {
        "format": "kthreads exec",
        "version": 1,
        "program": options.program,
        "backend": options.backend,
        "reuse": options.reuse,
        "status": ended.status,
        "wall_ns": ended.end_ns - ended.begin_ns,
        "summary": summary.as_json(),
        "lives": [life._asdict() for life in record.lives],
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(document, file)


def _tell(options: argparse.Namespace, ended: Ended, record: Record) -> None:
    """Writes what was asked for. The table goes to the standard error, as the standard output is the program's."""
    summary = Summary.of(record)
    if options.trace is not None:
        _write(options.trace, trace.document((life for life in record.lives if not life.error), ended.end_ns))
    if options.json is not None:
        _write(options.json, _json(options, ended, summary, record))
    if options.stats:
        console = Console(stderr=True)
        console.print(f"\n{NAME}: {options.backend}{' with reuse' * options.reuse}", style="bold", highlight=False)
        console.print(table_of(summary), highlight=False)


def _with_statistics(path: str, options: argparse.Namespace, threads: Threads) -> int:
    with LivesFile() as file:
        ended = _run_to_end(path, options.program, threads.environment(os.environ, file.path))
        try:
            _tell(options, ended, file.read())
        except OSError as error:
            complain(NAME, f"{error.filename} cannot be written: {error.strerror}")
            return ended.status or 1
        return ended.status


def _run_checked(options: argparse.Namespace) -> int:
    path = program_file.find(options.program[0])
    program_file.check(path)
    threads = Threads(options.backend, options.reuse, not options.no_children)
    if not (options.stats or options.trace or options.json):
        execute(NAME, Program(path, options.program, threads.environment(os.environ)))
    return end_like(_with_statistics(path, options, threads))


def _run(options: argparse.Namespace) -> int:
    try:
        return _run_checked(options)
    except ProgramError as error:
        complain(NAME, error)
        return error.status


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `exec`."""
    parser.description = (
        "Runs a program, with every thread that it makes by pthread_create made by clone, and joined on the word that the "
        "kernel clears."
    )
    parser.epilog = (
        "Ends as the program ends; 127 when there is no such program, 126 when it cannot be run so (it is static, setuid, "
        "of 32 bits, or of another libc), 125 for bad usage."
    )
    parser.run_program(short_values=False, failure=_FAILURE, required=True)
    add_thread_options(parser)
    parser.add_argument("--stats", action="store_true", help="print at the end what the threads did, on stderr")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="write every thread's life, for ui.perfetto.dev")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the statistics and every thread's life")
    parser.set_defaults(run=_run)


def add_thread_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how threads are made."""
    parser.add_argument("--backend", choices=BACKENDS, default="clone", help="what makes the threads (default: clone)")
    parser.add_argument(
        "--reuse", action="store_true", help="park a kernel thread at the end of a thread, and start it again"
    )
    parser.add_argument(
        "--no-children", action="store_true", help="leave the programs that the program executes as they are"
    )
