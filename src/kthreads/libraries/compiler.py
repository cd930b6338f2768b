"""The compiler of C and C++: which it is, and how it is called."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache

from kthreads.errors import CompileError, CompilerNotFoundError

__all__ = ["LANGUAGES", "Compiler"]

_SHARED_OBJECT = 3  # ET_DYN of elf(5)

# For each language, the variable of make that names its compiler, the usual names, and the end of a file's name.
LANGUAGES = {"c": ("CC", ("cc", "gcc", "clang"), ".c"), "c++": ("CXX", ("c++", "g++", "clang++"), ".cpp")}


class Compiler:
    """The compiler of a language: the one that the environment variable CC or CXX names, or that Python was built with, or
    `cc` or `c++`.

    Attributes:
        command: its name, and the arguments that come with it.

    Raises:
        CompilerNotFoundError: there is none.
    """

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ValueError(f"language is 'c' or 'c++', not {language!r}")
        self.language = language
        self.command = _command_of(language)

    @property
    def version(self) -> str:
        """What the compiler says of itself."""
        return _version_of(tuple(self.command))

    def preprocess(self, path: str, flags: Sequence[str]) -> str:
        """The text of a file after preprocessing, with markers of lines and with macros.

        Raises:
            CompileError: the compiler refuses it.
        """
        return self._run([*flags, "-E", "-dD", "-x", self.language, path])

    def build(self, path: str, flags: Sequence[str], libraries: Sequence[str], output: str) -> None:
        """Makes a shared library of a source file.

        Raises:
            CompileError: the compiler refuses it.
        """
        files = ["-x", self.language, path, "-x", "none", *libraries, "-lm"]
        arguments = ["-fPIC", "-shared", *flags, "-o", output, *files]
        self._run(arguments)
        if not _is_elf_of_type(output, _SHARED_OBJECT):  # as after -c or -E, and where CC is no compiler
            raise CompileError("the compiler made no shared library", shlex.join([*self.command, *arguments]))

    def _run(self, arguments: Sequence[str]) -> str:
        command = [*self.command, *arguments]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            diagnostics = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
            raise CompileError(diagnostics, shlex.join(command))
        return done.stdout.decode(errors="surrogateescape")  # texts of other bytes stay different ones


def _is_elf_of_type(path: str, kind: int) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(18)
    except FileNotFoundError:
        return False
    return head[:4] == b"\x7fELF" and int.from_bytes(head[16:18], sys.byteorder) == kind


@lru_cache(maxsize=8)
def _version_of(command: tuple[str, ...]) -> str:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, errors="replace", check=False)
    return done.stdout + done.stderr


def _command_of(language: str) -> list[str]:
    variable, usual, _ = LANGUAGES[language]
    if stated := shlex.split(os.environ.get(variable, "")):
        if shutil.which(stated[0]) is None:
            raise _not_found(f"{variable} names the compiler {stated[0]!r}, which is not there")
        return stated
    built_with = shlex.split(sysconfig.get_config_var(variable) or "")[:1]
    for name in (*built_with, *usual):
        if shutil.which(name) is not None:
            return [name]
    raise _not_found(
        f"there is no {'C++' if language == 'c++' else 'C'} compiler: install gcc or clang, or set {variable}"
    )


def _not_found(message: str) -> CompilerNotFoundError:
    return CompilerNotFoundError(errno.ENOENT, message)
