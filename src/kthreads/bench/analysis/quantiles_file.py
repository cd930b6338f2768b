"""A summary of a run as a file of JSON, which is small beside the run, and has all that a report shows.

The file has the environment, the missing peers, the notes and the counts of system calls as the run has them, and under
"peers" a line for each peer of each scenario. A list of quantiles is: the number of samples, p50, p90, p99, p99.9, maximum.
"rounds" has the median of each round, or null where the peer has none. All times are in ns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kthreads.bench.analysis.distribution import Quantiles
from kthreads.bench.analysis.summary import PeerSummary, RunSummary
from kthreads.bench.model import json_file
from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.scenario import Scenario

FORMAT = "kthreads bench quantiles"
VERSION = 1


def save(summary: RunSummary, path: Path) -> None:
    """Writes a summary, compressed when the name ends in .gz. `load` reads an equal one."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "environment": summary.environment,
        "missing": summary.missing,
        "notes": summary.notes,
        "syscalls": summary.syscalls,
    }
    lines = [
        _compact({**vars(scenario), "peer": name, **_fields_of(peer)})
        for scenario, peers in summary.scenarios.items()
        for name, peer in peers.items()
    ]
    text = ",\n".join([*(f"{_compact(key)}:{_compact(value)}" for key, value in head.items()), '"peers":[\n'])
    json_file.write(path, "{" + text + ",\n".join(lines) + "\n]}\n")


def load(path: Path) -> RunSummary:
    """Reads what `save` wrote.

    Raises:
        FormatError: the file is something else, or of another version.
        OSError: it cannot be read.
    """
    content = json_file.read(path, FORMAT, VERSION)
    try:
        summary = RunSummary(**{key: content[key] for key in ("environment", "missing", "notes", "syscalls")})
        for line in content["peers"]:
            scenario = Scenario(**{field: line.pop(field) for field in ("suite", "value", "case", "pinned")})
            name = line.pop("peer")
            summary.scenarios.setdefault(scenario, {})[name] = _peer_of(line)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is a damaged result of {FORMAT}: {error}") from None
    return summary


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _short(number: float) -> float:
    """The same number, as an integer where it is one."""
    return int(number) if float(number).is_integer() else number


def _quantiles(quantiles: Quantiles) -> list[float]:
    return [_short(number) for number in vars(quantiles).values()]


def _fields_of(peer: PeerSummary) -> dict[str, Any]:
    return {
        "quantiles": _quantiles(peer.quantiles),
        "curve": peer.curve,
        "histogram": peer.histogram,
        "processes": {
            process: {"quantiles": _quantiles(quantiles), "rounds": _list_of(peer.rounds[process])}
            for process, quantiles in peer.processes.items()
        },
        **{field: _short(getattr(peer, field)) for field in ("cpu_per_wall", "faults", "switches", "threads")},
        "more": {kind: _short(value) for kind, value in peer.more.items()},
    }


def _list_of(rounds: Mapping[int, float]) -> list[float | None]:
    return [_short(rounds[number]) if number in rounds else None for number in range(max(rounds) + 1)]


def _peer_of(line: dict[str, Any]) -> PeerSummary:
    processes = {int(process): fields for process, fields in line.pop("processes").items()}
    return PeerSummary(
        quantiles=Quantiles(*line.pop("quantiles")),
        processes={process: Quantiles(*fields["quantiles"]) for process, fields in processes.items()},
        curve=tuple(line.pop("curve")),
        histogram=tuple(line.pop("histogram")),
        rounds={
            process: {number: median for number, median in enumerate(fields["rounds"]) if median is not None}
            for process, fields in processes.items()
        },
        **line,
    )
