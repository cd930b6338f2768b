"""The parser of C declarations: from text to the signature of a function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from kthreads.errors import DeclarationError
from kthreads.functions.c_tokens import Token, is_word, tokens_of
from kthreads.functions.c_types import CType, function_type, pointer_to
from kthreads.functions.scope import KEYWORDS, Scope
from kthreads.functions.signature import Signature, variable_arguments

__all__ = ["DeclarationParser", "parse"]

_QUALIFIERS = frozenset(["const", "volatile", "restrict", "_Nullable", "_Nonnull"])
_STORAGE = frozenset(["register", "extern", "static", "inline", "_Noreturn", "typedef"])
_BASE_WORDS = (  # in the order that cffi accepts; C accepts any
    "signed", "unsigned", "short", "long", "char", "int", "float", "double", "void", "_Complex", "__int128",
)  # fmt: skip
# The other spellings that GNU C has for some words.
_SPELLINGS = {
    f"{begin}{word}{end}": word
    for word in ("const", "volatile", "restrict", "signed", "inline")
    for begin, end in (("__", ""), ("__", "__"))
} | dict.fromkeys(("__complex", "__complex__"), "_Complex")
_BASE_SET = frozenset(_BASE_WORDS)
_TAGS = frozenset(["struct", "union", "enum"])
_NO_NAMES = _QUALIFIERS | _STORAGE | _TAGS | KEYWORDS | _BASE_SET | frozenset(_SPELLINGS)
_PUNCTUATION = frozenset(["...", *"*()[],"])
_DEEPEST = 30  # levels of nested parentheses, and of nested types: both are handled by recursion
_SHOWN = 200  # characters of a text that a message shows
_FOR_INSTANCE = "write it as C declares it, such as 'double(int, const double *)'"
_NO_SCOPE = Scope()


def parse(text: str) -> Signature:
    """The signature that a C declaration gives, such as ``double(int, const double *)``; names are optional.

    cffi decides which names are those of basic types. An unknown name behind a pointer stands for an opaque type.

    Raises:
        DeclarationError: the text does not declare a function; a TypeError.
        TypeError: it declares one that kthreads cannot call. The message says why.
    """
    if not isinstance(text, str):
        raise TypeError(f"a signature is a str, not {type(text).__name__}: {_FOR_INSTANCE}")
    return _parse(text)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Signature:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return DeclarationParser(tokens_of(text.rstrip().removesuffix(";")), shown).function()


class DeclarationParser:
    """The parser of one declaration: types from left to right, declarators from the inside out.

    Attributes:
        scope: the types that names stand for.
        name: of what the last declarator declares; empty where it has none.
        storage: the words such as `static` and `typedef` that were found.
    """

    def __init__(self, tokens: Sequence[Token], text: str, scope: Scope = _NO_SCOPE) -> None:
        """
        Args:
            text: the declaration as messages show it.
        """
        self.text = text
        self.scope = scope
        self.tokens = [_SPELLINGS.get(token.text, token.text) for token in tokens]
        self.at = self.depth = 0
        self.is_within = False  # whether the parser is within a parenthesis or a list of parameters
        self.name = ""
        self.storage: set[str] = set()

    def error(self, problem: str) -> DeclarationError:
        return DeclarationError(f"{self.text!r} is not a C function, {problem}: {_FOR_INSTANCE}")

    def unexpected(self) -> DeclarationError:
        """The error for the next token, which nothing in a declaration can be."""
        token = self.next()
        if is_word(token) or token in _PUNCTUATION or token[:1].isdigit():
            return self.error(f"{token!r} is one too many")
        return self.error(f"{token[:_SHOWN]!r} is not understood")

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
            raise self.unexpected()
        if "typedef" in self.storage:
            raise self.error("it names a type")
        return self.signature_of(found.pointee or found)

    def signature_of(self, ctype: CType) -> Signature:
        """The signature of a function of this type."""
        if ctype.prototype is None:
            raise self.error("it has no parameter list")
        if ctype.prototype.variable:
            raise TypeError(variable_arguments(self.text))
        return Signature(ctype.prototype.result, ctype.prototype.parameters)

    def specifiers(self) -> CType:
        """Parses the words before the declarator, which say together which type it is."""
        words: list[str] = []
        found: CType | None = None
        const = False
        while is_word(token := self.next()):
            if token == "complex" and self.is_complex(words):
                token = "_Complex"
            if token in _QUALIFIERS:
                const = const or token == "const"
            elif token in _STORAGE:
                self.storage.add(token)
            elif token in KEYWORDS:
                raise self.error(f"kthreads does not know the word {token!r}")
            elif token in _TAGS and not words and found is None:
                found = self.tagged()
                continue
            elif found is None and (not words or (token in _BASE_WORDS and words[-1] in _BASE_WORDS)):
                words.append(token)
            else:
                break  # the name of what is declared
            self.at += 1
        return _qualified(found or self.type_of(words), const)

    def is_complex(self, words: list[str]) -> bool:
        """Whether the word `complex` is the macro of <complex.h>, which stands beside words such as `double`, and not a name."""
        beside = [*words, self.next(1)]
        return "complex" not in self.scope.types and not _BASE_SET.isdisjoint(beside)

    def type_of(self, words: list[str]) -> CType:
        """The type that words such as ``unsigned long`` or ``size_t`` stand for."""
        if not words:
            raise self.unexpected() if self.is_strange(self.next()) else self.error("a type is missing")
        if words[0] in _BASE_WORDS:
            words.sort(key=_BASE_WORDS.index)
        name = " ".join(words)
        if (found := self.scope.find(name)) is not None:
            return found
        if words[0] in _BASE_WORDS:
            raise self.error(f"{name!r} is not a type that kthreads knows")
        return CType("opaque", 0, False, name)

    def tagged(self) -> CType:
        """Parses a structure, a union or an enum, which are known by their tags."""
        kind, tag = self.take(), self.next()
        if not is_word(tag) or tag in _NO_NAMES:
            raise self.error(f"{kind} needs a name")
        self.at += 1
        if kind == "enum" and tag in self.scope.enums:
            return self.scope.enums[tag]
        return CType("opaque", 0, False, f"{kind} {tag}")

    def is_strange(self, token: str) -> bool:
        return bool(token) and not is_word(token) and token not in _PUNCTUATION and not token[:1].isdigit()

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
        self.name = ""
        if is_word(self.next()):
            if self.is_type(name := self.take()) and not self.may_hide(name):
                raise self.error(f"{name!r} is one type too many")
            self.name = name
        return self.suffixes(base)

    def begins_declarator(self) -> bool:
        """Whether the next parenthesis holds a declarator, such as a name, and not a list of parameters.

        A name that is not a type is a declarator, except in ``void(point_t)``, where it counts as an unknown type.
        """
        first, second = self.next(1), self.next(2)
        if not is_word(first):
            return first in ("*", "(", "[")
        if self.is_type(first) or (second, self.next(3)) == ("(", "*"):  # a name never stands before (*
            return False
        if second not in ("[", ")"):
            return second == "("
        return self.is_within or self.next(self.after_parenthesis(0)) in ("(", "[")

    def is_type(self, word: str) -> bool:
        return word in _NO_NAMES or self.scope.find(word) is not None

    def may_hide(self, name: str) -> bool:
        """Whether a declaration may give the name of a type to something else, such as to another type of the same name."""
        return name in self.scope.types or ("typedef" in self.storage and name not in _NO_NAMES)

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
            return self.checked(function_type(base.with_const(None), *self.parameters()))
        if self.next() != "[":
            return base
        begin = self.at
        while self.next() == "[":
            self.skip_brackets()
        # Man pages write the length of a void * in brackets: void buffer[.size].
        is_length = base.kind == "void" and any(token[:1] == "." for token in self.tokens[begin : self.at])
        if base.kind in ("void", "function") and not is_length:
            raise self.error(f"an array has no elements of type {base.text}")
        return base if base.kind == "array" else CType("array", 0, False, "", base)

    def skip_brackets(self) -> None:
        depth = 0
        while depth or self.next() == "[":
            depth += {"[": 1, "]": -1}.get(self.take(), 0)
            if not depth:
                return

    def parameters(self) -> tuple[tuple[CType, ...], bool]:
        """Parses a parameter list. Returns the parameters, and whether any number of others may follow."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"it has more than {_DEEPEST} levels of parentheses")
        outside, self.is_within = (self.is_within, self.name), True
        found, variable = self.list_of_parameters()
        self.is_within, self.name = outside
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


def _qualified(ctype: CType, const: bool) -> CType:
    """The type with const, or without it. The const of an array is that of its elements; a function has none."""
    if ctype.kind == "function":
        return ctype
    if ctype.kind == "array" and ctype.pointee is not None:
        return replace(ctype, pointee=_qualified(ctype.pointee, const or ctype.pointee.const is True))
    return ctype.with_const(const or ctype.const is True)


def _as_parameter(ctype: CType) -> CType:
    """The type of a parameter: a pointer instead of an array or a function, and without const, as the caller passes a copy."""
    if ctype.kind == "function":
        return pointer_to(ctype)
    if ctype.kind == "array" and ctype.pointee is not None:
        return pointer_to(ctype.pointee)
    return ctype.with_const(None)
