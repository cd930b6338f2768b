"""Writes docs/results/jobs.md from a run of the jobs:

    kthreads bench jobs --json jobs.json && python benchmarks/jobs jobs.json

The quantiles of the samples are kept in docs/results/jobs.json.gz, and the page is made from them; without a run, it is made
again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kthreads.bench.analysis import quantiles_file
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.run import Run


def main() -> None:
    sys.path[0] = str(Path(__file__).parents[1])
    from jobs.page import PAGE, QUANTILES, page

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN.json", help="what `kthreads bench jobs --json` saved")
    options = parser.parse_args()
    try:
        if options.run:
            quantiles_file.save(RunSummary.of(Run.load(options.run)), QUANTILES)
        PAGE.write_text(page(quantiles_file.load(QUANTILES)), encoding="utf-8")
    except (FormatError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
