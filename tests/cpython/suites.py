"""Runs the thread tests of other packages with kthreads' classes in the place of the standard ones.

The packages and their source distributions, which have the tests, come from the package index; without it, nothing is run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import comparison
import environments
import report
from environments import Environments
from job import HERE, Job


@dataclass(frozen=True)
class Suite:
    """An entry of suites.toml."""

    package: str
    version: str
    needs: list[str]
    tests: str


def suites() -> list[Suite]:
    with (HERE / "suites.toml").open("rb") as file:
        return [Suite(**entry) for entry in tomllib.load(file)["suite"]]


def main() -> int:
    options = _options()
    chosen = [suite for suite in suites() if not options.packages or suite.package in options.packages]
    status = 0
    for suite in chosen:
        with tempfile.TemporaryDirectory(prefix="kthreads-suite-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                both, source = _install(suite, folder)
            except subprocess.CalledProcessError as error:
                print(f"skipped: {suite.package} cannot be installed here: {error.stderr.strip().splitlines()[-1]}")
                continue
            leave_out = comparison.expected()
            job = Job(
                suite.tests, leave_out=leave_out, child=HERE / "pytest_child.py", folder=source, limit=options.limit
            )
            print(f"{suite.package} {suite.version}:", flush=True)
            status |= report.run_all(both, [job], at_a_time=1, json_file=None)
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/cpython/suites.py", description=__doc__)
    parser.add_argument("packages", nargs="*", help="of " + ", ".join(suite.package for suite in suites()))
    parser.add_argument("--limit", type=float, default=600, help="seconds for one run of a suite (%(default)s)")
    return parser.parse_args()


def _install(suite: Suite, folder: Path) -> tuple[Environments, Path]:
    """Both environments with what the suite needs, and the folder of its sources."""
    _pip("install", "--target", folder / "packages", *suite.needs)
    sources = f"{suite.package}=={suite.version}"
    _pip("download", "--no-deps", "--no-binary", suite.package, "--dest", folder / "download", sources)
    with tarfile.open(next((folder / "download").glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "source", filter="data")
    source = next((folder / "source").iterdir())
    # The package is imported from where it is installed, and not from its sources.
    for copy in (source / suite.package, source / "src"):
        if not suite.tests.startswith(copy.name + "/"):
            shutil.rmtree(copy, ignore_errors=True)
    return environments.make(folder / "environments", packages=folder / "packages"), source


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)


if __name__ == "__main__":
    sys.exit(main())
