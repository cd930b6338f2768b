"""The libraries of the peers in C++ (shims): compiled on the machine that measures, and cached."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from kthreads.errors import BuildCacheError
from kthreads.libraries.build_cache import BuildCache

SOURCES = Path(__file__).parent / "cpp"
LIBRARIES = {"std-thread": ("std_thread.cpp", ()), "tbb": ("tbb.cpp", ("-ltbb",))}


class ShimError(Exception):
    """A library could not be compiled."""


def _reason(errors: str) -> str:
    """The first error among a compiler's messages."""
    lines = [line for line in errors.splitlines() if "error" in line]
    return lines[0].split("error:")[-1].strip() if lines else "the compiler failed"


def make(peer: str) -> Path:
    """The path of the library of a peer, which is compiled unless it is cached.

    Raises:
        ShimError: it could not be compiled.
    """
    source, options = LIBRARIES[peer]
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise ShimError("no C++ compiler (CXX, c++)")
    text = (SOURCES / source).read_bytes()
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    key = hashlib.sha256(b"\0".join([text, compiler.encode(), version])).hexdigest()[:16]
    try:
        cache = BuildCache()
    except BuildCacheError as error:
        raise ShimError(str(error)) from None
    library = cache.folder / f"{peer}-{key}.so"
    if library.exists():
        return library
    with cache.unfinished() as folder:
        made = folder / library.name
        command = [compiler, "-O2", "-std=c++17", "-fPIC", "-shared", "-pthread", str(SOURCES / source)]
        try:
            done = subprocess.run(
                [*command, "-o", str(made), *options], capture_output=True, text=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired:
            raise ShimError("the compiler took more than a minute") from None
        if done.returncode != 0:
            raise ShimError(_reason(done.stderr))
        made.replace(library)
    return library
