"""The memory that threads take."""

from __future__ import annotations

import pytest

from kthreads.bench.measure import memory

pytestmark = pytest.mark.any_python


def test_a_mapping_that_is_touched_is_seen_as_memory():
    before = memory.now()
    kept = bytearray(b"x" * (64 << 20))
    grown = memory.grown(before, memory.now(), 1)
    assert grown["resident"] > 32 << 20
    del kept
