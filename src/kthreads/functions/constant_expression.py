"""Constant expressions of C: the values of enumerators and of macros, in C's own arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kthreads.functions.c_tokens import is_word
from kthreads.functions.scope import Scope

__all__ = ["NotConstantError", "constant_value", "expanded"]

_NUMBER = re.compile(r"(?P<digits>0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)(?P<suffix>[uU]?[lL]{0,2}|[lL]{1,2}[uU])")
_CHARACTER = re.compile(r"'(?:([^\\'])|\\(.))'", re.DOTALL)
_ESCAPES = {"n": 10, "t": 9, "r": 13, "0": 0, "\\": 92, "'": 39, '"': 34, "a": 7, "b": 8, "f": 12, "v": 11}
_DEEPEST = 50
_MOST_TOKENS = 1000


class NotConstantError(ValueError):
    """The text is not an integer constant expression, or has no defined value."""


class _Value(NamedTuple):
    """A number and its type, which is int or wider after C's promotions."""

    number: int
    size: int
    signed: bool


# Each operator, the tighter the higher, and what it does with two numbers of one type.
_BINARY: Mapping[str, tuple[int, Callable[[int, int], int]]] = {
    "||": (1, lambda a, b: bool(a) or bool(b)), "&&": (2, lambda a, b: bool(a) and bool(b)),
    "|": (3, lambda a, b: a | b), "^": (4, lambda a, b: a ^ b), "&": (5, lambda a, b: a & b),
    "==": (6, lambda a, b: a == b), "!=": (6, lambda a, b: a != b),
    "<": (7, lambda a, b: a < b), ">": (7, lambda a, b: a > b), "<=": (7, lambda a, b: a <= b),
    ">=": (7, lambda a, b: a >= b),
    "<<": (8, lambda a, b: a << b), ">>": (8, lambda a, b: a >> b),
    "+": (9, lambda a, b: a + b), "-": (9, lambda a, b: a - b),
    "*": (10, lambda a, b: a * b),
    "/": (10, lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)),
    "%": (10, lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1)),
}  # fmt: skip
_TRUTHS = frozenset(["||", "&&", "==", "!=", "<", ">", "<=", ">="])
_SHIFTS = frozenset(["<<", ">>"])


def constant_value(tokens: Sequence[str], scope: Scope) -> int:
    """The value of an expression of integers and of the scope's constants.

    Raises:
        NotConstantError: it is none, or its value is not defined, as where a signed number overflows.
    """
    expression = _Expression(expanded(tokens, scope.macros), scope)
    value = expression.conditional()
    if expression.next():
        raise NotConstantError(f"{expression.next()!r} is one too many")
    return value.number


def expanded(
    tokens: Sequence[str], macros: Mapping[str, Sequence[str]], within: frozenset[str] = frozenset()
) -> list[str]:
    """The tokens, with those of macros in place of the macros' names.

    Raises:
        NotConstantError: they are too many.
    """
    found: list[str] = []
    for token in tokens:
        if token in macros and token not in within:
            found += expanded(macros[token], macros, within | {token})
        else:
            found.append(token)
        if len(found) > _MOST_TOKENS:
            raise NotConstantError("it is too long")
    return found


