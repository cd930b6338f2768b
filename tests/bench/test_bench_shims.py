"""The libraries of the peers in C++: compiled once, and what is said when they cannot be."""

from __future__ import annotations

import shutil

import pytest

from kthreads.bench.measure import shims

pytestmark = pytest.mark.any_python


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
