"""Attacks on containers, each by root and by an ordinary user."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hostile import attack_of

ORDINARY = 65534


@pytest.fixture(params=[0, ORDINARY], ids=["root", "ordinary"])
def attack(request):
    with attack_of(request.param) as attack:
        yield attack


@pytest.fixture
def attack_by_root():
    with attack_of(0) as attack:
        yield attack
