"""Objects that `native` has seen before."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref

import pytest

import kthreads
from kthreads._native import ffi, lib
from kthreads.functions.seen import seen


@pytest.fixture
def labs():
    function = ctypes.CDLL(None)["labs"]
    function.argtypes, function.restype = [ctypes.c_long], ctypes.c_long
    return function


def callback():
    return ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)


def cffi_callback():
    return ffi.callback("int(void)", lambda: 7)


@pytest.mark.parametrize("make", [callback, cffi_callback, lambda: lib.kt_map_chunk])
def test_an_object_seen_before_gives_an_equal_function_that_keeps_it_alive(make):
    obj = make()
    first, again = kthreads.native(obj), kthreads.native(obj)
    assert seen(obj) == first == again
    assert first.owner is again.owner is obj
    assert (first.name, first.signature) == (again.name, again.signature)


@pytest.mark.parametrize("make", [callback, cffi_callback])
def test_an_object_is_not_kept_alive_because_it_was_seen(make):
    obj = make()
    function = kthreads.native(obj)
    gone = weakref.ref(obj)
    del obj
    gc.collect()
    assert gone() is not None
    del function
    gc.collect()
    assert gone() is None


def test_a_function_whose_types_were_set_again_is_looked_at_again(labs):
    assert kthreads.native(labs).signature == "long(long)"
    labs.restype = ctypes.c_ulong
    assert kthreads.native(labs).signature == "unsigned long(long)"
    labs.argtypes = [ctypes.c_ulong]
    assert kthreads.native(labs).signature == "unsigned long(unsigned long)"
    labs.argtypes = None
    with pytest.raises(TypeError, match="declares no argtypes"):
        kthreads.native(labs)


def test_a_stated_signature_is_not_remembered(labs):
    assert kthreads.native(labs, "long(long)").signature == "long(long)"
    labs.argtypes = [ctypes.POINTER(ctypes.c_int)]
    assert kthreads.native(labs, "long(const int *)").signature == "long(const int *)"
    assert kthreads.native(labs).signature == "long(int *)"


def test_functions_of_one_object_are_counted_right(labs):
    kthreads.native(labs)
    before = sys.getrefcount(labs)
    functions = [kthreads.native(labs) for _ in range(1000)]
    assert sys.getrefcount(labs) == before + 1000
    del functions
    assert sys.getrefcount(labs) == before
