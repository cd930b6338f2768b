"""Programs in C and C++ use libkthreads.so: by `kthreads config`, by pkg-config, and as docs/howto/from-c.md says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import kthreads
from kthreads import _native

pytestmark = pytest.mark.any_python

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LIBRARY = Path(_native.__file__).parent / "libkthreads.so"
RESULTS = {"sum.c": f"{sum(range(4000))}\n", "pool.cpp": "9000\n10945\n"}


def compile_and_run(example: str, options: list[str], folder: Path) -> str:
    compiler = shutil.which("c++" if example.endswith(".cpp") else "cc")
    if compiler is None:
        pytest.skip("no compiler")
    words = [compiler, "-Wall", "-Wextra", "-Werror", "-Wno-cast-function-type"]
    subprocess.run([*words, EXAMPLES / example, "-o", folder / "program", *options], check=True)
    return subprocess.run([folder / "program"], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("example", RESULTS)
def test_an_example_is_compiled_with_what_config_says(example, tmp_path, kthreads_command):
    options = shlex.split(kthreads_command("config", "--cflags", "--libs").stdout)
    assert compile_and_run(example, options, tmp_path) == RESULTS[example]


@pytest.mark.parametrize("example", RESULTS)
def test_an_example_is_compiled_with_what_pkg_config_says(example, tmp_path, kthreads_command):
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config")
    folder = kthreads_command("config", "--pkgconfigdir").stdout.strip()
    words = subprocess.check_output(
        ["pkg-config", "--cflags", "--libs", f"kthreads >= {kthreads.__version__}"],
        env={**os.environ, "PKG_CONFIG_PATH": folder},
        text=True,
    )
    assert compile_and_run(example, shlex.split(words), tmp_path) == RESULTS[example]


def test_the_library_exports_what_the_header_declares_and_no_more():
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    header = ""
    for name in ("api.h", "process.h"):
        text = Path(kthreads.get_include(), "kthreads", name).read_text()
        header += re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    declared = set(re.findall(r"^[\w ]+?\*?\b(kt_\w+)\(", header, re.MULTILINE))
    lines = subprocess.check_output(["nm", "--dynamic", "--defined-only", LIBRARY], text=True).splitlines()
    assert {line.split()[-1] for line in lines} == declared
    assert len(declared) > 50


def test_config_needs_something_to_tell(kthreads_command):
    done = kthreads_command("config")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing asked for: --cflags, --libs or --pkgconfigdir" in done.stderr
