"""Functions as arguments: each has the type that the parameter names, or is refused."""

from __future__ import annotations

import ctypes

import cffi
import numpy as np
import pytest

import kthreads

IntToInt = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
DoubleToDouble = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
Compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
ffi = cffi.FFI()
ffi.cdef("int abs(int); double fabs(double);")


def taking(parameter: str) -> kthreads.NativeFunction:
    """A function that is bound, never run."""
    return kthreads.native(1, f"void({parameter})")


def undeclared():
    return ctypes.CDLL(None).abs


def declared():
    function = ctypes.CDLL(None).abs
    function.argtypes, function.restype = [ctypes.c_int], ctypes.c_int
    return function


GOOD = {
    "kthreads": lambda: kthreads.symbol(None, "abs", "int(int)"),
    "ctypes callback": lambda: IntToInt(abs),
    "ctypes function": declared,
    "ctypes function without types": undeclared,
    "cffi": lambda: ffi.dlopen(None).abs,
    "cffi void *": lambda: ffi.cast("void *", ffi.dlopen(None).abs),
    "NULL": lambda: None,
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_a_function_of_the_parameter_s_type_is_taken(make):
    taking("int (*)(int)").bind((make(),))


def of_double():
    function = ctypes.CDLL(None).fabs
    function.argtypes, function.restype = [ctypes.c_double], ctypes.c_double
    return function


BAD = {
    "kthreads": lambda: kthreads.symbol(None, "fabs", "double(double)"),
    "ctypes callback": lambda: DoubleToDouble(abs),
    "ctypes function": of_double,
    "cffi": lambda: ffi.dlopen(None).fabs,
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_function_of_another_type_is_refused_with_what_differs(make):
    with pytest.raises(TypeError, match=r"argument 1: int \(\*\)\(int\) does not take .*it returns double, not int"):
        taking("int (*)(int)").bind((make(),))


@pytest.mark.parametrize(
    ("parameter", "function", "why"),
    [
        ("int (*)(long)", "int(int)", "parameter 1 is int, not long"),
        ("int (*)(int, int)", "int(int)", "it has 1 parameters, not 2"),
        ("int (*)(int)", "int(unsigned)", "parameter 1 is unsigned int, not int"),
        ("int (*)(int *)", "int(double *)", r"parameter 1 is double \*, not int \*"),
        ("int (*)(int)", "void(int)", "it returns void, not int"),
        ("void (*)(int)", "int(int)", "it returns int, not void"),
        ("void (*)(int (*)(int))", "void(double (*)(int))", r"parameter 1 is double \(\*\)\(int\)"),
        ("void (*)(int, ...)", "void(int)", "fixed number"),
    ],
)
def test_what_differs_is_named(parameter, function, why):
    with pytest.raises(TypeError, match=why):
        taking(parameter).bind((kthreads.native(1, function),))


@pytest.mark.parametrize(
    ("parameter", "function"),
    [
        ("int (*)(const void *, const void *)", "int(int *, double *)"),
        ("int (*)(const char *)", "int(unsigned char *)"),
        ("long (*)(long)", "long long(long long)"),
        ("void (*)(struct point *)", "void(double *)"),
        ("void *", "double(double)"),
    ],
)
def test_pointers_and_numbers_that_are_the_same_to_a_caller_agree(parameter, function):
    taking(parameter).bind(
        (kthreads.native(1, function).address if parameter == "void *" else kthreads.native(1, function),)
    )


def test_pointers_to_functions_are_checked_behind_more_pointers():
    taking("int (**)(int)").bind(((IntToInt * 2)(),))
    with pytest.raises(TypeError, match="does not take a ctypes"):
        taking("int (**)(int)").bind(((DoubleToDouble * 2)(),))


def test_qsort_calls_a_callback_of_the_right_type():
    qsort = kthreads.symbol("libc.so.6", "qsort", "void(void *, size_t, size_t, int (*)(const void *, const void *))")
    numbers = np.array([3, 1, 2], "i4")
    qsort(numbers, 3, 4, Compare(lambda a, b: a[0] - b[0]))
    assert numbers.tolist() == [1, 2, 3]
    with pytest.raises(TypeError, match=r"argument 4: .* has 1 parameters, not 2"):
        qsort(numbers, 3, 4, IntToInt(abs))


def test_a_function_that_takes_callbacks_disagrees_with_one_that_takes_others():
    function = kthreads.native(1, "void(int (*)(int))")
    with pytest.raises(TypeError, match="does not agree"):
        kthreads.native(function, "void(double (*)(int))")
