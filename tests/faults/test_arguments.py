"""Arguments whose memory is not what it seems."""

from __future__ import annotations

import ctypes
from array import array

import cffi
import numpy as np
import pytest

ffi = cffi.FFI()


@pytest.fixture
def length(function):
    return function("length", "size_t(const char *)")


@pytest.fixture
def same(function):
    return function("same_pointer", "void *(void *)")


SCALARS = [np.uint64(7), np.int32(7), np.int8(7), np.float64(7), np.float32(7), np.bool_(True), np.complex64(1)]


@pytest.mark.parametrize("value", SCALARS, ids=repr)
@pytest.mark.parametrize(
    "pointer", ["const char *", "const double *", "const unsigned long *", "const int *", "double *"]
)
def test_a_numpy_scalar_is_no_memory(function, value, pointer):
    take = function("same_pointer", f"void *({pointer})")
    with pytest.raises(TypeError, match="does not take"):
        take(value)


def test_a_numpy_scalar_is_no_memory_after_an_array_of_its_type_was_taken(function):
    take = function("same_pointer", "void *(const double *)")
    for _ in range(3):
        values = np.zeros(3)
        assert take(values) == ffi.cast("void *", values.ctypes.data)
        with pytest.raises(TypeError, match="does not take float64"):
            take(np.float64(1))


@pytest.mark.parametrize("kind", [np.uint64, np.int64, np.intp])
def test_an_integer_of_numpy_is_an_address_where_an_int_is(same, kind):
    assert same(kind(4096)) == ffi.cast("void *", 4096)
    with pytest.raises(TypeError, match="does not take float64"):
        same(np.float64(4096))


def test_an_array_without_dimensions_is_memory(same):
    values = np.array(7)
    assert same(values) == ffi.cast("void *", values.ctypes.data)


def test_bytes_of_numpy_are_bytes(length):
    assert length(np.bytes_(b"four")) == 4


# ---- Memory that must not be written to ----------------------------------------------------------------------------------


@pytest.fixture
def writes(function):
    return function("same_string", "char *(char *)")


READ_ONLY = {
    "bytes": lambda: b"abc",
    "cffi's view of bytes": lambda: ffi.from_buffer(b"abc"),
    "cffi's view of a view of bytes": lambda: ffi.from_buffer(memoryview(b"abc")),
    "cffi's view of a read-only array": lambda: ffi.from_buffer("char[]", read_only_array()),
    "c_char_p": lambda: ctypes.c_char_p(b"abc"),
}


def read_only_array():
    values = np.zeros(4, "i1")
    values.flags.writeable = False
    return values


@pytest.mark.parametrize("name", READ_ONLY)
def test_read_only_memory_is_not_taken_where_it_may_be_written_to(writes, name):
    with pytest.raises(TypeError, match="may be written to"):
        writes(READ_ONLY[name]())


@pytest.mark.parametrize("name", READ_ONLY)
def test_read_only_memory_is_taken_where_it_is_only_read(length, name):
    value = READ_ONLY[name]()
    assert length(value) in (3, 0)


WRITABLE = {
    "bytearray": lambda: bytearray(b"abc\0"),
    "cffi's view of a bytearray": lambda: ffi.from_buffer(bytearray(b"abc\0")),
    "cffi's own": lambda: ffi.new("char[]", b"abc"),
    "a pointer of cffi": lambda: ffi.cast("char *", ffi.from_buffer(b"abc")),
    "a buffer of ctypes": lambda: ctypes.create_string_buffer(b"abc"),
    "c_char_p of an address": lambda: ctypes.c_char_p(ctypes.addressof(KEPT)),
    "an array": lambda: array("b", b"abc\0"),
}
KEPT = ctypes.create_string_buffer(b"abc")


@pytest.mark.parametrize("name", WRITABLE)
def test_writable_memory_and_what_the_user_vouches_for_is_taken(writes, name):
    value = WRITABLE[name]()
    assert ffi.string(ffi.cast("char *", writes(value))) == b"abc"


# ---- Formats ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [[("Offset", "f8")], [("O", "i4"), ("xOx", "f4")], [("a", [("O", "f8")])]])
def test_a_field_may_have_any_name(same, fields):
    values = np.zeros(3, fields)
    assert same(values) == ffi.cast("void *", values.ctypes.data)


@pytest.mark.parametrize("fields", ["O", [("a", "O")], [("Offset", "f8"), ("b", "O")], [("a", [("b", "O")])]])
def test_objects_are_not_taken_wherever_they_are(same, fields):
    with pytest.raises(TypeError, match="does not take a buffer of format"):
        same(np.zeros(3, fields))
