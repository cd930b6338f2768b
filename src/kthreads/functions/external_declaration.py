"""External declarations of C: functions, types, enums and variables, as a header or a source file has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kthreads.functions.c_tokens import Token, is_word
from kthreads.functions.c_types import CType
from kthreads.functions.constant_expression import NotConstantError, constant_value
from kthreads.functions.declaration import DeclarationParser
from kthreads.functions.scope import KEYWORDS

__all__ = ["Declared", "ExternalDeclaration", "external_declarations", "names_in_doubt"]

_ATTRIBUTE = frozenset(["__attribute__", "__attribute"])
_OPEN, _CLOSE = frozenset("({["), frozenset(")}]")
# Attributes of GNU C that change nothing in how a function is called. Others do, such as ms_abi and vector_size.
_HARMLESS = frozenset([
    "access", "alias", "alloc_align", "alloc_size", "always_inline", "artificial", "assume_aligned", "aligned",
    "cold", "const", "constructor", "deprecated", "destructor", "error", "externally_visible", "fallthrough",
    "fd_arg", "fd_arg_read", "fd_arg_write", "flatten", "format", "format_arg", "gnu_inline", "hot", "ifunc",
    "leaf", "malloc", "may_alias", "no_icf", "no_instrument_function", "no_reorder", "no_sanitize",
    "no_sanitize_address", "no_sanitize_thread", "no_sanitize_undefined", "no_split_stack", "no_stack_limit",
    "noclone", "nodiscard", "noinline", "noipa", "nonnull", "nonstring", "noreturn", "nothrow",
    "null_terminated_string_arg", "optimize", "pure", "reproducible", "retain", "returns_nonnull",
    "returns_twice", "section", "sentinel", "simd", "stack_protect", "symver", "target", "target_clones",
    "tainted_args", "unavailable", "unsequenced", "unused", "used", "visibility", "warn_unused_result", "warning",
    "weak", "weakref", "zero_call_used_regs", "maybe_unused",
])  # fmt: skip


class ExternalDeclaration(NamedTuple):
    """The tokens of one declaration, without attributes; of a function definition, those before its body."""

    tokens: list[Token]
    is_definition: bool
    is_extern_c: bool
    """Whether C++ gives its functions the names that they have in C."""

    @property
    def line(self) -> int:
        return self.tokens[0].line

    @property
    def text(self) -> str:
        """The declaration as messages show it."""
        text = " ".join(token.text for token in self.tokens[:60])
        text = re.sub(r" ?([(\[]) ?", r"\1", text)
        return re.sub(r" (?=[)\],;])|(?<=[*]) ", "", text)[:200]

    @property
    def name(self) -> str:
        """The word before the first parenthesis, which is the name of most functions; empty where there is none."""
        at = 0
        while at + 1 < len(self.tokens):
            text = self.tokens[at].text
            if text in _ATTRIBUTE:
                at = _end_of_group(self.tokens, at + 1)
            elif self.tokens[at + 1].text == "(" and is_word(text):
                return "" if text in KEYWORDS else text
            else:
                at += 1
        return ""


def names_in_doubt(declaration: ExternalDeclaration) -> list[str]:
    """The names that a typedef may give, where it is not understood."""
    texts = [token.text for token in declaration.tokens]
    if "typedef" not in texts:
        return []
    end = next((at for at, text in enumerate(texts) if text in _ATTRIBUTE), len(texts))
    return [text for text in texts[:end] if is_word(text) and text not in KEYWORDS][-1:]


class _Splitter:
    """What divides the tokens of a file into declarations. What only C++ has, such as namespaces and templates, is left
    out."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.extern_c_blocks = 0
        self._begin()

    def _begin(self) -> None:
        self.found: list[Token] = []
        self.has_parenthesis = self.has_value = self.is_extern_c = False

    def _ended(self, is_definition: bool = False) -> Iterator[ExternalDeclaration]:
        if self.found:
            yield ExternalDeclaration(self.found, is_definition, self.is_extern_c or self.extern_c_blocks > 0)
        self._begin()

    def _next(self, offset: int = 0) -> str:
        at = self.at + offset
        return self.tokens[at].text if at < len(self.tokens) else ""

    def declarations(self) -> Iterator[ExternalDeclaration]:
        while text := self._next():
            end = _end_of_attributes(self.tokens, self.at)
            if end > self.at:
                self.at = end
            elif text == "extern" and self._next(1) == '"C"':
                self.is_extern_c, self.at = True, self.at + 2
            elif text == "{" and self.is_extern_c and not self.found:
                self.extern_c_blocks, self.is_extern_c, self.at = self.extern_c_blocks + 1, False, self.at + 1
            elif text in _OPEN:
                yield from self._group(text)
            elif text == ";" or (text == "}" and not self.found):
                self.extern_c_blocks -= text == "}"
                self.at += 1
                yield from self._ended()
            else:
                self.has_value = self.has_value or text == "="
                self.found.append(self.tokens[self.at])
                self.at += 1
        yield from self._ended()

    def _group(self, opening: str) -> Iterator[ExternalDeclaration]:
        """A group that is a part of a declaration, or the body that ends one."""
        before = self.found[-1].text if self.found else ""
        group = self.tokens[self.at : _end_of_group(self.tokens, self.at)]
        self.at += len(group)
        is_namespace = "namespace" in [token.text for token in self.found[:2]]
        if opening != "{" or self.has_value or not (self.has_parenthesis or is_namespace or not self.found):
            self.found += _without_attributes(group)
            is_attribute = opening == "(" and before in _ATTRIBUTE
            self.has_parenthesis = self.has_parenthesis or (opening == "(" and not is_attribute)
        elif is_namespace:
            self._begin()
        else:
            yield from self._ended(is_definition=True)


