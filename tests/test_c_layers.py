"""Arrows run one way in C, too: includes and calls go to lower layers, and no file uses itself by way of others."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from layers import arrows_that_run_up, circles, layers

import kthreads

SOURCES = Path(__file__).parents[1] / "csrc"
ARCH = SOURCES / "arch" / {"x86_64": "x86_64", "aarch64": "aarch64"}[platform.machine()]
INCLUDES = [f"-I{SOURCES}", f"-I{ARCH}", f"-I{kthreads.get_include()}"]
INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(
        shutil.which("cc") is None or shutil.which("nm") is None or not SOURCES.exists(),
        reason="needs a C compiler, nm, and a source tree",
    ),
]


def included_by(text: str) -> set[str]:
    """The files of the project that a text in C includes, from the root of the sources."""
    return {name if (SOURCES / name).exists() else f"arch/{name}" for name in INCLUDE.findall(text)}


def compiled(source: Path, folder: Path) -> Path:
    """The object of a source, without inlining, so that every call is to be seen."""
    made = folder / f"{source.parent.name}_{source.name}.o"
    command = [
        "cc",
        "-std=gnu11",
        "-O0",
        "-fno-inline",
        "-w",
        '-DKT_BENCH_FLAGS=""',
        *INCLUDES,
        "-c",
        source,
        "-o",
        made,
    ]
    subprocess.run(command, check=True)
    return made


def symbols_of(made: Path) -> tuple[set[str], set[str]]:
    """The names that an object defines for others, and those that it takes from others."""
    defined, taken = set(), set()
    for line in subprocess.check_output(["nm", made], text=True).splitlines():
        *_, kind, name = line.split()
        (taken if kind == "U" else defined if kind.isupper() else set()).add(name)
    return defined, taken


def calls_among(symbols: dict[str, tuple[set[str], set[str]]]) -> dict[str, set[str]]:
    """The files whose names each file takes. Those of functions of libc, which preload/ takes the place of, are libc's."""
    owner = {
        name: file
        for file, (defined, _) in symbols.items()
        for name in defined
        if not (file.startswith("preload/") and name.startswith(("pthread_", "thrd_")))
    }
    return {file: {owner[name] for name in taken if name in owner} - {file} for file, (_, taken) in symbols.items()}


@pytest.fixture(scope="module")
def uses(tmp_path_factory) -> dict[str, set[str]]:
    """What each file in C includes and calls. What needs Python's headers is compiled elsewhere."""
    folder = tmp_path_factory.mktemp("objects")
    files = [path for path in SOURCES.rglob("*") if path.suffix in (".c", ".h")]
    found = {path.relative_to(SOURCES).as_posix(): included_by(path.read_text()) for path in files}
    sources = [path for path in files if path.suffix == ".c" and path.parent.name not in ("python", "call")]
    symbols = {path.relative_to(SOURCES).as_posix(): symbols_of(compiled(path, folder)) for path in sources}
    for file, called in calls_among(symbols).items():
        found[file] |= called
    return found


def test_c_uses_lower_layers_alone(uses):
    assert arrows_that_run_up(uses, layers("c")) == []


def test_c_has_no_circles(uses):
    assert circles(uses) == []


def test_a_call_is_seen_in_the_objects(tmp_path):
    for name, text in {"low": "void low(void) {}", "high": "void low(void); void high(void) { low(); }"}.items():
        (tmp_path / f"{name}.c").write_text(text)
    symbols = {name: symbols_of(compiled(tmp_path / f"{name}.c", tmp_path)) for name in ("low", "high")}
    assert calls_among(symbols) == {"low": set(), "high": {"low"}}


def test_an_include_is_seen():
    assert included_by('#include "base/futex.h"\n#include <errno.h>\n#include "cpu.h"\n') == {
        "base/futex.h",
        "arch/cpu.h",
    }
