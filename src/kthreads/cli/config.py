"""`kthreads config`: what a compiler needs for a C or C++ program that uses the engine."""

from __future__ import annotations

import argparse
import os
import shlex

from kthreads import _native, get_include
from kthreads.cli.parser import Parser

__all__ = ["add_arguments"]


def _folder() -> str:
    """Where libkthreads.so and kthreads.pc lie: beside the extension."""
    return os.path.dirname(os.path.abspath(_native.__file__))


def _run(options: argparse.Namespace) -> int:
    words = []
    if options.cflags:
        words.append(f"-I{os.path.abspath(get_include())}")
    if options.libs:
        words += [f"-L{_folder()}", f"-Wl,-rpath,{_folder()}", "-lkthreads"]
    if options.pkgconfigdir:
        words.append(_folder())
    if not words:
        options.parser.error("nothing asked for: --cflags, --libs or --pkgconfigdir")
    print(shlex.join(words))
    return 0


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `config`."""
    parser.description = (
        "Prints options for a C or C++ compiler, in one line, for the header and libkthreads.so of this package: "
        "cc program.c $(kthreads config --cflags --libs)."
    )
    parser.add_argument("--cflags", action="store_true", help="the folder of the header")
    parser.add_argument("--libs", action="store_true", help="the library, and where the program finds it when it runs")
    parser.add_argument("--pkgconfigdir", action="store_true", help="the folder of kthreads.pc, for PKG_CONFIG_PATH")
    parser.set_defaults(run=_run, parser=parser)
