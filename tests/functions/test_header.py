"""Declarations by the dozen: functions, types and constants of a header or a man page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthreads.errors import DeclarationError
from kthreads.functions.header import read_declarations


def signatures(text: str) -> dict[str, str]:
    return {name: str(found) for name, found in read_declarations(text).functions.items()}


def meaning(types: str, declaration: str) -> str:
    """The signature of a function f, after some types."""
    return signatures(f"{types}\n{declaration};")["f"]


@pytest.mark.parametrize(
    ("types", "declaration", "signature"),
    [
        ("typedef unsigned long uLong;", "uLong f(uLong crc)", "unsigned long(unsigned long)"),
        ("typedef const char *text;", "int f(text t)", "int(const char *)"),
        ("typedef char *text;", "int f(const text t)", "int(char *)"),
        ("typedef char *text;", "int f(const text *t)", "int(char *const *)"),
        ("typedef double vector[3];", "double f(const vector v)", "double(const double *)"),
        ("typedef double matrix[3][3];", "double f(matrix *m)", "double(double *)"),
        ("typedef int compare(const void *, const void *);", "void f(compare c)", "void(int (*)(const void *, const void *))"),
        ("typedef int (*compare)(const void *, const void *);", "void f(compare c)",
         "void(int (*)(const void *, const void *))"),
        ("typedef int task(void *);", "task f", "int(void *)"),
        ("typedef struct point { double x, y; } point, *point_ptr;", "double f(const point *p, point_ptr q)",
         "double(const struct point *, struct point *)"),
        ("typedef struct { int x; } pair;", "int f(pair *)", "int(pair *)"),
        ("struct list;", "int f(struct list *)", "int(struct list *)"),
        ("struct s { struct { int x; } in; enum { A, B = 3 } kind; };", "int f(struct s *)", "int(struct s *)"),
        ("enum colour { RED, BLUE };", "enum colour f(enum colour)", "unsigned int(unsigned int)"),
        ("typedef enum { COLD = -1, HOT } heat;", "int f(heat)", "int(int)"),
        ("enum { BIG = 0x100000000 };", "int f(int)", "int(int)"),
        ("enum big { BIG = 0x100000000 };", "int f(enum big)", "int(unsigned long)"),
        ("enum small : unsigned char { ONE };", "int f(enum small)", "int(unsigned char)"),
        ("typedef int a, *b, c[3];", "int f(a, b, c)", "int(int, int *, int *)"),
        ("typedef int x;", "int f(x x)", "int(int)"),
        ("typedef long off;", "off f(off off1)", "long(long)"),
        ("", "extern int f(int) __attribute__((pure, nonnull(1)))", "int(int)"),
        ("", "__attribute__((visibility(\"default\"))) int f(int)", "int(int)"),
        ("", "[[nodiscard]] [[gnu::pure]] int f([[maybe_unused]] int x)", "int(int)"),
        ("", "__extension__ extern __inline__ int g(int); int f(int)", "int(int)"),
        ("", "int f(const char *_Nonnull path, __const char *__restrict__ mode)", "int(const char *, const char *)"),
        ("", "void *f(void dest[restrict .n], const void src[restrict .n], size_t n)",
         "void *(void *, const void *, size_t)"),
        ("", "int f(int n, const char s[.n], double a[n][n + 1], int b[sizeof(int[2])])",
         "int(int, const char *, double *, int *)"),
        ("", "double f(double complex *x)", "double(double _Complex *)"),
        ("", "int g(int), f(double), *h(void)", "int(double)"),
        ("", "int f(unknown_t *, other **)", "int(unknown_t *, other **)"),
        ("typedef struct { double re, im; } complex;", "void f(const complex *z)", "void(const complex *)"),
        ("struct __attribute__((packed)) s { int x; } __attribute__((aligned(8)));", "int f(struct s *)", "int(struct s *)"),
        ("typedef struct __attribute__((packed)) { int x; } s;", "int f(s *)", "int(s *)"),
        ("#define API extern __attribute__((pure))\n#define real double", "API real f(real x)", "double(double)"),
        ("#define f g\n#define g f", "int f(int)", "int(int)"),
        ("int f();", "int f(int x)", "int(int)"),
        ("typedef unsigned char uint8_t; typedef uint8_t byte;", "int f(byte *)", "int(unsigned char *)"),
        ("typedef long int8_t;", "int f(int8_t)", "int(long)"),
        ("typedef int (*size_t)(int);", "void f(size_t)", "void(int (*)(int))"),
        ("int f(int x);", "int f()", "int(int)"),
        ("long f(unsigned long);", "long long f(size_t)", "long long(size_t)"),
    ],
)  # fmt: skip
def test_types_are_resolved_as_in_c(types, declaration, signature):
    assert meaning(types, declaration) == signature


def test_comments_includes_and_pragmas_are_passed_over():
    text = """
    // int a(int);
    #include <math.h>
    /* #define X 1
       int b(int); */
    # pragma once
    extern "C" {
    double cos /* of */ (double x); // radians
    }
    """
    assert signatures(text) == {"cos": "double(double)"}


def test_enumerators_and_macros_are_constants():
    header = read_declarations(
        """
        #define SIZE 16
        #define TWICE (SIZE * \\
                       2)
        #define NAME "x"
        #define CALL(x) f(x)
        #define EMPTY
        #define LATER (LAST + 1)
        #define GONE 1
        #undef GONE
        enum { FIRST = 3, SECOND, THIRD = SIZE | 1, LAST, };
        struct s { enum inner { INSIDE = 7 } x; };
        """
    )
    assert header.constants() == {
        "SIZE": 16, "TWICE": 32, "LATER": 19, "FIRST": 3, "SECOND": 4, "THIRD": 17, "LAST": 18, "INSIDE": 7
    }  # fmt: skip


def test_a_function_that_cannot_be_called_is_kept_with_the_reason():
    found = read_declarations("int printf(const char *, ...); struct s f(int); off_t lseek(int, off_t, int);").functions
    assert "variable number of arguments" in str(found["printf"])
    assert "struct s by value" in str(found["f"])
    assert "off_t by value" in str(found["lseek"])


def test_static_functions_and_variables_are_no_functions():
    header = read_declarations(
        "static int f(int); extern int errors; int (*hook)(int); static inline int g(void) { return 1; }"
    )
    assert header.functions == {}
    assert header.variables == {"errors", "hook"}


def test_a_body_is_passed_over():
    assert signatures("int f(int x) { if (x) { return '}'; } return 0; } int g(void);") == {
        "f": "int(int)",
        "g": "int(void)",
    }


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("int f(int);\nint g(int", 2, "expected, not the end"),
        ("int f(int);\n\nint g(int) __attribute__((ms_abi));", 3, "__attribute__"),
        ("typedef int v4 __attribute__((vector_size(16)));", 1, "__attribute__"),
        ('int f(int) __asm__("g");', 1, "__asm__"),
        ("enum __attribute__((packed)) e { A };", 1, "__attribute__"),
        ("typedef enum { A } __attribute__((packed)) e;", 1, "__attribute__"),
        ("#define T int\nT f(T);\n#undef T\n#define T double\nT g(T);", 4, "the macro T has two meanings"),
        ("int f(int);\nint f(double);", 2, "does not agree"),
        ("/* a\n b */ int f(int) int g(int);", 2, "int"),
        ("enum { A = f(1) };", 1, "the value of A is not a constant"),
        ("#ifdef X\nint f(int);\n#endif", 1, "'#ifdef' needs the preprocessor"),
        ("int f(int);\ndouble f(double);", 2, "does not agree with int"),
        ("_Atomic int f(int);", 1, "_Atomic"),
        ("int f(int);\n@", 2, "'@' is not understood"),
        ("int 3;", 1, "'3'"),
        ("int;;int x y;", 1, "y"),
        ("typeof(int) f(int);", 1, "typeof"),
        ("_BitInt(7) f(int);", 1, "_BitInt"),
    ],
)
def test_what_is_not_understood_is_named_with_its_line(text, line, why):
    with pytest.raises(DeclarationError, match=why) as caught:
        read_declarations(text)
    assert f"line {line}:" in str(caught.value)


WORDS = [
    "int", "double", "typedef", "struct", "enum", "s", "f", "x", "(", ")", "{", "}", "[", "]", "*", ",", ";", "=", "1", "...",
    "const", "extern", '"C"', "static", "__attribute__", "((pure))", "[[", "]]", "#", "\n", "/*", "*/", "namespace", ":", "'",
]  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)))
def test_any_text_is_read_or_is_a_declaration_error(text):
    try:
        header = read_declarations(text)
    except DeclarationError:
        return
    for found in header.functions.values():
        assert str(found)
