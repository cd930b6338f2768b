"""Signatures as text: held against cffi's own parser, printed and read back, and attacked with nonsense."""

from __future__ import annotations

import ctypes
import pickle
import string
import sys

import cffi
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kthreads
from kthreads.functions.declaration import parse
from kthreads.functions.foreign_types import from_cffi_function

ffi = cffi.FFI()

# ---- Declarations of all shapes -----------------------------------------------------------------------------------------

BASES = [
    "int",
    "double",
    "char",
    "unsigned long",
    "signed char",
    "float",
    "size_t",
    "struct point",
    "void",
    "long long",
]
NAMES = st.sampled_from(["", "x", "value_2", "fn"])


@st.composite
def declarators(draw, depth=2):
    """What may stand behind a base type: the text, and whether it is a value of the base type itself."""
    name = draw(NAMES)
    kind = draw(st.sampled_from(["plain", "pointer", "const", "parenthesis", "array", "function", "function pointer"]))
    if depth == 0 or kind == "plain":
        return name
    if kind == "pointer":
        return "*" + draw(declarators(depth - 1))
    if kind == "const":
        return "* const " + draw(declarators(depth - 1)).lstrip()
    if kind == "parenthesis":
        return f"({draw(declarators(depth - 1))})" if name else "*"
    if kind == "array":
        return f"{name or 'x'}[3]"
    inner = draw(parameters(depth - 1))
    return f"{name}({inner})" if kind == "function" else f"(*{name})({inner})"


@st.composite
def parameters(draw, depth=2):
    if draw(st.integers(0, 5)) == 0:
        return "void"
    count = draw(st.integers(1, 3))
    texts = []
    for _ in range(count):
        const = draw(st.sampled_from(["", "const "]))
        texts.append(f"{const}{draw(st.sampled_from(BASES))} {draw(declarators(depth))}")
    return ", ".join(texts)


@st.composite
def declarations(draw):
    stars = draw(st.sampled_from(["", "*", "**"]))
    return f"{draw(st.sampled_from(BASES))} {stars}{draw(NAMES)}({draw(parameters())})"


def by_cffi(text):
    """The signature as cffi reads it; None for what it does not take."""
    head, _, tail = text.partition("(")
    words = head.split()
    if words and words[-1].lstrip("*") in ("x", "value_2", "fn"):
        head = head[: head.rindex(words[-1].lstrip("*"))]
    try:
        return from_cffi_function(ffi.typeof(f"{head}(*)({tail}"))
    except (
        cffi.FFIError,
        cffi.CDefError,
        ValueError,
        TypeError,
        NotImplementedError,
        KeyError,
        AttributeError,
        AssertionError,
    ):
        return None


def without_const(abi):
    """cffi does not tell const."""
    if not isinstance(abi, tuple):
        return None if isinstance(abi, bool) else abi
    return tuple(map(without_const, abi))


@given(declarations())
def test_a_declaration_means_what_it_means_to_cffi(text):
    try:
        found = parse(text)
    except TypeError:
        return
    theirs = by_cffi(text)
    if theirs is not None:
        assert without_const(found.abi) == without_const(theirs.abi), text


@given(declarations())
def test_what_is_printed_is_read_back_as_the_same(text):
    try:
        found = parse(text)
    except TypeError:
        return
    assert parse(found.text) == found
    assert parse(found.text).abi == found.abi
    assert parse(found.text).text == found.text


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_double), ctypes.CFUNCTYPE(None, ctypes.c_void_p))


@pytest.mark.parametrize(
    "signature",
    [
        "void(int (*)(const char *, void (*)(int)))",
        "void(void (**)(void))",
        "void *(int (*const *)(double))",
        "int(const char *const *, struct point *const *)",
        "void(int (*)(int, ...))",
        "void(float _Complex *)",
    ],
)
def test_a_signature_is_printed_as_it_is_written(signature):
    assert parse(signature).text == signature


def test_the_types_of_callbacks_of_ctypes_are_known_and_read_back():
    prototype = ctypes.CFUNCTYPE(None, CALLBACK)
    found = kthreads.native(prototype(lambda _: None)).parsed
    assert found.text == "void(int (*)(double *, void (*)(void *)))"
    assert parse(found.text).abi == parse(parse(found.text).text).abi


@pytest.mark.parametrize(
    "signature", ["int(int (*)(int))", "void *(void (*(*)(int))(double))", "unsigned long(const char *, int [3][4])"]
)
def test_functions_of_any_signature_are_pickled(signature):
    function = kthreads.symbol("libc.so.6", "atol", signature)
    assert pickle.loads(pickle.dumps(function)) == function


