"""The harness: that every peer does its work, and is caught when it does not. Not how long it takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from kthreads.bench.jobs.table import WORKLOADS
from kthreads.bench.measure import shims
from kthreads.bench.measure.operations import OPERATIONS
from kthreads.bench.measure.peers import MAKERS, POOLS
from kthreads.bench.model.suites import JOBS, SUITES

pytestmark = pytest.mark.any_python


SECONDS = 200  # more than any suite needs; whole jobs take longest


def work(suite, *, peers=None, shims=(), pinned=False):
    """The lines that a process writes which measures one suite in a hurry."""
    job = {
        "suites": [suite],
        "peers": peers,
        "process": 3,
        "pinned": pinned,
        "shims": [str(path) for path in shims],
        "divisor": 50,
        "seconds": SECONDS,
        "seed": 1,
    }
    done = subprocess.run(
        [sys.executable, "-m", "kthreads.bench.measure.worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def blocks(lines):
    return [line["block"] for line in lines if "block" in line]


@pytest.fixture(scope="module")
def shim_libraries():
    found = []
    for peer in shims.LIBRARIES:
        try:
            found.append(shims.make(peer))
        except shims.ShimError:
            continue
    return found


@pytest.mark.timeout(SECONDS + 100)
@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_measures_every_peer_that_is_here(suite, shim_libraries):
    lines = work(suite, shims=shim_libraries)
    missing = {line["missing"] for line in lines if "missing" in line}
    measured = blocks(lines)
    assert [line["failed"] for line in lines if "failed" in line] == []
    found = {block["peer"] for block in measured}
    assert found | missing == set(SUITES[suite].peers)
    assert suite == "jobs" or not found & missing  # a peer may lack what only one of the jobs needs
    for block in measured:
        assert block["samples"]
        assert block["wall_ns"] > 0
        assert block["process"] == 3


def test_what_the_suites_name_is_what_the_harness_has():
    makers = {peer for suite in SUITES.values() if suite.family in ("threads", "alive") for peer in suite.peers}
    pools = {peer for suite in SUITES.values() if suite.family == "pools" for peer in suite.peers}
    assert makers == set(MAKERS)
    assert pools == set(POOLS)
    assert {name: tuple(peers) for name, peers in OPERATIONS.items()} == {
        suite.name: suite.peers for suite in SUITES.values() if suite.family == "python"
    }
    assert list(WORKLOADS) == list(JOBS)


def test_peers_take_turns_in_each_round():
    lines = work("create-join", peers=["clone", "pthread"])
    order = [(block["round"], block["peer"]) for block in blocks(lines)]
    assert sorted(order) == [(0, "clone"), (0, "pthread"), (1, "clone"), (1, "pthread")]


def test_a_pinned_process_says_so():
    assert all(block["pinned"] for block in blocks(work("create-join", peers=["clone"], pinned=True)))


def test_a_region_of_pthreads_is_seen_to_run_on_as_many_threads():
    measured = blocks(work("region", peers=["pthread"]))
    assert measured
    assert {block["seen"] for block in measured} == {2.0}


def library_of(tmp_path, source):
    compiler = shutil.which("cc") or shutil.which("gcc")
    (tmp_path / "fake.c").write_text(source)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "fake.so", tmp_path / "fake.c"], check=True)
    return tmp_path / "fake.so"


def test_a_thread_that_does_not_run_its_function_is_caught(tmp_path):
    fake = library_of(
        tmp_path,
        "int kt_shim_std_thread_start(void *place, void (*f)(void *), void *a) { return 0; }\n"
        "void kt_shim_std_thread_join(void *place) {}\nvoid kt_shim_std_thread_detach(void *place) {}\n",
    )
    lines = work("create-join", peers=["std-thread"], shims=[fake])
    assert blocks(lines) == []
    assert any("did not run as often" in line.get("failed", "") for line in lines)


def test_a_pool_that_leaves_a_participant_out_is_caught(tmp_path):
    fake = library_of(
        tmp_path,
        "int kt_shim_tbb_open(void **s, unsigned n) { return 0; }\n"
        "void kt_shim_tbb_region(void *s, void (*f)(void *, unsigned), void *a, unsigned n) { f(a, 0); }\n"
        "void kt_shim_tbb_task(void *s, void (*f)(void *), void *a) { f(a); }\nvoid kt_shim_tbb_close(void *s) {}\n",
    )
    lines = work("region", peers=["tbb"], shims=[fake])
    assert blocks(lines) == []
    assert any("did not run as often" in line.get("failed", "") for line in lines)


def test_a_library_that_is_none_is_reported_as_missing(tmp_path):
    lines = work("create-join", peers=["std-thread"], shims=[tmp_path / "nothing.so"])
    assert {"missing": "std-thread", "reason": "no C++ compiler has made its library"} in lines
