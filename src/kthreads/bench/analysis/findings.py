"""What a run says, in sentences that are made of its figures."""

from __future__ import annotations

from dataclasses import dataclass

from kthreads.bench.analysis.ratios import Interval
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.peer_names import OURS, name_of
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.model.suites import SUITES

AHEAD, EVEN, BEHIND = "ahead", "even", "behind"


@dataclass(frozen=True)
class Finding:
    """How kthreads compares with one peer in one scenario."""

    scenario: Scenario
    peer: str
    ratio: Interval

    @property
    def side(self) -> str:
        """Whether kthreads is ahead or behind; EVEN when the interval spans 1."""
        if self.ratio.spans_one:
            return EVEN
        return AHEAD if self.ratio.value < 1 else BEHIND

    @property
    def text(self) -> str:
        return f"{name_of(self.peer)} {self.ratio}"


def findings(run: RunSummary) -> list[Finding]:
    """kthreads against each peer that is not kthreads', in each scenario."""
    found = []
    for scenario, peers in run.scenarios.items():
        suite = SUITES[scenario.suite]
        for peer in suite.peers:
            ratio = run.ratio(scenario, suite.ours, peer) if peer in peers and peer not in OURS else None
            if ratio is not None:
                found.append(Finding(scenario, peer, ratio))
    return found


def sentences(found: list[Finding], side: str) -> list[str]:
    """One sentence for each scenario in which kthreads is on that side of a peer."""
    texts: dict[Scenario, list[str]] = {}
    for finding in found:
        if finding.side == side:
            texts.setdefault(finding.scenario, []).append(finding.text)
    return [f"{scenario.title}: {', '.join(peers)}" for scenario, peers in texts.items()]


def not_measured(run: RunSummary) -> list[str]:
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
