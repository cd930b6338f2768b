"""Native functions: what they take and return."""

from __future__ import annotations

import array
import ctypes
import errno
import math
import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kthreads
from kthreads._native import ffi

INTEGERS = {
    "int8_t": (-(2**7), 2**7 - 1, "same_i8"),
    "uint8_t": (0, 2**8 - 1, "same_u8"),
    "int16_t": (-(2**15), 2**15 - 1, "same_i16"),
    "uint16_t": (0, 2**16 - 1, "same_u16"),
    "int32_t": (-(2**31), 2**31 - 1, "same_i32"),
    "uint32_t": (0, 2**32 - 1, "same_u32"),
    "int64_t": (-(2**63), 2**63 - 1, "same_i64"),
    "uint64_t": (0, 2**64 - 1, "same_u64"),
}


@pytest.mark.parametrize("ctype", INTEGERS)
def test_an_integer_comes_back_as_it_went(function, ctype):
    low, high, name = INTEGERS[ctype]
    same = function(name, f"{ctype}({ctype})")
    for value in {low, low + 1, -1 if low else 1, 0, 1, high - 1, high}:
        assert same(value) == value


@pytest.mark.parametrize("ctype", INTEGERS)
def test_an_integer_out_of_range_is_refused_by_position_and_type(function, ctype):
    low, high, name = INTEGERS[ctype]
    same = function(name, f"{ctype}({ctype})")
    for value in (low - 1, high + 1):
        with pytest.raises(OverflowError, match=f"argument 1: {value} is out of range for {ctype}"):
            same(value)


@given(value=st.integers(-(2**70), 2**70), ctype=st.sampled_from(sorted(INTEGERS)))
def test_an_integer_is_taken_exactly_when_cffi_takes_it(native_library, value, ctype):
    same = kthreads.symbol(native_library, INTEGERS[ctype][2], f"{ctype}({ctype})")
    try:
        expected = ffi.new(f"{ctype} *", value)[0]
    except OverflowError:
        with pytest.raises(OverflowError):
            same(value)
    else:
        assert same(value) == expected


@given(value=st.floats())
def test_a_double_keeps_every_bit(native_library, value):
    result = kthreads.symbol(native_library, "same_double", "double(double)")(value)
    assert (
        np.float64(result).tobytes() == np.float64(value).tobytes() or math.isnan(result) == math.isnan(value) is True
    )


@given(value=st.floats(width=32))
def test_a_float_keeps_every_bit(native_library, value):
    result = kthreads.symbol(native_library, "same_float", "float(float)")(value)
    assert result == value or math.isnan(result) == math.isnan(value) is True


def test_a_float_for_an_integer_is_refused(function):
    with pytest.raises(TypeError, match="argument 1: int takes an int, not float"):
        function("same_i32", "int(int)")(1.5)


def test_text_for_a_float_is_refused(function):
    with pytest.raises(TypeError, match="double takes a number, not str"):
        function("same_double", "double(double)")("1.5")


def test_an_int_goes_where_a_double_is(function):
    assert function("same_double", "double(double)")(3) == 3.0


def test_a_numpy_integer_goes_where_an_int_is(function):
    assert function("same_i32", "int(int)")(np.int64(5)) == 5


def test_bool_takes_and_returns_truth_values(function):
    same = function("same_bool", "bool(bool)")
    assert same(True) is True
    assert same(0) is False
    with pytest.raises(OverflowError, match="out of range for bool"):
        same(2)


def test_char_takes_and_returns_one_byte(function):
    same = function("same_char", "char(char)")
    assert same(b"x") == b"x"
    assert same(b"\xff") == b"\xff"
    with pytest.raises(TypeError, match="bytes of length 1"):
        same(b"xy")


def test_six_integers_and_eight_floats_arrive_in_their_places(function):
    many = function(
        "many",
        "double(int a, double b, int64_t c, float d, uint8_t e, double f, const char *g, double h, int16_t i,"
        " double j, double k, double l, double m, unsigned n)",
    )
    values = (1, 2.5, -3, 4.25, 5, 6.5, "seven", 8.5, -9, 10.5, 11.5, 12.5, 13.5, 14)
    weights = [1, *range(2, 15)]
    numbers = [len(v) if isinstance(v, str) else v for v in values]
    assert many(*values) == sum(w * n for w, n in zip(weights, numbers, strict=True))


def test_the_number_of_arguments_is_checked(function):
    with pytest.raises(TypeError, match=r"same_i32 takes 1 arguments \(int\(int\)\), not 2"):
        function("same_i32", "int(int)")(1, 2)


