"""Measures loops that come with a rhythm, and without one, beside OpenMP and pthreadpool, and writes docs/_rhythm.md:

    python benchmarks/rhythm.py BUILD                  # of `meson setup -Dextension=false BUILD`
    python benchmarks/rhythm.py BUILD --plain PROGRAM  # BUILD/benchmarks/rhythm of a version that does not wake ahead

Each block is a process of its own. A round has a block of each peer, in a random order. With a real-time priority, which
root has, other processes do not disturb the blocks; the kernel then also gives timers no slack.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
from pathlib import Path
from typing import NamedTuple

from markdown_table import table

from kthreads.bench.measure.environment import now, sentence

PAGE = Path(__file__).parents[1] / "docs" / "_rhythm.md"
PRIORITY = 10
SECONDS = 1  # of a block


class Scenario(NamedTuple):
    name: str
    gap_us: int
    spread: float
    work_us: int


SCENARIOS = (
    Scenario("1 ms ± 5 %, 5 µs", 1000, 0.05, 5),
    Scenario("1 ms ± 5 %, 12 µs", 1000, 0.05, 12),
    Scenario("1 ms ± 5 %, 50 µs", 1000, 0.05, 50),
    Scenario("10 ms ± 5 %, 5 µs", 10000, 0.05, 5),
    Scenario("1 ms ± 20 %, 5 µs", 1000, 0.2, 5),
    Scenario("0.2 to 1.8 ms, 5 µs", 1000, 0.8, 5),
    Scenario("0.2 to 1.8 ms, 50 µs", 1000, 0.8, 50),
)


class Peer(NamedTuple):
    name: str
    program: Path
    argument: str
    environment: dict[str, str]


Block = dict[str, float]


def peers(program: Path, plain: Path | None) -> list[Peer]:
    others = [
        Peer("libgomp", program, "libgomp", {}),
        Peer("libgomp, passive", program, "libgomp", {"OMP_WAIT_POLICY": "passive"}),
        Peer("libomp", program, "libomp", {}),
        Peer("pthreadpool", program, "pthreadpool", {}),
    ]
    return [
        Peer("kthreads", program, "kthreads", {}),
        *([Peer("kthreads that only sleeps", plain, "kthreads", {})] if plain else []),
        *(peer for peer in others if run(peer, SCENARIOS[0])),
    ]


def run(peer: Peer, scenario: Scenario) -> Block | None:
    """None for a peer that is not installed."""
    loops = max(100, SECONDS * 1_000_000 // scenario.gap_us)
    numbers = (scenario.gap_us * 1000, scenario.spread, loops, scenario.work_us * 1000)
    command = [str(peer.program), peer.argument, *map(str, numbers)]
    environment = os.environ | peer.environment
    block: Block = json.loads(subprocess.check_output(command, env=environment))
    return None if "missing" in block else block


def measure(scenario: Scenario, among: list[Peer], rounds: int) -> dict[str, list[Block]]:
    blocks: dict[str, list[Block]] = {peer.name: [] for peer in among}
    for _ in range(rounds):
        for peer in random.sample(among, len(among)):
            blocks[peer.name].append(run(peer, scenario) or {})
    return blocks


def cell(blocks: list[Block]) -> str:
    median, mean, cpu = (statistics.median(block[field] for block in blocks) for field in ("median", "mean", "cpu"))
    return f"{median / 1000:.1f}, {mean / 1000:.1f} µs; {cpu:.1%}"


def idle(blocks: dict[str, list[Block]]) -> list[float]:
    return [block["idle_switches"] for block in blocks["kthreads"]]


def take_priority() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--plain", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--fair", action="store_true", help="without a real-time priority")
    options = parser.parse_args()
    subprocess.run(["meson", "compile", "-C", options.build, "rhythm"], check=True, stdout=subprocess.DEVNULL)
    real_time = not options.fair and take_priority()
    among = peers((options.build / "benchmarks" / "rhythm").resolve(), options.plain)
    found = {scenario.name: measure(scenario, among, options.rounds) for scenario in SCENARIOS}
    rows = ((name, *map(cell, blocks.values())) for name, blocks in found.items())
    how = "with a real-time priority" if real_time else "beside what else ran on the machine"
    switches = statistics.median(number for blocks in found.values() for number in idle(blocks))
    lines = [
        f"{sentence(now())}, {how}. The median and mean time of a loop, and the CPU time of the process: each the median of",
        f"{options.rounds} blocks. Once no loops came any more, kthreads made {switches:.0f} context switches.",
        "",
        *table(("gap, work of each thread", *(peer.name for peer in among)), rows),
    ]
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
