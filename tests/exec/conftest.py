"""Programs under the engine: those of the tests are compiled once."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from ways import compiled


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A function that compiles a program of this folder, once."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder, made = tmp_path_factory.mktemp("programs"), {}

    def get(name: str, *options: str) -> str:
        if name not in made:
            made[name] = compiled(name, folder, *options)
        return made[name]

    return get


@pytest.fixture
def kthreads_command():
    """A function that runs `kthreads` with some words, and returns what `subprocess.run` does."""

    def run(*words: str, **options) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "kthreads", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)

    return run
