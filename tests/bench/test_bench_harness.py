"""The harness: that every peer does its work, and is caught when it does not. Not how long it takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from kthreads.bench.measure import memory, shims, syscalls
from kthreads.bench.measure.operations import OPERATIONS
from kthreads.bench.measure.peers import MAKERS, POOLS
from kthreads.bench.model.suites import SUITES


def work(suite, *, peers=None, shims=(), pinned=False):
    """The lines that a process writes which measures one suite in a hurry."""
    job = {
        "suites": [suite],
        "peers": peers,
        "process": 3,
        "pinned": pinned,
        "shims": [str(path) for path in shims],
        "divisor": 50,
        "seconds": 60,
        "seed": 1,
    }
    done = subprocess.run(
        [sys.executable, "-m", "kthreads.bench.measure.worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=100,
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


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_measures_every_peer_that_is_here(suite, shim_libraries):
    lines = work(suite, shims=shim_libraries)
    missing = {line["missing"] for line in lines if "missing" in line}
    measured = blocks(lines)
    assert [line["failed"] for line in lines if "failed" in line] == []
    assert {block["peer"] for block in measured} == set(SUITES[suite].peers) - missing
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


# ---- Peers that do not do their work --------------------------------------------------------------------------------------


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


# ---- Shims ------------------------------------------------------------------------------------------------------------------


def test_without_a_compiler_the_reason_is_told(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(shims.ShimError, match="no C\\+\\+ compiler"):
        shims.make("tbb")


def test_what_the_compiler_says_is_the_reason(monkeypatch, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    (tmp_path / "std_thread.cpp").write_text("#error this will not do\n")
    monkeypatch.setattr(shims, "SOURCES", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(shims.ShimError, match="this will not do"):
        shims.make("std-thread")
    assert list((tmp_path / "kthreads").iterdir()) == []


def test_a_library_is_compiled_once(monkeypatch, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = shims.make("std-thread")
    made = first.stat().st_mtime_ns
    assert shims.make("std-thread") == first
    assert first.stat().st_mtime_ns == made


# ---- System calls and memory --------------------------------------------------------------------------------------------------

TRACE = """\
100 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f
100 write(-1, "kthreads bench", 14) = -1 EBADF (Bad file descriptor)
100 clone(child_stack=0x7f, flags=CLONE_VM) = 101
101 exit(0 <unfinished ...>
100 futex(0x7f, FUTEX_WAIT, 101, NULL <unfinished ...>
101 <... exit resumed>) = ?
100 <... futex resumed>) = 0
100 clone(child_stack=0x7f, flags=CLONE_VM) = 102
102 exit(0) = ?
102 +++ exited with 0 +++
100 write(-1, "kthreads bench", 14) = -1 EBADF (Bad file descriptor)
100 munmap(0x7f, 4096) = 0
""".splitlines()


def test_calls_between_the_marks_are_counted_once_each():
    assert syscalls.parse(TRACE, 2) == {"clone": 1.0, "exit": 1.0, "futex": 0.5}


def test_a_trace_that_was_cut_off_is_no_answer():
    with pytest.raises(syscalls.TraceError, match="not complete"):
        syscalls.parse(TRACE[:5], 2)


def test_a_thread_of_ours_takes_one_clone_and_no_madvise_at_each_exit():
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    try:
        ours, theirs = syscalls.count("clone"), syscalls.count("pthread")
    except syscalls.TraceError as error:
        pytest.skip(f"strace cannot trace here: {error}")
    assert ours["clone"] == ours["exit"] == 1
    assert ours.get("madvise", 0) < theirs["madvise"]


def test_a_mapping_that_is_touched_is_seen_as_memory():
    before = memory.now()
    kept = bytearray(b"x" * (64 << 20))
    grown = memory.grown(before, memory.now(), 1)
    assert grown["resident"] > 32 << 20
    del kept
