"""Ranges of ids on a command line, and how a single id is put among them."""

from __future__ import annotations

import argparse

import pytest

from kthreads.cli.id_ranges import beside, id_ranges

pytestmark = pytest.mark.any_python


@pytest.mark.parametrize(
    ("single", "ranges", "rows"),
    [
        ((20, 7), [(0, 1000, 10)], [(20, 7, 1), (0, 1000, 10)]),
        ((0, 7), [(0, 1000, 10)], [(0, 7, 1), (1, 1000, 9)]),
        ((4, 7), [(0, 1000, 10)], [(4, 7, 1), (0, 1000, 4), (5, 1004, 5)]),
        ((9, 7), [(0, 1000, 10)], [(9, 7, 1), (0, 1000, 9)]),
        ((10, 7), [(0, 1000, 10)], [(10, 7, 1), (0, 1000, 9)]),  # util-linux takes the id above for one of the range
        ((0, 1004), [(100, 1000, 10)], [(0, 1004, 1), (100, 1000, 4), (104, 1005, 5)]),
        ((2, 1005), [(0, 1000, 10)], [(2, 1005, 1), (0, 1000, 2), (3, 1002, 3), (6, 1006, 4)]),
        ((5, 1002), [(0, 1000, 10)], [(5, 1002, 1), (0, 1000, 2), (2, 1003, 3), (6, 1006, 4)]),
        ((0, 7), [(0, 1000, 1)], [(0, 7, 1)]),
        ((0, 7), [(0, 1000, 5), (100, 2000, 5)], [(0, 7, 1), (1, 1000, 4), (100, 2000, 5)]),
        ((4, 7), [], [(4, 7, 1)]),
    ],
)
def test_a_range_makes_room_for_a_single_id_and_is_one_shorter(single, ranges, rows):
    assert beside(single, ranges) == rows


@pytest.mark.parametrize("single", [(inside, outside) for inside in range(8) for outside in range(98, 106)])
def test_no_id_is_mapped_twice(single):
    rows = beside(single, [(1, 100, 4)])
    for side in (0, 1):
        ids = [id_ for row in rows for id_ in range(row[side], row[side] + row[2])]
        assert len(ids) == len(set(ids)), rows


def test_a_range_is_read_in_both_orders():
    assert id_ranges("uid")("100:1000:10") == [(100, 1000, 10)]
    assert id_ranges("gid")("1000,100,10") == [(100, 1000, 10)]


@pytest.mark.parametrize(
    "text",
    ["", "1", "1:2", "1:2:3:4", "1,2:3", "1:2:", "a:b:c", "-1:2:3", "1:2:0", "1,2,0", " 1:2:3", "1_0:2:3", "\u0661:2:3"]
    + ["4294967295:0:1", "0:4294967295:1", "0:0:4294967296", "4294967290:0:10", "99999999999:0:1", "automatic"],
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="invalid mapping"):
        id_ranges("uid")(text)


def test_all_ids_of_the_caller_are_mapped_to_themselves():
    with open("/proc/self/uid_map") as file:
        rows = [line.split() for line in file]
    assert id_ranges("uid")("all") == [(int(first), int(first), int(count)) for first, _, count in rows]
