"""What C text declares: functions with their signatures, types, and integer constants."""

from __future__ import annotations

import re
from collections.abc import Callable

from kthreads.errors import DeclarationError
from kthreads.functions.c_tokens import Token, tokens_of
from kthreads.functions.c_types import CType
from kthreads.functions.constant_expression import NotConstantError, constant_value, expanded
from kthreads.functions.external_declaration import (
    ExternalDeclaration,
    ExternalParser,
    external_declarations,
    names_in_doubt,
)
from kthreads.functions.scope import Scope
from kthreads.functions.signature import Signature

__all__ = ["Header", "read_declarations"]

_COMMENT_OR_STRING = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w*)((?:\\\n|[^\n])*)", re.MULTILINE)
_MACRO = re.compile(r"\s*(\w+)(?![\w(])(.*)", re.DOTALL | re.ASCII)
_NOT_EXPORTED = frozenset(["typedef", "static", "inline"])
_IGNORED = frozenset(["include", "pragma", "line", "ident", "warning", ""])


class Header:
    """What a text declares.

    Attributes:
        functions: the signature of each function, or the exception that says why it cannot be called.
        defined: the names of the functions that have a body here.
        variables: the names of variables.
        scope: its types and constants.
        language: "c", or "c++" for declarations of which only those in ``extern "C"`` count.

    Static and inline functions are left out.
    """

    def __init__(self, scope: Scope | None = None, language: str = "c") -> None:
        self.functions: dict[str, Signature | TypeError] = {}
        self.defined: set[str] = set()
        self.variables: set[str] = set()
        self.scope = scope or Scope()
        self.language = language

    def constants(self) -> dict[str, int]:
        """The values of enumerators, and of those macros that stand for an integer."""
        found = dict(self.scope.constants)
        for name, tokens in self.scope.macros.items():
            try:
                found[name] = constant_value(tokens, self.scope)
            except NotConstantError:
                found.pop(name, None)
        return found

    def define(self, macro: str) -> str:
        """Reads what stands behind ``#define``, and returns the name. A macro with parameters is left out."""
        match = _MACRO.fullmatch(macro)
        if match is None:
            return ""
        self.scope.macros[match[1]] = [token.text for token in tokens_of(match[2].replace("\\\n", " "))]
        return match[1]

    def add(self, tokens: list[Token], refuse: Callable[[ExternalDeclaration, TypeError], None]) -> None:
        """Reads external declarations.

        Args:
            refuse: is called for a declaration that is not understood, with the exception.
        """
        for declaration in external_declarations(tokens):
            try:
                self._add(declaration)
            except TypeError as error:
                for name in names_in_doubt(declaration):
                    self.scope.types[name] = CType("opaque", 0, False, name)
                refuse(declaration, error)

    def _add(self, declaration: ExternalDeclaration) -> None:
        if declaration.tokens[0].text in ("_Static_assert", "static_assert"):
            return
        parser = ExternalParser(declaration.tokens, declaration.text, self.scope)
        for name, ctype, storage in parser.declared():
            is_exported = self.language == "c" or declaration.is_extern_c
            if storage & _NOT_EXPORTED or not is_exported:
                continue
            if ctype.kind != "function":
                self.variables.add(name)
                continue
            try:
                found: Signature | TypeError = parser.signature_of(ctype)
            except TypeError as error:
                found = error
            self.functions[name] = _merged(self.functions.get(name), found, declaration.text)
            if declaration.is_definition:
                self.defined.add(name)


def _merged(known: Signature | TypeError | None, found: Signature | TypeError, text: str) -> Signature | TypeError:
    """What a second declaration of a function leaves. One without parameters may be one of old C, which tells none.

    Raises:
        DeclarationError: they do not agree.
    """
    if not isinstance(known, Signature) or not isinstance(found, Signature) or not known.parameters:
        return found
    if not found.parameters:
        return known
    if known.abi != found.abi:
        raise DeclarationError(f"{text!r} does not agree with {known} before it")
    return found


def read_declarations(text: str) -> Header:
    """Reads declarations as a header or a man page has them.

    Raises:
        DeclarationError: one is not understood; the message says in which line.
    """
    header = Header()
    meanings: dict[str, list[str]] = {}  # of all macros, also of those that are no longer defined

    def directive(match: re.Match[str]) -> str:
        if match[1] == "define":
            name = header.define(match[2])
            if name and meanings.setdefault(name, header.scope.macros[name]) != header.scope.macros[name]:
                line = plain.count("\n", 0, match.start()) + 1
                raise DeclarationError(
                    f"line {line}: the macro {name} has two meanings, which the preprocessor of C can tell"
                )
        elif match[1] == "undef":
            header.scope.macros.pop(match[2].strip(), None)
        elif match[1] not in _IGNORED:
            line = plain.count("\n", 0, match.start()) + 1
            raise DeclarationError(
                f"line {line}: '#{match[1]}' needs the preprocessor of C: pass the path of the header, or only the "
                "declarations that hold"
            )
        return "\n" * match[0].count("\n")

    def refuse(declaration: ExternalDeclaration, error: TypeError) -> None:
        raise DeclarationError(f"line {declaration.line}: {error}") from None

    plain = _COMMENT_OR_STRING.sub(_blank, text)
    tokens = tokens_of(_DIRECTIVE.sub(directive, plain))
    header.add(_replaced(tokens, meanings), refuse)
    return header


def _replaced(tokens: list[Token], macros: dict[str, list[str]]) -> list[Token]:
    """The tokens with those of macros in place of their names."""
    found: list[Token] = []
    for token in tokens:
        if token.text in macros:
            try:
                found += [Token(text, token.line) for text in expanded([token.text], macros)]
            except NotConstantError as error:
                raise DeclarationError(
                    f"line {token.line}: the macro {token.text} cannot be replaced: {error}"
                ) from None
        else:
            found.append(token)
    return found


def _blank(match: re.Match[str]) -> str:
    """A string as it is; a comment as a space and its ends of lines."""
    return match[0] if match[0][0] in "\"'" else " " + "\n" * match[0].count("\n")
