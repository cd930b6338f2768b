"""The headers of the system are read as the compiler reads them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from kthreads.functions.c_types import as_result, function_type, pointer_to
from kthreads.functions.signature import Signature
from kthreads.libraries.preprocessed import read_preprocessed

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

HEADERS = [
    "complex.h", "dirent.h", "fcntl.h", "math.h", "netdb.h", "poll.h", "pthread.h", "regex.h", "sched.h",
    "search.h", "semaphore.h", "signal.h", "stdio.h", "stdlib.h", "string.h", "sys/epoll.h", "sys/mman.h",
    "sys/socket.h", "sys/stat.h", "time.h", "unistd.h", "wchar.h",
]  # fmt: skip
INCLUDES = "#define _GNU_SOURCE\n" + "".join(f"#include <{name}>\n" for name in HEADERS)


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    source = tmp_path_factory.mktemp("headers") / "all.c"
    source.write_text(INCLUDES)
    text = subprocess.run(["cc", "-E", "-dD", source], capture_output=True, text=True, check=True).stdout
    # Without the flags that mark headers of the system, all functions are read.
    return read_preprocessed(re.sub(r'^(# \d+ "[^"]*").*$', r"\1", text, flags=re.MULTILINE))


def errors_of(text: str, tmp_path) -> list[str]:
    """What the compiler has against some lines behind the headers."""
    source = tmp_path / "check.c"
    source.write_text(INCLUDES + text)
    done = subprocess.run(
        ["cc", "-std=gnu17", "-fsyntax-only", "-Werror=incompatible-pointer-types", source],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in done.stderr.splitlines() if " error: " in line]


def test_functions_have_the_types_that_the_compiler_gives_them(header, tmp_path):
    lines = []
    for name, found in header.functions.items():
        # The result of a function that returns a pointer to a function is known as void *.
        if isinstance(found, Signature) and found.result.text != "void *":
            pointer = pointer_to(function_type(as_result(found.result), found.parameters, False))
            lines.append(f"{pointer._declare(f'check_{name}')} = {name};\n")
    assert len(lines) > 1000
    errors = errors_of("".join(lines), tmp_path)
    assert [error for error in errors if "volatile" not in error] == []  # which means nothing to a call
    assert errors_of("int (*check)(int) = cos;\n", tmp_path), "the compiler finds what is wrong"


def test_constants_have_the_values_that_the_compiler_gives_them(header, tmp_path):
    lines = []
    for name, value in header.constants().items():
        literal = f"{value}ull" if value >= 2**63 else f"(-{-value - 1}ll - 1)" if value < 0 else f"{value}ll"
        lines.append(f'_Static_assert(({name}) == {literal}, "{name}");\n')
    assert len(lines) > 1000
    assert errors_of("".join(lines), tmp_path) == []
