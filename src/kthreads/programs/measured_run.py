"""One run of a program, with what it used, how it ended and what it wrote."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from kthreads.programs import runner
from kthreads.programs.program_file import ProgramError

__all__ = ["MeasuredRun", "measure"]


class MeasuredRun(NamedTuple):
    """A run that has ended."""

    status: int
    """As in `subprocess`: negative for a signal."""
    output: str
    """A digest of all that it wrote to the standard output."""
    errors: str
    """The same of the standard error."""
    wall_s: float
    cpu_s: float
    """Of all its threads, and of the children that it has waited for."""
    switches: int
    """Context switches, of both kinds."""
    faults: int
    """Page faults, of both kinds."""
    peak_bytes: int
    """The peak of resident memory; at least that of a small interpreter, from which the program is forked."""


def measure(path: str, words: Sequence[str], environment: Mapping[str, str], stdin: str = os.devnull) -> MeasuredRun:
    """Runs a program, and waits for its end.

    Args:
        path: the file to execute.
        words: its arguments, of which the first is its name.
        environment: its variables.
        stdin: the path of a file that is its standard input.

    Raises:
        ProgramError: the run could not be measured, as for lack of processes.
        OSError: `stdin` cannot be read.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, open(stdin, "rb") as given:
        reader, writer = os.pipe()
        with open(reader, "rb") as report:
            try:
                command = [sys.executable, "-I", "-S", runner.__file__, str(writer), path, *words]
                helper = subprocess.Popen(
                    command, stdin=given, stdout=output, stderr=errors, env=environment, pass_fds=[writer]
                )
            finally:
                os.close(writer)
            with helper:
                numbers = report.read().split()
        if not numbers:
            raise ProgramError(f"{path} could not be measured: the process that runs it ended with {helper.returncode}")
        status, wall, cpu, switches, faults, peak = map(int, numbers)
        ended = os.waitstatus_to_exitcode(status)
        return MeasuredRun(ended, _digest(output), _digest(errors), wall / 1e9, cpu / 1e6, switches, faults, peak)


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
