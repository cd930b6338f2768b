"""Functions taken from shared libraries by name."""

from __future__ import annotations

import errno
import gc
import pickle
import zlib
from pathlib import Path

import pytest

import kthreads


def test_a_symbol_of_a_library_is_a_function():
    crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char*, unsigned)")
    assert crc32(0, b"kthreads", 8) == zlib.crc32(b"kthreads")


def test_a_symbol_runs_on_a_thread():
    crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char*, unsigned)")
    thread = kthreads.Thread(target=crc32, args=(0, b"kthreads", 8))
    thread.start()
    thread.join()
    assert thread.result == zlib.crc32(b"kthreads")


def test_no_library_means_what_the_process_has_loaded():
    assert kthreads.symbol(None, "labs", "long(long)")(-5) == 5


def test_a_library_may_be_a_path_object(native_library):
    assert kthreads.symbol(Path(native_library), "same_i32", "int(int)")(3) == 3


def test_the_library_stays_loaded_while_the_function_lives(native_library):
    function = kthreads.symbol(native_library, "same_i32", "int(int)")
    gc.collect()
    assert function.owner is not None
    assert function(4) == 4


def test_a_function_knows_its_name_library_and_canonical_signature(native_library):
    function = kthreads.symbol(native_library, "sum", "double sum(double const *values, size_t count)")
    assert (function.name, function.library) == ("sum", native_library)
    assert function.signature == "double(const double *, size_t)"
    assert repr(function) == f"<NativeFunction sum of {native_library}: double(const double *, size_t)>"


def test_a_missing_library_is_an_oserror_that_names_it():
    with pytest.raises(OSError, match=r"libnosuch\.so\.9") as caught:
        kthreads.symbol("libnosuch.so.9", "f", "void(void)")
    assert isinstance(caught.value, kthreads.KThreadsError)


def test_a_missing_symbol_is_an_attributeerror_that_names_it_and_the_library():
    with pytest.raises(AttributeError, match=r"libz\.so\.1 has no symbol 'nosuch'") as caught:
        kthreads.symbol("libz.so.1", "nosuch", "void(void)")
    assert isinstance(caught.value, kthreads.KThreadsError)


def test_a_bad_signature_is_found_before_the_library_is_opened():
    with pytest.raises(TypeError, match="not a C function"):
        kthreads.symbol("libnosuch.so.9", "f", "void")


def test_a_function_by_name_is_pickled_by_name(native_library):
    function = kthreads.symbol(native_library, "sum", "double(const double *, size_t)")
    data = pickle.dumps(function)
    assert str(function.address).encode() not in data
    assert pickle.loads(data) == function


def test_a_function_by_address_is_not_pickled():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(kthreads.native(1, "void(void)"))


def test_errno_of_a_call_on_this_thread_is_known_from_its_call(native_library):
    call = kthreads.symbol(native_library, "fail_with", "int(int)").bind((errno.EXDEV,))
    assert (call.run(), call.errno) == (-1, errno.EXDEV)


def test_a_missing_library_and_a_missing_symbol_are_named():
    with pytest.raises(kthreads.errors.LibraryNotFoundError, match=r"libnowhere\.so"):
        kthreads.symbol("libnowhere.so", "f", "void(void)")
    with pytest.raises(kthreads.errors.SymbolNotFoundError, match="no_such_function"):
        kthreads.symbol(None, "no_such_function", "void(void)")


def test_the_name_of_a_function_is_a_str():
    with pytest.raises(TypeError, match="the name of a function must be a str, not int"):
        kthreads.symbol("libc.so.6", 5, "int(int)")
