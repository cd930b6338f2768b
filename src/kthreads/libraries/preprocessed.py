"""Headers and source files that the preprocessor of a compiler has been over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from kthreads.functions.c_tokens import Token, tokens_of
from kthreads.functions.c_types import CType
from kthreads.functions.external_declaration import ExternalDeclaration
from kthreads.functions.header import Header
from kthreads.functions.scope import Scope
from kthreads.libraries.compiler import Compiler

__all__ = ["read_header", "read_preprocessed"]

# A marker says which line of which file the next line is: # 12 "file.c" 2. A 3 among its flags means a system header.
_MARKER = re.compile(r'^# (\d+) "((?:[^"\\]|\\.)*)"((?: \d)*)\s*$')
_DEFINE = re.compile(r"^#define (.*)$")
_TYPEDEF = re.compile(r"\btypedef\b[^;{}]*(?:\{[^{}]*\})?[^;{}]*;")
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_UNDEF = re.compile(r"^#undef (\w+)")


class _Line(NamedTuple):
    text: str
    number: int
    is_system: bool


class _SystemScope(Scope):
    """A scope that looks for unknown types in the text of system headers, of which most is never read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._unread = {word for typedef in _TYPEDEF.findall(text) for word in _WORD.findall(typedef)}

    def find(self, name: str) -> CType | None:
        if (found := super().find(name)) is not None or name not in self._unread:
            return found
        self._unread.discard(name)  # also while its own typedef is read
        match = re.search(
            rf"\btypedef\b([^;{{}}]*(?:\{{[^{{}}]*\}})?[^;{{}}]*\b{name}\b[^;{{}}]*);", self._text, re.ASCII
        )
        if match is None or (found := self._named_by(match[0], name)) is None:
            return None
        self.types[name] = found
        return found

    def _named_by(self, text: str, name: str) -> CType | None:
        header = Header(self)
        header.add(tokens_of(text), lambda declaration, error: None)
        return self.types.get(name)


def read_header(path: str | os.PathLike[str]) -> Header:
    """What a header declares, and the headers that it includes other than those of the system.

    Raises:
        CompilerNotFoundError: there is no C compiler.
        CompileError: it does not take the header.
    """
    return read_preprocessed(Compiler("c").preprocess(os.fsdecode(path), ()))


def read_preprocessed(text: str, language: str = "c") -> Header:
    """Reads what a preprocessor has written, with its markers and its macros (the option -dD).

    A declaration that is not understood makes no error, as the compiler has the last word on it. If it is a function, the
    reason is kept.
    """
    system: list[str] = []
    own: list[Token] = []
    macros: list[str] = []
    for line in _lines(text):
        if line.text[:1] != "#":
            if line.is_system:
                system.append(line.text)
            else:
                own += tokens_of(line.text, line.number)
        elif not line.is_system:
            macros.append(line.text)
    header = Header(_SystemScope("\n".join(system)), language)
    for macro in macros:
        if (match := _DEFINE.match(macro)) is not None:
            header.define(match[1])
        elif (match := _UNDEF.match(macro)) is not None:
            header.scope.macros.pop(match[1], None)

    def refuse(declaration: ExternalDeclaration, error: TypeError) -> None:
        if declaration.name and (language == "c" or declaration.is_extern_c):
            header.functions[declaration.name] = error
            header.defined |= {declaration.name} if declaration.is_definition else set()

    header.add(own, refuse)
    return header


def _lines(text: str) -> Iterator[_Line]:
    """The lines between the markers. A file is one of the system's if its first marker says so: the markers in a file of the
    user's flag what a macro of the system stands for, too."""
    file, number = "", 1
    is_system: dict[str, bool] = {}
    for line in text.splitlines():
        marker = _MARKER.match(line)
        if marker is not None:
            number, file = int(marker[1]), marker[2]
            is_system.setdefault(file, file.startswith("<") or "3" in marker[3].split())
        else:
            yield _Line(line, number, is_system.get(file, False))
            number += 1