class _Expression:
    def __init__(self, tokens: Sequence[str], scope: Scope) -> None:
        self.tokens, self.scope = tokens, scope
        self.at = self.depth = 0

    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.next()
        if not token or (expected and token != expected):
            raise NotConstantError(f"{expected or 'a value'!r} is missing")
        self.at += 1
        return token

    def conditional(self) -> _Value:
        value = self.binary(1)
        if self.next() != "?":
            return value
        self.take("?")
        chosen = self.conditional()
        self.take(":")
        other = self.conditional()
        size, signed = _common(chosen, other)
        return _typed((chosen if value.number else other).number, size, signed)

    def binary(self, least: int) -> _Value:
        left = self.unary()
        while (found := _BINARY.get(self.next())) is not None and found[0] >= least:
            operator = self.take()
            left = _apply(operator, left, self.binary(found[0] + 1))
        return left

    def unary(self) -> _Value:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotConstantError("it is nested too deeply")
        try:
            token = self.take()
            if token in ("+", "-", "~", "!"):
                value = self.unary()
                if token == "!":
                    return _Value(int(not value.number), 4, True)
                number = {"+": value.number, "-": -value.number, "~": ~value.number}[token]
                return _typed(number, value.size, value.signed)
            return self.primary(token)
        finally:
            self.depth -= 1

    def primary(self, token: str) -> _Value:
        if token == "(":
            return self.parenthesis()
        if token == "sizeof":
            self.take("(")
            return _Value(self.type_name()[0], 8, False)
        if (number := _NUMBER.fullmatch(token)) is not None:
            return _literal(number["digits"], number["suffix"].lower())
        if (character := _CHARACTER.fullmatch(token)) is not None:
            code = ord(character[1]) if character[1] else _ESCAPES.get(character[2], -1)
            if 0 <= code < 128:
                return _Value(code, 4, True)
        if token in self.scope.constants:
            value = self.scope.constants[token]
            if len(self.tokens) > 1 and not -(2**31) <= value < 2**31:
                raise NotConstantError(f"compilers differ in the type of {token}, which does not fit in an int")
            return _Value(value, 4, True)
        raise NotConstantError(f"{token[:40]!r} is not an integer constant")

    def parenthesis(self) -> _Value:
        """Parses an expression in parentheses, or a cast."""
        if is_word(self.next()) and self.next() not in self.scope.constants and self.next() != "sizeof":
            size, signed = self.type_name()
            number = self.unary().number % 2 ** (8 * size)
            number -= 2 ** (8 * size) if signed and number >> (8 * size - 1) else 0
            return _Value(number, max(4, size), signed or size < 4)
        value = self.conditional()
        self.take(")")
        return value

    def type_name(self) -> tuple[int, bool]:
        """Parses the name of an integer type, up to the parenthesis behind it. Returns its size, and whether it has a sign."""
        words = []
        while self.next() and self.next() != ")":
            words.append(self.take())
        self.take(")")
        name = " ".join(words)
        found = self.scope.find(name) if all(map(is_word, words)) else None
        if found is None or found.kind not in ("integer", "char"):
            raise NotConstantError(f"{name[:40]!r} is not an integer type that kthreads knows")
        return found.size, found.signed


def _literal(digits: str, suffix: str) -> _Value:
    """A number as C types it: by the first type that holds it; a decimal one without u is signed."""
    is_decimal = not digits.startswith("0") or digits == "0"
    number = int(digits, 10 if is_decimal else 0 if digits[1:2] in tuple("xXbB") else 8)
    for size in (4, 8) if "l" not in suffix else (8,):
        if "u" not in suffix and number < 2 ** (8 * size - 1):
            return _Value(number, size, True)
        if ("u" in suffix or not is_decimal) and number < 2 ** (8 * size):
            return _Value(number, size, False)
    raise NotConstantError(f"{digits[:40]} does not fit in 64 bits")


def _typed(number: int, size: int, signed: bool) -> _Value:
    """The number in a type: an unsigned one is reduced, a signed one must fit."""
    if not signed:
        return _Value(number % 2 ** (8 * size), size, False)
    if not -(2 ** (8 * size - 1)) <= number < 2 ** (8 * size - 1):
        raise NotConstantError("a signed number overflows")
    return _Value(number, size, True)


def _common(a: _Value, b: _Value) -> tuple[int, bool]:
    """Size and sign of the type that C converts two operands to."""
    size = max(a.size, b.size)
    return size, all(value.signed for value in (a, b) if value.size == size)


def _apply(operator: str, a: _Value, b: _Value) -> _Value:
    calculate = _BINARY[operator][1]
    if operator in _SHIFTS:
        if not 0 <= b.number < 8 * a.size or (a.signed and a.number < 0 and operator == "<<"):
            raise NotConstantError("the result of a shift is not defined")
        return _typed(calculate(a.number, b.number), a.size, a.signed)
    size, signed = _common(a, b)
    left, right = _typed(a.number, size, signed).number, _typed(b.number, size, signed).number
    if operator in ("/", "%") and right == 0:
        raise NotConstantError("it divides by 0")
    if operator in _TRUTHS:
        return _Value(int(calculate(left, right)), 4, True)
    return _typed(calculate(left, right), size, signed)
