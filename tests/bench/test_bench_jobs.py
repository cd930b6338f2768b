"""The jobs of `kthreads bench jobs`: that each peer's outcome is checked. Not how long it takes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import product
from multiprocessing import forkserver, resource_tracker

import pytest

from kthreads.bench.jobs import table
from kthreads.bench.jobs.table import WORKLOADS, WrongOutcomeError, operation
from kthreads.bench.jobs.workload import Workload
from kthreads.bench.model.peer_names import NAMES, OURS, MissingError
from kthreads.bench.model.suites import JOBS, SUITES
from kthreads.cli import bench as command
from kthreads.cli.parser import Parser

pytestmark = pytest.mark.any_python


@pytest.fixture(scope="module", autouse=True)
def no_children_of_multiprocessing():
    """The pools of multiprocessing end with their jobs, but the servers that made them stay, as children of this process."""
    yield
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


class Doubling(Workload):
    """Doubles numbers; `wrong` names a peer that triples them."""

    source = """
#include <stddef.h>

void body(size_t begin, size_t end, const long *from, long *to)
{
    for (size_t i = begin; i < end; i++) {
        to[i] = 2 * from[i];
    }
}

void by_openmp(size_t count, const long *from, long *to)
{
    #pragma omp parallel for
    for (size_t i = 0; i < count; i++) {
        to[i] = 2 * from[i];
    }
}
"""
    factor = 2

    def prepare(self, chance):
        self.count, numbers = 1000, chance.integers(0, 99, 1000)
        self.out = self.np.zeros(1000, "i8")
        self.arguments = numbers, self.out
        self.whole = numbers.tolist()
        self.parts = [self.whole[part] for part in self.cut(1000)]

    @staticmethod
    def piece(part):
        return [Doubling.factor * number for number in part]

    def is_right(self, outcome):
        return list(self.items(outcome)) == [2 * number for number in self.whole]


@pytest.fixture
def doubling(monkeypatch):
    monkeypatch.setitem(table.WORKLOADS, "doubling", Doubling)


PEERS = ["kthreads", "loop", "numpy", "ThreadPoolExecutor", "processes", "joblib", "openmp"]


@pytest.mark.parametrize("peer", PEERS)
def test_each_peer_of_a_job_returns_its_outcome(doubling, peer):
    with ExitStack() as stack:
        try:
            run = operation("doubling", peer, 2, stack)
        except MissingError as error:
            pytest.skip(str(error))
        run()


def test_a_peer_with_a_wrong_outcome_is_caught(doubling, monkeypatch):
    monkeypatch.setattr(Doubling, "factor", 3)
    with ExitStack() as stack, pytest.raises(WrongOutcomeError):
        operation("doubling", "ThreadPoolExecutor", 2, stack)


def test_a_missing_package_is_told(doubling, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    with ExitStack() as stack, pytest.raises(MissingError, match="joblib is not installed"):
        operation("doubling", "joblib", 2, stack)


def test_a_missing_compiler_is_told(doubling, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with ExitStack() as stack, pytest.raises(MissingError, match="no-such-compiler"):
        operation("doubling", "kthreads", 2, stack)


def test_the_parts_of_the_data_are_all_of_it(doubling):
    with ExitStack() as stack:
        workload = Doubling(3, stack)
        for count, parts in product((0, 1, 7, 1000), (None, 1, 5)):
            numbers = [number for part in workload.cut(count, parts) for number in range(count)[part]]
            assert numbers == list(range(count))


@pytest.mark.parametrize("job", JOBS)
def test_each_job_has_the_peers_that_the_suite_names(job):
    assert set(JOBS[job]) <= set(SUITES["jobs"].peers)
    for peer in JOBS[job]:
        assert hasattr(WORKLOADS[job], f"by_{peer.lower()}")
        assert peer in NAMES
    assert set(JOBS[job]) & OURS == {"kthreads"}


@pytest.mark.parametrize(("arguments", "has_jobs"), [([], True), (["--quick"], False), (["--quick", "jobs"], True)])
def test_a_quick_run_measures_jobs_only_when_they_are_asked_for(arguments, has_jobs):
    parser = Parser()
    command.add_arguments(parser)
    plan, _ = command._plan(parser.parse_args(arguments))
    assert ("jobs" in plan.suites) == has_jobs
