"""What a run says, in sentences that are made of its figures."""

from __future__ import annotations

from dataclasses import dataclass

from kthreads.bench.analysis.results import Place, Run
from kthreads.bench.analysis.stats import Interval
from kthreads.bench.measure.suites import OURS, SUITES, name_of
from kthreads.bench.output.tables import heading

AHEAD, EVEN, BEHIND = "ahead", "even", "behind"


@dataclass(frozen=True)
class Finding:
    """How ours compares with one peer at one place."""

    place: Place
    peer: str
    ratio: Interval

    @property
    def side(self) -> str:
        """Where kthreads is: ahead or behind only when the interval excludes 1."""
        if self.ratio.spans_one:
            return EVEN
        return AHEAD if self.ratio.value < 1 else BEHIND

    @property
    def text(self) -> str:
        return f"{name_of(self.peer)} {self.ratio}"


def findings(run: Run) -> list[Finding]:
    """Ours against each peer that is not ours, at each place."""
    found = []
    for place, rows in run.places.items():
        for peer in SUITES[place.suite].peers:
            ratio = run.ratio(place, SUITES[place.suite].ours, peer) if peer in rows and peer not in OURS else None
            if ratio is not None:
                found.append(Finding(place, peer, ratio))
    return found


def sentences(found: list[Finding], side: str) -> list[str]:
    """One sentence for each place where kthreads is on that side of a peer."""
    texts: dict[Place, list[str]] = {}
    for finding in found:
        if finding.side == side:
            texts.setdefault(finding.place, []).append(finding.text)
    return [f"{heading(place)}: {', '.join(peers)}" for place, peers in texts.items()]


def not_measured(run: Run) -> list[str]:
    """What this machine could not show."""
    cpus = len(run.environment["affinity"])
    found = [
        f"More than {cpus} CPU{'s' * (cpus != 1)}: scaling is shown up to there, and beyond only as more threads than CPUs."
    ]
    if run.environment["virtual"]:
        found.append("A machine that is not virtual: waking another CPU costs more in a virtual one.")
    if run.environment["governor"] == "not exposed":
        found.append("The CPU's frequency: its governor is not exposed here.")
    found += [f"{name_of(peer)}: {reason}." for peer, reason in run.missing.items()]
    return found
