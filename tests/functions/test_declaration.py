"""C declarations: the signature that each gives, or why it gives none."""

from __future__ import annotations

import pytest

from kthreads.functions.declaration import parse


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("double(int, const double *)", "double(int, const double *)"),
        ("double cos(double x)", "double(double)"),
        ("unsigned long (*)(unsigned long, unsigned char const *buffer, unsigned)",
         "unsigned long(unsigned long, const unsigned char *, unsigned int)"),
        ("void(void)", "void(void)"),
        ("void f();", "void(void)"),
        ("int(double x[3], size_t n)", "int(double *, size_t)"),
        ("int(char *const name)", "int(char *)"),
        ("int(const char **names)", "int(const char **)"),
        ("int main(int argc, char *const argv[])", "int(int, char *const *)"),
        ("void each(int visit(double), void *context)", "void(int (*)(double), void *)"),
        ("FILE *(const char *restrict path)", "FILE *(const char *)"),
    ],
)  # fmt: skip
def test_a_c_declaration_gives_a_signature(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("int(int, ...)", "variable number of arguments"),
        ("long double(double)", "long double by value"),
        ("void(double _Complex)", "by value|not a C type"),
        ("double complex(double complex)", "double _Complex by value"),
        ("complex float f(int)", "float _Complex by value"),
        ("int complex(int)", "not a type that kthreads knows"),
        ("int f(int _Atomic)", "does not know the word '_Atomic'|one type too many"),
        ("void f(char __signed__, double __complex__ x)", "by value"),
        ("int f(int) __attribute__((ms_abi))", "one too many"),
        ("_Decimal64 f(int)", "does not know the word"),
        ("int f(int x, __int128 y)", "not a type"),
        ("int inline inline_t f(int)", "one too many"),
        ("typedef int f(int)", "it names a type"),
        ("int for(int)", "does not know the word"),
        ("int f(int return)", "does not know the word"),
        ("void(struct point)", "struct point by value"),
        ("void(point_t)", "not a C type that kthreads knows"),
        ("void(" + ",".join(["int"] * 33) + ")", "takes 33 arguments; at most 32"),
        ("void(" + ",".join(["double", "int"] * 17) + ")", "takes 34 arguments; at most 32"),
        ("int", "not a C function"),
        ("", "not a C function"),
    ],
)
def test_a_signature_that_registers_cannot_carry_says_why(text, why):
    with pytest.raises(TypeError, match=why):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "int(FILE *, struct point *, char *const *, void (*)(int, const char *))",
        "const char *(const char *const *, int (**)(int))",
        "void(bool, char, float, wchar_t, long double *, double _Complex *)",
    ],
)
def test_the_canonical_text_is_itself_a_signature_and_means_the_same(text):
    assert parse(parse(text).text).abi == parse(text).abi
    assert parse(parse(text).text).text == parse(text).text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("void(unsigned __int128)", "not a type that kthreads knows"),
        ("void(unsigned int64_t)", "one type too many"),
        ("void(int", "expected, not the end"),
        ("void(int,)", "a type is missing"),
        ("int f(int) g", "one too many"),
        ("std::size_t(int)", "not understood"),
    ],
)
def test_a_mistake_in_a_signature_is_named(text, why):
    with pytest.raises(TypeError, match=why):
        parse(text)
