"""A run of the benchmarks: its blocks of samples and where they were taken, as JSON and back."""

from __future__ import annotations

import dataclasses
import gzip
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kthreads.bench.analysis.stats import Interval, Rounds, paired_ratio

FORMAT = "kthreads bench"
VERSION = 1


class FormatError(ValueError):
    """A file is no run of `kthreads bench`, or one of another version."""


@dataclass(frozen=True)
class Block:
    """Samples of one peer, one right after another.

    Attributes:
        case: what differs within the suite: a gap, a number of threads; with its
        value: as a number, for plots.
        process: number of the fresh process, within which
        round: numbers the rounds.
        samples: in ns, the clock's own overhead taken off.
        wall_ns: of samples and gaps, and
        cpu_ns: of all threads in that time.
        faults, switches, preemptions: page faults and context switches, voluntary and others, in that time.
        seen: threads that took part, on average; 0 where not asked.
        more: what only some suites know, such as bytes of memory.
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


@dataclass(frozen=True, order=True)
class Place:
    """What is compared: a case of a suite, pinned or not."""

    suite: str
    value: float
    case: str
    pinned: bool


@dataclass(frozen=True)
class Row:
    """All blocks of one peer at one place."""

    blocks: tuple[Block, ...]

    @property
    def samples(self) -> list[int]:
        return [sample for block in self.blocks for sample in block.samples]

    @property
    def burnt(self) -> float:
        """CPU seconds per wall second."""
        return sum(block.cpu_ns for block in self.blocks) / max(1, sum(block.wall_ns for block in self.blocks))

    def each(self, what: str) -> float:
        """`faults`, `switches` or `preemptions` per sample."""
        return float(sum(getattr(block, what) for block in self.blocks)) / max(1, len(self.samples))

    @property
    def seen(self) -> float:
        return statistics.fmean(block.seen for block in self.blocks)

    def more(self, what: str) -> float | None:
        """The median of what only some suites know."""
        values = [block.more[what] for block in self.blocks if what in block.more]
        return statistics.median(values) if values else None

    @property
    def rounds(self) -> Rounds:
        """The median of each round."""
        found: dict[int, dict[int, float]] = defaultdict(dict)
        for block in self.blocks:
            found[block.process][block.round] = statistics.median(block.samples)
        return found


@dataclass
class Run:
    """All that one call of `kthreads bench` found.

    Attributes:
        missing: peers that could not be measured, and why.
        notes: what a reader must know: a deadline, an interruption, a proof that failed.
        syscalls: system calls a thread, for each way to make one.
    """

    environment: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    syscalls: dict[str, dict[str, float]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    @property
    def floor(self) -> float:
        """ns below which nothing can be told apart: the clock's own overhead."""
        return float(self.environment.get("clock overhead ns", 1))

    @cached_property
    def places(self) -> dict[Place, dict[str, Row]]:
        """The rows at each place, in the order that they were measured in; of the blocks that there are when it is first
        asked for."""
        found: dict[Place, dict[str, list[Block]]] = defaultdict(lambda: defaultdict(list))
        for block in self.blocks:
            if block.samples:
                found[Place(block.suite, block.value, block.case, block.pinned)][block.peer].append(block)
        return {place: {peer: Row(tuple(rows[peer])) for peer in rows} for place, rows in found.items()}

    @cached_property
    def _ratios(self) -> dict[tuple[Place, str, str], Interval | None]:
        return {}

    def ratio(self, place: Place, ours: str, peer: str) -> Interval | None:
        """ours / peer, of what ran in the same rounds; None when there is no such pair, or both are the same."""
        rows, key = self.places[place], (place, ours, peer)
        if key not in self._ratios:
            there = ours != peer and ours in rows and peer in rows
            self._ratios[key] = paired_ratio(rows[ours].rounds, rows[peer].rounds, floor=self.floor) if there else None
        return self._ratios[key]

    # ---- JSON ----------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Writes it, compressed when the name ends in .gz."""
        text = json.dumps({"format": FORMAT, "version": VERSION, **dataclasses.asdict(self)}, separators=(",", ":"))
        data = text.encode()
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)

    @classmethod
    def load(cls, path: Path) -> Run:
        """Reads what `save` wrote.

        Raises:
            FormatError: the file is something else, or of another version.
            OSError: it cannot be read.
        """
        data = path.read_bytes()
        try:
            content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
        except (ValueError, OSError) as error:
            raise FormatError(f"{path} is not JSON: {error}") from None
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise FormatError(f"{path} is no result of kthreads bench")
        version = content.pop("version", None)
        if version != VERSION:
            raise FormatError(f"{path} is of format {version}, this is kthreads bench for format {VERSION}")
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
