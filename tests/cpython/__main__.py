"""Runs the running Python's own test suite with kthreads' classes in the place of the standard ones.

It fails if a test fails only with them. The tests of expected.toml are known to, and are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import comparison
import environments
import report
import selection
from job import Job


def main() -> int:
    options = _options()
    if not environments.has_test_package():
        print("skipped: this Python was installed without its own tests (the package test)")
        return 0
    names = options.modules or (selection.all_modules() if options.all else selection.modules_for_ci())
    if options.list:
        print("\n".join(names))
        return 0
    leave_out = () if options.expected else comparison.expected()
    jobs = [Job(name, leave_out=leave_out, limit=options.limit, test_limit=options.test_limit) for name in names]
    with tempfile.TemporaryDirectory(prefix="kthreads-cpython-", ignore_cleanup_errors=True) as folder:
        return report.run_all(environments.make(Path(folder)), jobs, at_a_time=options.jobs, json_file=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python tests/cpython",
        description=__doc__,
        epilog="Without arguments it runs the modules in which threads matter most, as .ci/run does on each Python: some"
        " 5 minutes on 2 CPUs. --all runs every module that uses threads.",
    )
    parser.add_argument("modules", nargs="*", help="modules to run, such as test.test_threading")
    parser.add_argument("--all", action="store_true", help="run every module that uses threads")
    parser.add_argument(
        "--expected", action="store_true", help="run also the tests of expected.toml, to see which pass now"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the modules, and run none")
    parser.add_argument("--jobs", type=int, default=2, help="how many modules run at a time (%(default)s)")
    parser.add_argument("--limit", type=float, default=300, help="seconds for one run of a module (%(default)s)")
    parser.add_argument("--test-limit", type=float, default=60, help="seconds for one test (%(default)s)")
    parser.add_argument("--json", type=Path, help="where to write all outcomes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
