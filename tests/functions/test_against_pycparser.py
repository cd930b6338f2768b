"""Declarations mean what they mean to pycparser, which knows all of C99."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from kthreads.errors import DeclarationError
from kthreads.functions.c_types import CType, function_type
from kthreads.functions.declaration import parse
from kthreads.functions.header import read_declarations
from kthreads.functions.scope import basic_type
from kthreads.functions.signature import Signature

c_parser = pytest.importorskip("pycparser.c_parser")
TYPEDEFS = "typedef int size_t; typedef int int8_t; typedef int FILE; "


class NoC(Exception):
    """pycparser reads it, and C does not allow it."""


# What C99 says which words mean together (6.7.2), by the words in any order.
BASES = {
    "void": "void", "char": "char", "signed char": "signed char", "unsigned char": "unsigned char",
    "float": "float", "double": "double", "long double": "long double", "float _Complex": "float _Complex",
    "double _Complex": "double _Complex", "_Bool": "bool", "size_t": "size_t", "int8_t": "int8_t", "FILE": "FILE",
}  # fmt: skip
for _size in ("short", "", "long", "long long"):
    for _sign in ("", "signed", "unsigned"):
        for _int in ("", "int"):
            _words = " ".join(filter(None, [_sign, _size, _int]))
            BASES[_words] = " ".join(filter(None, ["unsigned" if _sign == "unsigned" else "", _size or "int"]))
del BASES[""]
MEANINGS = {frozenset(Counter(words.split()).items()): name for words, name in BASES.items()}


def ctype_of(node) -> CType:
    """The type of a node of pycparser's tree."""
    kind = type(node).__name__
    if kind in ("Decl", "Typename", "Typedef"):
        return ctype_of(node.type)
    if kind == "TypeDecl":
        return base_of(node.type, "const" in node.quals)
    inner = ctype_of(node.type)
    if kind == "PtrDecl":
        return CType("pointer", 8, False, "", inner.pointee if inner.kind == "array" else inner, "const" in node.quals)
    if kind == "ArrayDecl":
        if inner.kind in ("void", "function"):
            raise NoC
        return inner if inner.kind == "array" else CType("array", 0, False, "", inner)
    assert kind == "FuncDecl"
    if inner.kind in ("array", "function"):
        raise NoC
    parameters = [] if node.args is None else node.args.params
    variable = bool(parameters) and type(parameters[-1]).__name__ == "EllipsisParam"
    types = [as_parameter(ctype_of(each)) for each in parameters[: len(parameters) - variable]]
    if (
        len(types) == 1
        and types[0].kind == "void"
        and types[0].const is None
        and not parameters[0].name
        and not variable
    ):
        types = []
    if any(each.kind == "void" for each in types):
        raise NoC
    return function_type(inner.with_const(None), tuple(types), variable)


def base_of(node, const: bool) -> CType:
    if type(node).__name__ in ("Struct", "Union", "Enum"):
        return CType("opaque", 0, False, f"{type(node).__name__.lower()} {node.name}", const=const)
    name = MEANINGS.get(frozenset(Counter(node.names).items()))
    found = None if name is None else basic_type(name)
    if found is None:
        raise NoC
    return found.with_const(const)


def as_parameter(ctype: CType) -> CType:
    if ctype.kind == "function":
        return CType("pointer", 8, False, "", ctype)
    if ctype.kind == "array":
        return CType("pointer", 8, False, "", ctype.pointee)
    return ctype.with_const(None)


def by_pycparser(text: str) -> Signature | TypeError | None:
    """The signature as pycparser reads it, or why no call can have it; None where C has no such function."""
    try:
        tree = c_parser.CParser().parse(f"{TYPEDEFS}{text};")
        found = ctype_of(tree.ext[-1])
    except (c_parser.ParseError, NoC):
        return None
    except AttributeError:  # pycparser's own, for some declarations that C does not allow
        reject()
    if len(tree.ext) != 4 or found.prototype is None or "typedef" in getattr(tree.ext[-1], "storage", []):
        return None
    if found.prototype.variable:
        return TypeError("variable")
    try:
        return Signature(found.prototype.result, found.prototype.parameters)
    except TypeError as error:
        return error


TYPE_WORDS = [
    "signed", "unsigned", "short", "long", "long", "char", "int", "float", "double", "void", "_Complex", "_Bool", "size_t",
    "int8_t", "struct s", "enum e",
]  # fmt: skip
QUALIFIERS = ["const", "volatile", "restrict"]
TYPES = st.one_of(
    st.sampled_from(["const FILE", *sorted(BASES)]),
    st.lists(st.sampled_from(TYPE_WORDS + QUALIFIERS), min_size=1, max_size=4)
    .filter(lambda words: not set(words).issubset(QUALIFIERS))  # else the type is int in old C, which no one writes
    .map(" ".join),
)
STORAGE = st.sampled_from(["", "", "", "extern ", "static ", "inline ", "static inline "])


@st.composite
def declarators(draw, name, depth=3):
    if depth == 0:
        return name
    inner = draw(declarators(name, depth - 1))
    shape = draw(st.sampled_from(["plain", "plain", "pointer", "const", "parenthesis", "array", "function"]))
    if shape == "pointer":
        return f"*{inner}"
    if shape == "const":
        return f"* const {inner}"
    if shape == "parenthesis":
        return f"({inner})" if inner else "*"
    if shape == "array":
        return f"{inner}[{draw(st.sampled_from(['3', 'static 2', '*', 'const 3', '3][4', '2 + 1']))}]"
    if shape == "function":
        return f"{inner}({draw(parameter_lists(depth - 1))})"
    return inner


@st.composite
def parameter_lists(draw, depth=2):
    count = draw(st.integers(0, 3))
    if count == 0:
        return draw(st.sampled_from(["", "void"]))
    texts = [f"{draw(TYPES)} {draw(declarators(draw(st.sampled_from(['', 'x', 'y'])), depth))}" for _ in range(count)]
    return ", ".join(texts + ["..."] * draw(st.booleans() if count > 2 else st.just(False)))


@st.composite
def declarations(draw):
    return f"{draw(STORAGE)}{draw(TYPES)} {draw(declarators(f'f({draw(parameter_lists())})', 2))}"


@given(declarations())
def test_a_declaration_means_what_it_means_to_pycparser(text):
    expected = by_pycparser(text)
    if expected is None:
        return
    if isinstance(expected, TypeError):
        with pytest.raises(TypeError):
            parse(text)
    else:
        try:
            found = parse(text)
        except DeclarationError as error:
            if "one type too many" in str(error):  # C takes it for a name, which its writer hardly meant
                return
            raise
        assert (found, found.text) == (expected, expected.text)


@given(declarations())
def test_what_no_one_can_call_is_refused(text):
    if by_pycparser(text) is None:
        with pytest.raises(TypeError):
            parse(text)


@given(declarations())
def test_a_header_means_the_same_as_a_single_signature(text):
    try:
        expected = str(parse(text))
    except DeclarationError:
        expected = None
    except TypeError as error:
        expected = type(error)
    try:
        found = read_declarations(f"struct s; {text};").functions
    except DeclarationError:
        assert expected is None
        return
    if {"static", "inline"}.isdisjoint(text.partition("(")[0].split()) and "f" in found:
        assert expected == (type(found["f"]) if isinstance(found["f"], TypeError) else str(found["f"]))