def test_errno_is_captured_and_begins_as_zero(function):
    call = function("fail_with", "int(int)").bind((errno.EXDEV,))
    thread = kthreads.Thread(target=function("fail_with", "int(int)"), args=(errno.EXDEV,))
    thread.start()
    thread.join()
    assert (thread.result, thread.errno) == (-1, errno.EXDEV)
    assert function("starting_errno", "int(void)")() == 0
    assert call.errno == 0


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, 2.0, 3.0]),
        array.array("d", [1.0, 2.0, 3.0]),
        memoryview(array.array("d", [1.0, 2.0, 3.0])),
        ffi.new("double[]", [1.0, 2.0, 3.0]),
        (ctypes.c_double * 3)(1.0, 2.0, 3.0),
    ],
    ids=["numpy", "array", "memoryview", "cffi", "ctypes"],
)
def test_doubles_of_any_kind_go_where_a_double_pointer_is(function, values):
    assert function("sum", "double(const double *, size_t)")(values, 3) == 6.0


def test_a_native_function_writes_into_a_buffer(function):
    values = np.array([1.0, 2.0])
    function("scale", "void(double *, size_t, double)")(values, 2, 10.0)
    assert values.tolist() == [10.0, 20.0]


def test_a_read_only_buffer_needs_a_const_pointee(function):
    values = np.array([1.0, 2.0])
    values.flags.writeable = False
    assert function("sum", "double(const double *, size_t)")(values, 2) == 3.0
    with pytest.raises(TypeError, match="argument 1: double \\* may be written to, and the buffer is read-only"):
        function("scale", "void(double *, size_t, double)")(values, 2, 10.0)


def test_a_buffer_of_another_type_is_refused(function):
    total = function("sum", "double(const double *, size_t)")
    for values in (np.zeros(2, "f4"), np.zeros(2, "i8"), np.zeros(2, ">f8"), bytearray(16), np.zeros(2, "c16")):
        with pytest.raises(TypeError, match="argument 1: const double \\* does not take a buffer of format"):
            total(values, 2)


def test_a_buffer_with_gaps_is_refused(function):
    with pytest.raises((ValueError, BufferError), match="contiguous"):
        function("sum", "double(const double *, size_t)")(np.zeros(8)[::2], 4)


def test_a_pointer_of_another_type_is_refused(function):
    total = function("sum", "double(const double *, size_t)")
    for pointer in (ffi.new("float[2]"), (ctypes.c_int * 2)(), ctypes.byref(ctypes.c_int(1))):
        with pytest.raises(TypeError, match="argument 1"):
            total(pointer, 1)


def test_str_goes_only_where_const_char_is(function):
    assert function("length", "size_t(const char *)")("käse") == 5
    for signature in ("size_t(char *)", "size_t(const void *)", "size_t(const unsigned char *)"):
        with pytest.raises(TypeError, match="const char"):
            function("length", signature)("text")
    with pytest.raises(ValueError, match="NUL"):
        function("length", "size_t(const char *)")("a\0b")


def test_bytes_go_where_const_bytes_are(function):
    assert function("length", "size_t(const char *)")(b"four") == 4
    assert function("length", "size_t(const void *)")(b"four") == 4
    with pytest.raises(TypeError, match="bytes are read-only"):
        function("length", "size_t(char *)")(b"four")
    with pytest.raises(TypeError, match="does not take bytes"):
        function("sum", "double(const double *, size_t)")(b"12345678", 1)


def test_none_is_the_null_pointer(function):
    assert function("same_pointer", "void *(void *)")(None) == ffi.NULL


def test_an_address_goes_only_where_void_is(function):
    assert int(ffi.cast("uintptr_t", function("same_pointer", "void *(void *)")(0x1000))) == 0x1000
    with pytest.raises(TypeError, match="an address goes where a parameter is void"):
        function("sum", "double(const double *, size_t)")(0x1000, 0)


def test_a_pointer_to_something_unknown_takes_any_buffer(function):
    memory = bytearray(8)
    result = function("same_pointer", "struct unknown *(struct unknown *)")(memory)
    assert result == ffi.from_buffer(memory)


def test_a_closed_buffer_is_an_error(function):
    closed = mmap.mmap(-1, 4096)
    closed.close()
    view = memoryview(bytearray(8))
    view.release()
    for buffer in (closed, view):
        with pytest.raises(ValueError, match=r"closed|released"):
            function("same_pointer", "void *(void *)")(buffer)


def test_a_buffer_is_locked_until_the_call_has_ended(function):
    memory = bytearray(64)
    gate = np.zeros(1, "i4")
    thread = kthreads.Thread(target=function("wait_for", "int(const void *)"), args=(gate,))
    bound = function("same_pointer", "void *(void *)").bind((memory,))
    with pytest.raises(BufferError):
        memory.append(1)
    bound.finish()
    memory.append(1)
    thread.start()
    gate[0] = 1
    thread.join()


def test_functions_are_equal_by_address_and_types(function):
    assert function("same_i32", "int(int)") == function("same_i32", "int32_t(int32_t x)")
    assert function("same_i32", "int(int)") != function("same_i32", "unsigned(unsigned)")
    assert len({function("same_i32", "int(int)"), function("same_i32", "int(int)")}) == 1
