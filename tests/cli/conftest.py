"""A root for the containers of the commands' tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from containers import furnish


@pytest.fixture(scope="session")
def root():
    """A root folder with a shell and the usual tools in it, and nothing else; not pytest's, where only root comes in."""
    with tempfile.TemporaryDirectory() as folder:
        yield furnish(Path(folder))
