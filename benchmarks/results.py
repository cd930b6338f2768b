"""Writes docs/results and docs/_cost.md from runs of `kthreads bench`:

    kthreads bench --json run.json && python benchmarks/results.py run.json

Several runs on the same machine, of different suites, become one: `python benchmarks/results.py threads.json pools.json`.
The quantiles of their samples are kept in docs/results/quantiles.json.gz, and the pages are made from them. Without a run, the
pages are made again from the kept quantiles: `python benchmarks/results.py`. Every figure and every sentence about one comes
from the runs, or from the counts of benchmarks/instructions.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cost_table import cost
from results_page import page

from kthreads.bench.analysis import quantiles_file
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.run import Run, merged
from kthreads.bench.output import report

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"
QUANTILES = FOLDER / "quantiles.json.gz"
COST = ROOT / "docs" / "_cost.md"


def pages(run: RunSummary) -> dict[Path, str]:
    """The texts of all files that show the run."""
    return {FOLDER / "report.html": report.page(run), FOLDER / "index.md": page(run), COST: cost(run)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN.json", help="what `kthreads bench --json` saved")
    options = parser.parse_args()
    try:
        if options.runs:
            quantiles_file.save(RunSummary.of(merged(Run.load(path) for path in options.runs)), QUANTILES)
        run = quantiles_file.load(QUANTILES)
    except (FormatError, OSError) as error:
        parser.error(str(error))
    for path, text in pages(run).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
