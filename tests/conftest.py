"""What the tests share: native functions of their own, compiled once, and threads that hold still until told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def native_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of tests/native_functions.c as a shared library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "the tests need a C compiler"
    library = tmp_path_factory.mktemp("native") / "libnative_functions.so"
    subprocess.run(
        [compiler, "-O1", "-fPIC", "-shared", "-pthread", "-o", library, HERE / "native_functions.c"], check=True
    )
    return str(library)
