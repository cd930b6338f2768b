"""The parser of C declarations: from text to the signature of a function."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from kthreads._native import ffi
from kthreads.functions.c_types import CType, function_type, pointer_to
from kthreads.functions.foreign_types import from_cffi
from kthreads.functions.signature import Signature, variable_arguments

__all__ = ["parse"]

_TOKEN = re.compile(r"\s*(\.\.\.|[A-Za-z_]\w*|\d+|[*()\[\],])")
_QUALIFIERS = frozenset(["const", "volatile", "restrict", "__restrict", "__restrict__", "register", "extern", "static"])
_BASE_WORDS = (  # in the order that cffi accepts; C accepts any
    "signed", "unsigned", "short", "long", "char", "int", "float", "double", "void", "_Complex", "__int128",
)  # fmt: skip
_ALIASES = {"Py_ssize_t": "ssize_t"}  # what Cython writes and cffi does not know
_TAGS = frozenset(["struct", "union", "enum"])
_NO_NAMES = _QUALIFIERS | _TAGS | frozenset([*_BASE_WORDS, *_ALIASES])
_DEEPEST = 30  # levels of nested parentheses, and of nested types: both are handled by recursion
_SHOWN = 200  # characters of a text that a message shows
_FOR_INSTANCE = "write it as C declares it, such as 'double(int, const double *)'"


def parse(text: str) -> Signature:
    """The signature that a C declaration gives, such as ``double(int, const double *)``; names are optional.

    cffi decides which names are those of basic types. An unknown name behind a pointer stands for an opaque type.

    Raises:
        TypeError: the text does not declare a function, or declares one that kthreads cannot call; the message says why.
    """
    if not isinstance(text, str):
        raise TypeError(f"a signature is a str, not {type(text).__name__}: {_FOR_INSTANCE}")
    return _parse(text)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Signature:
    return _Declaration(text).function()


class _Declaration:
    """A declaration that is being parsed: types from left to right, declarators from the inside out."""

    def __init__(self, text: str) -> None:
        self.text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        self.tokens: list[str] = []
        self.at = self.depth = 0
        self.is_within = False  # whether the parser is within a parenthesis or a list of parameters
        end = 0
        body = text.rstrip().removesuffix(";").rstrip()
        while end < len(body):
            match = _TOKEN.match(body, end)
            if match is None:
                raise self.error(f"{body[end:].split()[0][:_SHOWN]!r} is not understood")
            self.tokens.append(match[1])
            end = match.end()

    def error(self, problem: str) -> TypeError:
        return TypeError(f"{self.text!r} is not a C function, {problem}: {_FOR_INSTANCE}")

    def next(self, offset: int = 0) -> str:
        at = self.at + offset
        return self.tokens[at] if at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.next()
        if not token or (expected and token != expected):
            found = repr(token) if token else "the end"
            raise self.error(f"{expected!r} was expected, not {found}" if expected else "it ends too early")
        self.at += 1
        return token

    def function(self) -> Signature:
        """Parses the whole text."""
        found = self.declarator(self.specifiers())
        if self.next():
            raise self.error(f"{self.next()!r} is one too many")
        prototype = (found.pointee or found).prototype
        if prototype is None:
            raise self.error("it has no parameter list")
        if prototype.variable:
            raise TypeError(variable_arguments(self.text))
        return Signature(prototype.result, prototype.parameters)

    def specifiers(self) -> CType:
        """Parses the words before the declarator. cffi knows which type they mean together."""
        words: list[str] = []
        const = False
        while _is_word(token := self.next()):
            if token in _QUALIFIERS:
                const = const or token == "const"
            elif token in _TAGS and not words:
                words = [self.take(), self.next()]
                if not _is_word(words[1]) or words[1] in _NO_NAMES:
                    raise self.error(f"{token} needs a name")
            elif not words or (token in _BASE_WORDS and words[-1] in _BASE_WORDS):
                words.append(token)
            else:
                break  # the name of what is declared
            self.at += 1
        if not words:
            raise self.error("a type is missing")
        if words[0] in _BASE_WORDS:
            words.sort(key=_BASE_WORDS.index)
        name = _ALIASES.get(words[0], " ".join(words))
        ctype = None if "__int128" in words else _typeof(name)  # cffi would take this word for a name
        if ctype is not None:
            return from_cffi(ctype, const)
        if words[0] in _BASE_WORDS:
            raise self.error(f"{name!r} is not a type that kthreads knows")
        return CType("opaque", 0, False, name, const=const)

    def declarator(self, base: CType) -> CType:
        """Parses a declarator: the pointers, arrays and parameter lists around a base type, which give the declared type."""
        while self.next() == "*":
            self.at += 1
            const = False
            while self.next() in _QUALIFIERS:
                const = self.take() == "const" or const
            # A pointer to an array becomes a pointer to its elements, which has the same address.
            base = self.checked(CType("pointer", 8, False, "", base.pointee if base.kind == "array" else base, const))
        if self.next() == "(" and self.begins_declarator():
            return self.grouped(base)
        if _is_word(self.next()):
            name = self.take()
            if self.is_type(name):
                raise self.error(f"{name!r} is one type too many")
        return self.suffixes(base)

    def begins_declarator(self) -> bool:
        """Whether the next parenthesis holds a declarator, such as a name, and not a list of parameters.

        A name that is not a type is a declarator, except in ``void(point_t)``, where it counts as an unknown type.
        """
        first, second = self.next(1), self.next(2)
        if not _is_word(first):
            return first in ("*", "(", "[")
        if self.is_type(first) or (second, self.next(3)) == ("(", "*"):  # a name never stands before (*
            return False
        if second not in ("[", ")"):
            return second == "("
        return self.is_within or self.next(self.after_parenthesis(0)) in ("(", "[")

    def is_type(self, word: str) -> bool:
        return word in _NO_NAMES or _typeof(word) is not None

    def checked(self, ctype: CType) -> CType:
        if ctype.nesting > _DEEPEST:
            raise self.error(f"it has more than {_DEEPEST} levels of types")
        return ctype

    def after_parenthesis(self, offset: int) -> int:
        """The offset of the token after the parenthesis that begins at an offset."""
        depth = 0
        while True:
            token = self.next(offset)
            if not token:
                raise self.error("a parenthesis is not closed")
            depth += {"(": 1, ")": -1}.get(token, 0)
            offset += 1
            if depth == 0:
                return offset

    def grouped(self, base: CType) -> CType:
        """Parses a declarator in parentheses, as that of a pointer to a function: the suffixes behind it bind first."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"it has more than {_DEEPEST} levels of parentheses")
        begin = self.at + 1
        self.at += self.after_parenthesis(0)
        base = self.suffixes(base)
        end, self.at = self.at, begin
        outside, self.is_within = self.is_within, True
        found = self.declarator(base)
        self.is_within = outside
        self.take(")")
        self.at = end
        self.depth -= 1
        return found

    def suffixes(self, base: CType) -> CType:
        """Parses a parameter list, or the brackets of an array."""
        if self.next() == "(":
            if base.kind in ("array", "function"):
                raise self.error(f"a function returns no {base.kind}")
            return self.checked(function_type(replace(base, const=None), *self.parameters()))
        if self.next() != "[":
            return base
        while self.next() == "[":
            while self.take() != "]":
                pass
        if base.kind in ("void", "function"):
            raise self.error(f"an array has no elements of type {base.text}")
        return base if base.kind == "array" else CType("array", 0, False, "", base)

    def parameters(self) -> tuple[tuple[CType, ...], bool]:
        """Parses a parameter list. Returns the parameters, and whether any number of others may follow."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"it has more than {_DEEPEST} levels of parentheses")
        outside, self.is_within = self.is_within, True
        found, variable = self.list_of_parameters()
        self.is_within = outside
        self.depth -= 1
        return found, variable

    def list_of_parameters(self) -> tuple[tuple[CType, ...], bool]:
        self.take("(")
        found: list[CType] = []
        if self.next() == "void" and self.next(1) == ")":
            self.take()
        while self.next() != ")":
            if found:
                self.take(",")
            if self.next() == "...":
                self.take()
                self.take(")")
                return tuple(found), True
            found.append(_as_parameter(self.declarator(self.specifiers())))
            if found[-1].kind == "void":
                raise self.error("a parameter is void, which is not a value")
        self.take(")")
        return tuple(found), False


def _is_word(token: str) -> bool:
    return token[:1].isalpha() or token[:1] == "_"


def _typeof(name: str) -> Any:
    try:
        return ffi.typeof(name)
    except (ffi.error, ValueError):
        return None


def _as_parameter(ctype: CType) -> CType:
    """The type of a parameter: a pointer instead of an array or a function, and without const, as the caller passes a copy."""
    if ctype.kind == "function":
        return pointer_to(ctype)
    if ctype.kind == "array" and ctype.pointee is not None:
        return pointer_to(ctype.pointee)
    return replace(ctype, const=None)
