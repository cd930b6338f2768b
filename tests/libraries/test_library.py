"""Libraries: the functions and constants that declarations give them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

import kthreads
from kthreads.errors import CompileError, DeclarationError, LibraryNotFoundError, SymbolNotFoundError

LIBC = """
#include <stdlib.h>
#define LIMIT 100
typedef int comparison(const void *, const void *);
typedef struct { int quot, rem; } div_t;
enum whence { START, CURRENT, END };

long labs(long number);
size_t strlen(const char *text);
void qsort(void base[.size * .n], size_t n, size_t size, comparison *compare);
int printf(const char *format, ...);
div_t div(int numerator, int denominator);
void no_such_function(void);
"""


@pytest.fixture
def libc():
    return kthreads.Library("libc.so.6", LIBC)


def test_functions_are_attributes_and_items(libc):
    assert libc.labs(-5) == libc["labs"](-5) == 5
    assert isinstance(libc.labs, kthreads.NativeFunction)
    assert libc.strlen.signature == "size_t(const char *)"
    assert libc.qsort.signature == "void(void *, size_t, size_t, int (*)(const void *, const void *))"


def test_a_function_is_looked_up_once(libc):
    assert libc.labs is libc.labs


def test_constants_are_ints(libc):
    assert (libc.LIMIT, libc.START, libc.END, libc["CURRENT"]) == (100, 0, 2, 1)


def test_all_names_are_listed(libc):
    assert dir(libc) == sorted(
        ["CURRENT", "END", "LIMIT", "START", "div", "labs", "no_such_function", "printf", "qsort", "strlen"]
    )


def test_a_function_that_cannot_be_called_says_why_when_it_is_used(libc):
    with pytest.raises(TypeError, match="variable number of arguments"):
        libc.printf  # noqa: B018
    with pytest.raises(TypeError, match="div_t by value"):
        libc.div  # noqa: B018


def test_what_is_not_declared_is_no_attribute(libc):
    assert not hasattr(libc, "abs")
    with pytest.raises(SymbolNotFoundError, match=r"libc.so.6.*declares no function or constant 'abs'"):
        libc.abs  # noqa: B018


def test_a_declared_function_that_the_library_lacks_is_missed_when_it_is_used(libc):
    with pytest.raises(SymbolNotFoundError, match="no symbol 'no_such_function'"):
        libc.no_such_function  # noqa: B018


def test_a_mistake_is_named_with_its_line():
    with pytest.raises(DeclarationError, match="line 2: 'int g"):
        kthreads.Library(None, "int f(int);\nint g(int;")


def test_a_library_that_is_not_there_is_missed_at_once():
    with pytest.raises(LibraryNotFoundError, match=r"libnothing.so"):
        kthreads.Library("libnothing.so", "int f(int);")


@pytest.mark.parametrize("declarations", [None, b"int f(int);", 7])
def test_declarations_are_text_or_a_path(declarations):
    with pytest.raises(TypeError, match="declarations are a str of C or the path of a header"):
        kthreads.Library(None, declarations)


def test_names_of_the_library_do_not_meet_its_own():
    library = kthreads.Library("libc.so.6", "enum { _load = 1, names = 2, path = 3, self = 4 };")
    assert [library[name] for name in dir(library)] == [1, 2, 3, 4]


def test_a_library_is_no_pickle_but_its_functions_are(libc):
    with pytest.raises(TypeError, match="pickle its functions"):
        pickle.dumps(libc)
    with pytest.raises(TypeError, match="pickle its functions"):
        copy.copy(libc)
    assert pickle.loads(pickle.dumps(libc.labs)) == libc.labs


def test_its_text_tells_where_it_comes_from(libc):
    assert repr(libc) == "<Library libc.so.6: 6 functions>"
    assert repr(kthreads.Library(None, "long labs(long);")) == "<Library of this process: 1 function>"


@pytest.fixture
def header(tmp_path):
    """A header with what a preprocessor is for."""
    (tmp_path / "more.h").write_text("typedef long number;\n#define MORE (FEW + 1)\n")
    path = tmp_path / "own.h"
    path.write_text(
        """
        #ifndef OWN_H
        #define OWN_H
        #include <stddef.h>
        #include <sys/types.h>
        #include "more.h"
        #define FEW 3
        #define API extern __attribute__((visibility("default")))
        #ifdef __cplusplus
        extern "C" {
        #endif
        API number labs(number);
        API size_t strlen(const char *text);
        API off_t lseek(int file, off_t offset, int whence);
        #if 0
        int no(int);
        #endif
        #ifdef __cplusplus
        }
        #endif
        #endif
        """
    )
    return path


def test_a_header_is_preprocessed_by_a_compiler(header):
    library = kthreads.Library("libc.so.6", header)
    assert library.labs(-7) == 7
    assert (library.FEW, library.MORE) == (3, 4)
    assert library.lseek.signature == "long(int, long, int)"
    assert not hasattr(library, "no")


def test_functions_of_system_headers_are_left_out(header):
    header.write_text("#include <math.h>\nlong labs(long);\n")
    assert dir(kthreads.Library("libc.so.6", header)) == ["labs"]


def test_a_header_that_the_compiler_refuses_is_an_error_with_the_reason(tmp_path):
    with pytest.raises(CompileError, match=r"missing\.h"):
        kthreads.Library(None, tmp_path / "missing.h")


def test_importing_kthreads_imports_no_parser_of_many_declarations_until_one_is_used():
    program = """
import sys, kthreads
assert not [name for name in sys.modules if name.startswith(("pycparser", "kthreads.libraries"))]
assert {"Library", "compile_c"} <= set(dir(kthreads))
assert not hasattr(kthreads, "no_such_name")
from kthreads import *
assert kthreads.Library is Library and kthreads.compile_c is compile_c
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
