"""Exceptions, which travel between processes."""

from __future__ import annotations

import pickle

import pytest

import kthreads

ERRORS = [
    kthreads.errors.LibraryMismatchError("libz.so.1", "crc32", "build-id 11", "build-id 22"),
    kthreads.LoopCancelledError("cancelled", 3, 10),
    kthreads.errors.LoopTimeoutError("timed out", 3, 10),
    kthreads.NativeError("body", -1, 0, 8, errno=2),
    kthreads.errors.SymbolNotFoundError("no such symbol"),
    kthreads.ThreadLimitError(11, "can't start new thread"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_is_pickled_with_its_message_and_attributes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))


def test_a_pickled_exception_of_the_kernel_keeps_its_errno():
    assert pickle.loads(pickle.dumps(kthreads.ThreadLimitError(11, "can't start new thread"))).errno == 11


def test_a_mismatch_names_both_builds_and_says_what_to_do():
    error = kthreads.errors.LibraryMismatchError("libz.so.1", "crc32", "build-id 11", "build-id 22")
    assert str(error) == (
        "crc32() was pickled from libz.so.1 with build-id 11, but here that library has build-id 22: "
        "install the same build on both sides"
    )
    assert (error.library, error.expected, error.found) == ("libz.so.1", "build-id 11", "build-id 22")