# ---- What is read rightly, or refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("int f(double (x))", "int(double)"),
        ("int f(double ((x)))", "int(double)"),
        ("int (f)(double)", "int(double)"),
        ("int ((f))(double x)", "int(double)"),
        ("int f(int (*x))", "int(int *)"),
        ("int f(int (x[3]))", "int(int *)"),
        ("int f(int (x)[3])", "int(int *)"),
        ("int f(int (*x)[3])", "int(int *)"),
        ("int f(int g(double))", "int(int (*)(double))"),
        ("int f(int (g)(double))", "int(int (*)(double))"),
        ("int f(int (double))", "int(int (*)(double))"),
        ("int f(int (size_t))", "int(int (*)(size_t))"),
        ("int f(int ())", "int(int (*)(void))"),
        ("int f(void (*x[2])(void))", "int(void (**)(void))"),
        ("char *(*f(int))(void)", "void *(int)"),
        ("int (f(double))", "int(double)"),
        ("int f(int ([3]))", "int(int *)"),
        ("int f(int ((double)))", "int(int (*)(double))"),
        ("int f(point_t (*)(int))", "int(point_t (*)(int))"),
    ],
)
def test_parentheses_group_as_in_c(text, meaning):
    assert parse(text).text == meaning


@pytest.mark.parametrize(
    "text",
    [
        "int(void, int)",
        "int(int, void)",
        "int(void x)",
        "int(const void)",
        "int(int[3])(int)",
        "int f(int)[3]",
        "int (f(int))[3]",
        "int f(void x[3])",
        "int f(int x[3](int))",
        "int f(int)(int)",
        "int (*x)[3]",
        "int",
        "",
        "(",
        "int(",
        "int((((((((",
        "int(int (",
        "int f(" + "(" * 5000,
        "int f(" + "int (*)(" * 2000,
        "int " + "(" * 3000 + "f" + ")" * 3000 + "(int)",
        "int(int,)",
        "int(,)",
        "int(...)",
        "int(int ...)",
        "\0",
        "int(\u00e9)",
        "int(int);;",
        "int f(int struct)",
        "int f(struct int *)",
        pytest.param("int f(int " + "*" * 5000 + ")", id="many stars"),
        pytest.param("int f" + "(int " * 29 + "*" * 900 + ")" * 29, id="many stars, and functions in functions"),
        [],
        {},
        None,
        7,
        b"int(int)",
    ],
)
def test_what_is_no_signature_is_a_type_error(text):
    with pytest.raises(TypeError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("int long f(int short unsigned)", "long(unsigned short)"),
        ("void f(char unsigned, long int long)", "void(unsigned char, long long)"),
        ("void f(const _Complex double *)", "void(const double _Complex *)"),
    ],
)
def test_the_words_of_a_type_may_come_in_any_order(text, canonical):
    assert parse(text).text == canonical


def test_a_signature_that_is_no_text_is_refused_with_its_type():
    with pytest.raises(TypeError, match="a signature is a str, not list"):
        parse([])


def test_a_message_shows_the_beginning_of_a_long_text():
    with pytest.raises(TypeError) as caught:
        parse("int f(int " + "(" * 100_000)
    assert len(str(caught.value)) < 1000


def test_enums_of_cffi_are_read_back_as_the_integers_that_they_are():
    own = cffi.FFI()
    own.cdef(
        "typedef enum { RED } colour_t; enum shade { DARK = -1 }; "
        "typedef void (*function_t)(colour_t, enum shade *, int (*)(enum shade));"
    )
    signature = from_cffi_function(own.typeof("function_t"))
    assert str(signature) == "void(unsigned int, int *, int (*)(int))"
    assert parse(str(signature)).disagreement(signature) is None


def test_a_structure_of_ctypes_with_any_name_is_read_back():
    record = type("a record", (ctypes.Structure,), {})
    signature = kthreads.native(ctypes.CFUNCTYPE(None, ctypes.POINTER(record))(1)).parsed
    assert str(signature) == "void(struct a_record *)"
    assert parse(str(signature)).disagreement(signature) is None


@pytest.mark.parametrize("make", [lambda kind: (kind * 2)(), lambda kind: ctypes.byref(kind())], ids=["array", "byref"])
def test_numbers_of_ctypes_in_the_other_byte_order_are_none_of_ours(make):
    other = ctypes.c_int.__ctype_be__ if sys.byteorder == "little" else ctypes.c_int.__ctype_le__
    with pytest.raises(TypeError, match="does not take a ctypes"):
        kthreads.native(1, "void(int *)").bind((make(other),))


TOKENS = [
    "int",
    "void",
    "double",
    "(",
    ")",
    "*",
    ",",
    "[",
    "]",
    "3",
    "...",
    "const",
    "struct",
    "x",
    "size_t",
    ";",
    "\n",
    "unsigned",
]


@given(st.one_of(st.text(), st.text(string.printable), st.lists(st.sampled_from(TOKENS), max_size=24).map(" ".join)))
def test_any_text_is_a_signature_that_reads_back_or_a_type_error(text):
    try:
        found = parse(text)
    except TypeError:
        return
    assert parse(found.text) == found
