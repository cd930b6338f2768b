"""A run of the benchmarks: its blocks of samples and where they were taken, as JSON and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kthreads.bench.model import json_file
from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.scenario import Scenario

FORMAT = "kthreads bench"
VERSION = 1


@dataclass(frozen=True)
class Block:
    """Samples of one peer, one right after another.

    Attributes:
        case: what differs within the suite: a gap, a number of threads; with its
        value: as a number, for plots.
        process: the number of the process that measured, from 0.
        round: the number of the round within the process, from 0.
        samples: in ns, less the clock's own overhead.
        wall_ns: the wall time of samples and gaps.
        cpu_ns: the CPU time of all threads in that time.
        faults, switches, preemptions: page faults, voluntary and involuntary context switches in that time.
        seen: how many threads ran the functions, on average; 0 where the suite does not ask.
        more: what only some suites measure, such as bytes of memory.
    """

    suite: str
    case: str
    value: float
    peer: str
    pinned: bool
    process: int
    round: int
    samples: list[int]
    wall_ns: int = 0
    cpu_ns: int = 0
    faults: int = 0
    switches: int = 0
    preemptions: int = 0
    seen: float = 0.0
    more: dict[str, float] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        return Scenario(self.suite, self.value, self.case, self.pinned)


@dataclass
class Run:
    """All that one call of `kthreads bench` measured.

    Attributes:
        missing: peers that could not be measured, and why.
        notes: what a reader must know: a time limit, an interruption, a peer that failed.
        syscalls: system calls a thread, for each way to make one.
    """

    environment: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    syscalls: dict[str, dict[str, float]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Writes the run as JSON, compressed when the name ends in .gz."""
        content = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}
        json_file.write(path, json.dumps(content, separators=(",", ":")))

    @classmethod
    def load(cls, path: Path) -> Run:
        """Reads what `save` wrote.

        Raises:
            FormatError: the file is something else, or of another version.
            OSError: it cannot be read.
        """
        content = json_file.read(path, FORMAT, VERSION)
        try:
            blocks = [Block(**block) for block in content.pop("blocks")]
            return cls(**content, blocks=blocks)
        except (KeyError, TypeError) as error:
            raise FormatError(f"{path} is a damaged result of kthreads bench: {error}") from None


def merged(runs: Iterable[Run]) -> Run:
    """One run of several that were taken on the same machine, one suite after another.

    Raises:
        FormatError: they were taken on different machines, or hold the same suite twice.
    """
    all_of_them = list(runs)
    libraries = {peer: path for run in all_of_them for peer, path in run.environment.get("libraries", {}).items()}
    result = Run(environment={**all_of_them[0].environment, "libraries": libraries})
    for run in all_of_them:
        for what in ("kernel", "cpu", "affinity", "python", "kthreads"):
            if run.environment.get(what) != result.environment.get(what):
                raise FormatError(f"the runs differ in {what}: they cannot be merged")
        if {block.suite for block in run.blocks} & {block.suite for block in result.blocks}:
            raise FormatError("the runs hold the same suite twice: they cannot be merged")
        result.missing |= run.missing
        result.notes += [note for note in run.notes if note not in result.notes]
        result.syscalls |= run.syscalls
        result.blocks += run.blocks
    return result