def external_declarations(tokens: Sequence[Token]) -> Iterator[ExternalDeclaration]:
    """The declarations of a file, in their order."""
    return _Splitter(tokens).declarations()


def _end_of_group(tokens: Sequence[Token], at: int) -> int:
    """The index behind the group that begins at an index with a parenthesis, a bracket or a brace."""
    depth = 0
    while at < len(tokens):
        depth += (tokens[at].text in _OPEN) - (tokens[at].text in _CLOSE)
        at += 1
        if depth == 0:
            break
    return at


def _end_of_attributes(tokens: Sequence[Token], at: int) -> int:
    """The index behind the attributes at an index, and behind the words that mean as little for a call; the same index for
    anything else."""
    texts = [token.text for token in tokens[at : at + 3]]
    if texts[0] in ("__extension__", "noexcept", "_Noreturn"):
        return at + 1
    if texts[:2] == ["std", "::"]:
        return at + 2
    is_gnu = texts[0] in _ATTRIBUTE and texts[1:] == ["(", "("]
    if not is_gnu and texts[:2] != ["[", "["]:
        return at
    end = _end_of_group(tokens, at + is_gnu)
    inner = tokens[at + (3 if is_gnu else 2) : end - 2]
    return end if all(name.strip("_") in _HARMLESS for name in _attribute_names(inner)) else at


def _attribute_names(tokens: Sequence[Token]) -> Iterator[str]:
    at = 0
    while at < len(tokens):
        text = tokens[at].text
        if text in _OPEN:
            at = _end_of_group(tokens, at)
            continue
        is_vendor = [token.text for token in tokens[at + 1 : at + 2]] == ["::"]
        if is_word(text) and not is_vendor:
            yield text
        at += 1


def _without_attributes(tokens: Sequence[Token]) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(tokens):
        end = _end_of_attributes(tokens, at)
        if end == at:
            found.append(tokens[at])
            end += 1
        at = end
    return found


class Declared(NamedTuple):
    """What one declarator declares."""

    name: str
    ctype: CType
    storage: frozenset[str]


