"""Arguments whose memory is not what it seems."""

from __future__ import annotations

import ctypes
import sys
import weakref
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
    "a pointer of cffi into bytes": lambda: ffi.from_buffer("char *", b"abc"),
    "what cffi shows of bytes": lambda: ffi.buffer(ffi.from_buffer(b"abc")),
    "a view of what cffi shows of bytes": lambda: memoryview(ffi.buffer(ffi.from_buffer(b"abc"))),
    "c_char_p": lambda: ctypes.c_char_p(b"abc"),
    "a pointer of ctypes": lambda: pointer_to_bytes(ctypes.c_char),
    "a pointer of ctypes by way of void": lambda: ctypes.cast(
        ctypes.cast(ctypes.c_char_p(b"abc"), ctypes.c_void_p), CHARS
    ),
    "what a pointer of ctypes points to": lambda: pointer_to_bytes(ctypes.c_char * 4).contents,
    "byref of what a pointer of ctypes points to": lambda: ctypes.byref(pointer_to_bytes(ctypes.c_char).contents),
    "a pointer in a structure of ctypes": lambda: Record(pointer_to_bytes(ctypes.c_char)).text,
}
CHARS = ctypes.POINTER(ctypes.c_char)


class Record(ctypes.Structure):
    _fields_ = (("text", CHARS),)


def pointer_to_bytes(kind):
    return ctypes.cast(ctypes.c_char_p(b"abc"), ctypes.POINTER(kind))


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
    "cffi's own, with a destructor": lambda: ffi.gc(ffi.new("char[]", b"abc"), lambda memory: None),
    "what cffi shows of its own": lambda: ffi.buffer(KEPT_BY_CFFI),
    "a pointer of ctypes": lambda: ctypes.cast(KEPT, ctypes.POINTER(ctypes.c_char)),
    "c_char_p of a buffer": lambda: ctypes.cast(KEPT, ctypes.c_char_p),
    "a pointer of cffi": lambda: ffi.cast("char *", ffi.from_buffer(b"abc")),
    "a buffer of ctypes": lambda: ctypes.create_string_buffer(b"abc"),
    "c_char_p of an address": lambda: ctypes.c_char_p(ctypes.addressof(KEPT)),
    "an array": lambda: array("b", b"abc\0"),
}
KEPT_BY_CFFI = ffi.new("char[]", b"abc")
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


def test_a_view_of_dates_that_cffi_made_is_memory(same):
    dates = np.zeros(2, "M8[s]")
    assert same(ffi.from_buffer(dates)) == ffi.cast("void *", dates.ctypes.data)


def test_what_cffi_shows_of_bytes_is_not_taken_after_a_bytearray_was(writes):
    writes(bytearray(b"abc\0"))
    writes(bytearray(b"abc\0"))
    with pytest.raises(TypeError, match="may be written to"):
        writes(ffi.buffer(ffi.from_buffer(b"abc")))


def test_records_of_ctypes_that_point_at_each_other_are_memory(same):
    class Node(ctypes.Structure):
        pass

    Node._fields_ = [("next", ctypes.POINTER(Node))]
    first, second = Node(), Node()
    first.next, second.next = ctypes.pointer(second), ctypes.pointer(first)
    assert same(first.next) == ffi.cast("void *", ctypes.addressof(second))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes have __buffer__ from CPython 3.12 on")
def test_memory_that_a_class_makes_anew_for_who_asks_lives_as_long_as_the_call(function):
    class Fresh:
        def __buffer__(self, flags):
            memory = np.full(4096, 7, "u1")
            made.append(weakref.ref(memory))
            return memoryview(memory)

    made = []
    take = function("same_pointer", "void *(unsigned char *)")
    for _ in range(3):
        call = take.bind((Fresh(),))
        assert bytes(ffi.buffer(ffi.cast("char *", call.run()), 4096)) == bytes([7]) * 4096
        assert made[-1]() is not None
        del call
        assert made[-1]() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes have __buffer__ from CPython 3.12 on")
def test_a_view_of_cffi_of_read_only_memory_of_a_class_is_not_taken(writes):
    class Fixed:
        def __buffer__(self, flags):
            return memoryview(b"abc")

    with pytest.raises(TypeError, match="may be written to"):
        writes(ffi.from_buffer(Fixed()))


def test_names_with_colons_hide_no_objects(same):
    fields = [(":", ctypes.c_int), ("x", ctypes.py_object)]
    record = type("Record", (ctypes.Structure,), {"_fields_": fields})
    with pytest.raises(TypeError, match="does not take a buffer of format"):
        same(memoryview(record()))


@pytest.mark.parametrize("fields", ["O", [("a", "O")], [("Offset", "f8"), ("b", "O")], [("a", [("b", "O")])]])
def test_objects_are_not_taken_wherever_they_are(same, fields):
    with pytest.raises(TypeError, match="does not take a buffer of format"):
        same(np.zeros(3, fields))
