"""The ranges of parallel loops, up to the last that 64 bits hold: right, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kthreads
from kthreads.errors import NativeError


@pytest.fixture(scope="module")
def pool():
    with kthreads.Pool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def refuse(tmp_path_factory):
    """A body for each type of bounds, which fails at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return kthreads.compile_c(
            """
            #include <stdint.h>
            int of_signed(int64_t begin, int64_t end) { return begin <= end ? 7 : 8; }
            int of_unsigned(uint64_t begin, uint64_t end) { return begin <= end ? 7 : 8; }
            """,
            flags=["-O0"],
        )


class Stop(Exception):
    pass


def first_chunk(pool, items):
    """The first chunk that a Python body gets of a range that is too long to be run to its end."""
    seen = []

    def body(begin, end):
        seen.append((begin, end))
        raise Stop

    with pytest.raises(Stop):
        pool.parallel_for(body, items, schedule="static", workers=1)
    return seen[0]


BOUNDS = [0, 1, 2**31, 2**62, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
VALUES = st.one_of(st.sampled_from(BOUNDS), st.integers(0, 2**64 - 1))


@given(start=VALUES, count=st.integers(1, 40), step=st.integers(1, 2**40))
def test_a_python_body_gets_bounds_of_any_64_bits(pool, start, count, step):
    stop = min(start + count * step, 2**64 - 1)
    items = range(start, stop, step)
    if not items:
        return
    chunks = []
    pool.parallel_for(lambda begin, end: chunks.append((begin, end)), items)
    assert sorted(item for begin, end in chunks for item in range(begin, end, step)) == list(items)


@given(start=st.integers(-(2**63), 2**63 - 1), count=st.integers(1, 40), step=st.integers(1, 2**40))
def test_a_python_body_gets_negative_bounds(pool, start, count, step):
    items = range(start, min(start + count * step, 2**63 - 1), step)
    chunks = []
    pool.parallel_for(lambda begin, end: chunks.append((begin, end)), items)
    assert sorted(item for begin, end in chunks for item in range(begin, end, step)) == list(items)


@pytest.mark.parametrize(
    "items",
    [
        range(-(2**62), 2**62),
        range(-(2**63), 2**63 - 1),
        range(2**63 - 1),
        range(2**63),
        range(2**64 - 1),
        range(2**63 + 5, 2**64 - 1),
    ],
    ids=repr,
)
def test_a_range_with_more_items_than_len_can_tell_begins_where_it_says(pool, items):
    begin, end = first_chunk(pool, items)
    assert begin == items.start < end <= items.stop


def test_the_items_of_a_range_longer_than_len_can_tell_are_counted(pool):
    assert pool.prepare(lambda begin, end: None, range(-(2**62), 2**62)).count == 2**63
    assert pool.prepare(lambda begin, end: None, range(-(2**63), 2**63 - 1)).count == 2**64 - 1


@pytest.mark.parametrize(
    "items",
    [
        range(-1, 2**63),
        range(-1, 2**64 - 1),
        range(2**64),
        range(5, 2**64),
        range(2**64 + 5, 2**64 + 10),
        range(-(2**63) - 1, 0),
        range(2**70),
        range(0, 10, 2**63),
        range(2**63, -1, -1),
    ],
    ids=repr,
)
def test_a_range_that_no_type_of_64_bits_holds_is_refused(pool, items):
    with pytest.raises(OverflowError, match="64 bits"):
        pool.parallel_for(lambda begin, end: None, items)


def test_a_native_body_gets_an_unsigned_range_if_its_bounds_are_unsigned(pool, refuse):
    with pytest.raises(NativeError) as caught:
        pool.parallel_for(refuse.of_unsigned, range(2**63 + 5, 2**64 - 1), grain=3, workers=1)
    assert (caught.value.code, caught.value.begin) == (7, 2**63 + 5)
    assert caught.value.begin < caught.value.end <= 2**64 - 1


def test_a_native_body_gets_a_signed_range_if_its_bounds_are_signed(pool, refuse):
    with pytest.raises(NativeError) as caught:
        pool.parallel_for(refuse.of_signed, range(-(2**62), 2**62), grain=3, workers=1)
    assert (caught.value.code, caught.value.begin) == (7, -(2**62))
    assert caught.value.begin < caught.value.end <= 2**62


def test_bounds_that_the_types_of_a_native_body_do_not_hold_are_refused(pool, refuse):
    with pytest.raises(OverflowError, match="out of range for int64_t"):
        pool.parallel_for(refuse.of_signed, range(2**63, 2**63 + 1))
    with pytest.raises(OverflowError, match="out of range for uint64_t"):
        pool.parallel_for(refuse.of_unsigned, range(-1, 1))
    with pytest.raises(OverflowError, match="out of range for uint64_t"):
        pool.parallel_for(refuse.of_unsigned, range(2**64))