class ExternalParser(DeclarationParser):
    """The parser of an external declaration: it also reads the bodies of structures and enums, and several declarators."""

    def declared(self) -> list[Declared]:
        """Parses the whole declaration, and adds to the scope the types that it names."""
        base = self.specifiers()
        found: list[Declared] = []
        while self.next():
            ctype = self.declarator(base)
            if not self.name:
                raise self.error("a name is missing") if not self.next() else self.unexpected()
            found.append(Declared(self.name, ctype, frozenset(self.storage)))
            if self.next() == "=":
                self.skip_to(",")
            if self.next() not in ("", ","):
                raise self.unexpected()
            if "typedef" in self.storage:
                self.scope.types[self.name] = ctype
            self.at += 1
        return found

    def skip_to(self, wanted: str) -> None:
        """Skips to the next such token outside of parentheses, or to the end."""
        while self.next() not in ("", wanted):
            self.skip_group()

    def skip_group(self) -> None:
        depth = 0
        while True:
            token = self.take()
            depth += (token in _OPEN) - (token in _CLOSE)
            if depth <= 0:
                return

    def tagged(self) -> CType:
        begin = self.at
        kind, tag = self.take(), ""
        self.skip_attributes_of(kind)
        if is_word(self.next()) and self.next(1) in ("{", ":") and not self.is_type(self.next()):
            tag = self.take()
        if self.next() not in ("{", ":"):
            self.at = begin
            return super().tagged()
        if kind == "enum":
            return self.enum(tag)
        self.members()
        self.skip_attributes_of(kind)
        return CType("opaque", 0, False, f"{kind} {tag}" if tag else self.next_word() or kind)

    def skip_attributes_of(self, kind: str) -> None:
        """Skips attributes of a structure, such as packed, which change its layout alone. An enum has another size by them."""
        while kind != "enum" and self.next() in _ATTRIBUTE:
            self.take()
            self.skip_group()

    def next_word(self) -> str:
        """The next word, which the structure without a tag is named by: that of its typedef."""
        return next((token for token in self.tokens[self.at :] if is_word(token)), "")

    def members(self) -> None:
        """Skips the body of a structure. The enumerators in it are names of the file."""
        depth = 0
        while True:
            token = self.next()
            if token == "enum" and "{" in (self.next(1), self.next(2)):
                self.tagged()
                continue
            depth += (self.take() in _OPEN) - (token in _CLOSE)
            if depth == 0:
                return

    def enum(self, tag: str) -> CType:
        """Parses the type and the enumerators of an enum."""
        stated = None
        if self.next() == ":":
            self.take()
            stated = self.specifiers()
        values = self.enumerators()
        ctype = stated or self.integer_of(values)
        if tag:
            self.scope.enums[tag] = ctype
        return ctype

    def enumerators(self) -> list[int]:
        self.take("{")
        values: list[int] = []
        while self.next() != "}":
            name = self.take()
            if not is_word(name) or self.is_type(name):
                raise self.error(f"{name!r} is no name of an enumerator")
            value = values[-1] + 1 if values else 0
            if self.next() == "=":
                self.take()
                begin = self.at
                while self.next() not in (",", "}", ""):
                    self.skip_group()
                try:
                    value = constant_value(self.tokens[begin : self.at], self.scope)
                except NotConstantError as error:
                    raise self.error(
                        f"the value of {name} is not a constant that kthreads can calculate: {error}"
                    ) from None
            values.append(value)
            self.scope.constants[name] = value
            if self.next() != "}":
                self.take(",")
        self.take("}")
        return values

    def integer_of(self, values: Sequence[int]) -> CType:
        """The type of an enum, as GCC and Clang choose it: one without a sign where no value has one."""
        least, most = min(values, default=0), max(values, default=0)
        names = ("int", "long") if least < 0 else ("unsigned int", "unsigned long")
        for name in names:
            ctype = self.scope.find(name)
            assert ctype is not None
            bits = 8 * ctype.size - ctype.signed
            if -(2**bits) <= least and most < 2**bits:
                return ctype
        raise self.error("no integer type holds its values")
