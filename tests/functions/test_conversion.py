"""Conversion in C: for each value the same word as by the strict converters in Python, or the same exception."""

from __future__ import annotations

import array
import ctypes
import mmap
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import kthreads
from kthreads._native import ffi

NUMBERS = [
    "int8_t",
    "uint8_t",
    "short",
    "unsigned short",
    "int",
    "unsigned",
    "long",
    "unsigned long",
    "bool",
    "char",
    "float",
    "double",
]
TARGETS = [
    "void",
    "char",
    "signed char",
    "unsigned char",
    "short",
    "int",
    "unsigned",
    "long",
    "float",
    "double",
    "bool",
    "struct s",
    "int *",
    "void *",
]
POINTERS = [f"{const}{target} *" for target in TARGETS for const in ("", "const ")]
POINTERS += ["int *const *", "int (*)(int)"]
ITEMS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?", "S1", "S3", "U1", ">i4", "c8", "O"]
CODES = "bBhHiIlLqQfd"
WORDS = {1: "b7x", 2: "h6x", 4: "i4x", 8: "q"}


class Indexed:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Floated(float):
    def __float__(self):
        return 7.5


class Number(int):
    pass


class Text(str):
    pass


class Bytes(bytes):
    pass


class Array(np.ndarray):
    pass


def released():
    view = memoryview(bytearray(4))
    view.release()
    return view


def frozen(values):
    values.flags.writeable = False
    return values


INTEGERS = st.one_of(
    st.integers(-(2**65), 2**65),
    st.sampled_from([s * 2**n + d for n in (7, 8, 15, 16, 31, 32, 63, 64) for s in (1, -1) for d in (-1, 0, 1)]),
)
FLOATS = st.floats(allow_nan=False)
numbers = st.one_of(
    INTEGERS,
    FLOATS,
    st.booleans(),
    st.none(),
    INTEGERS.map(Indexed),
    st.integers(-300, 300).map(Number),
    FLOATS.map(Floated),
    st.integers(-128, 127).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    FLOATS.map(np.float64),
    st.booleans().map(np.bool_),
    st.fractions(),
    st.complex_numbers(),
    st.text(max_size=2),
    st.binary(max_size=2),
    st.binary(min_size=1, max_size=1).map(Bytes),
    st.just(np.array([1.0])),
    st.just(10**400),
)  # fmt: skip


@st.composite
def buffers(draw):
    length = draw(st.integers(0, 3))
    make = draw(st.sampled_from([
        lambda: bytearray(length),
        lambda: memoryview(bytearray(length)),
        lambda: memoryview(bytes(length)),
        lambda: memoryview(bytearray(8))[:: draw(st.sampled_from([1, 2]))],
        lambda: memoryview(bytearray(8)).cast(draw(st.sampled_from(CODES))),
        lambda: array.array(draw(st.sampled_from(CODES)), [1] * length),
        lambda: mmap.mmap(-1, 8),
        lambda: np.zeros(length, draw(st.sampled_from(ITEMS))),
        lambda: np.zeros((3, 3), draw(st.sampled_from(ITEMS))).T,
        lambda: frozen(np.zeros(length, draw(st.sampled_from(ITEMS)))),
        lambda: np.zeros(6, draw(st.sampled_from(ITEMS)))[::2],
        lambda: np.zeros((), draw(st.sampled_from(ITEMS))),
        lambda: np.zeros(2, [("a", "i4"), ("b", "f8")]),
        lambda: np.zeros(2, "M8[s]"),
        lambda: memoryview(np.zeros(2, draw(st.sampled_from(["i4", "f8", "u1"])))),
        lambda: np.zeros(3, "i4").view(Array),
        lambda: (draw(st.sampled_from([ctypes.c_int, ctypes.c_char, ctypes.c_double])) * 3)(),
        lambda: memoryview((ctypes.c_int * 3)()),
        lambda: ffi.buffer(ffi.new("char[4]")),
        lambda: ffi.new(draw(st.sampled_from(["int[2]", "char[2]", "double *"]))),
        lambda: ctypes.byref(ctypes.c_int()),
        released,
        object,
    ]))  # fmt: skip
    return make()


pointees = st.one_of(
    buffers(),
    numbers,
    st.binary(max_size=4).map(Bytes),
    st.text(max_size=3),
    st.text(max_size=3).map(Text),
    st.sampled_from(["a\0b", "\udc80", "é"]),
    st.sampled_from([kthreads.symbol(None, "abs", "int(int)"), abs, len]),
)


def outcome(action):
    try:
        return action()
    except Exception as error:
        return type(error), str(error)


def of_strict(function, value):
    """The word that the strict converter means. A buffer's address is that of the buffer, so the value must be the same."""
    word = function.convert(0, value, [])
    (ctype,) = function.parsed.parameters
    if ctype.kind == "float":
        return struct.unpack("<Q", struct.pack("<d" if ctype.size == 8 else "<f4x", word))[0]
    return word % 2 ** (32 if ctype.size == 4 else 64)


def of_c(function, value):
    cdata = function.bind((value,)).cdata
    return cdata.floats[0] if function.parsed.parameters[0].kind == "float" else cdata.integers[0]


def taking(parameter):
    return kthreads.native(1, f"void({parameter})")


@given(parameter=st.sampled_from(NUMBERS), value=numbers)
@example("float", 1e300)
@example("float", -0.0)
@example("float", float("inf"))
@example("double", Fraction(1, 3))
@example("bool", np.True_)
def test_numbers_are_converted_in_c_as_in_python(parameter, value):
    function = taking(parameter)
    assert outcome(lambda: of_c(function, value)) == outcome(lambda: of_strict(function, value))


def test_what_is_not_a_number_stays_so():
    for parameter in ("float", "double"):
        function = taking(parameter)
        assert of_c(function, float("nan")) == of_strict(function, float("nan"))


@given(parameter=st.sampled_from(POINTERS), value=pointees)
def test_pointers_are_converted_in_c_as_in_python(parameter, value):
    function = taking(parameter)
    strict = outcome(lambda: of_strict(function, value))
    if isinstance(value, str) and type(strict) is int:  # encoded anew each time
        call = function.bind((value,))
        assert ffi.string(ffi.cast("char *", call.cdata.integers[0])) == value.encode()
    elif isinstance(value, Bytes) and type(strict) is int:
        call = function.bind((value,))
        assert ffi.buffer(ffi.cast("char *", call.cdata.integers[0]), len(value))[:] == value
    else:
        for _ in range(3):  # C has learned from the first
            assert outcome(lambda: of_c(function, value)) == strict


@given(parameter=st.sampled_from(POINTERS), seen=buffers(), value=pointees)
@example("void *", memoryview(bytearray(4)), memoryview(bytearray(8))[::2])
@example("char *", memoryview(bytearray(4)), memoryview(b"ab"))
@example("char *", np.zeros(2, "u1"), frozen(np.zeros(2, "u1")))
@example("char *", np.zeros((2, 2), "u1"), np.zeros((3, 3), "u1")[:, 1])
@example("int *", np.zeros(2, "i4"), np.zeros(2, "f4"))
@example("int *", array.array("i", [1]), array.array("f", [1]))
def test_what_c_has_learned_from_one_value_is_true_of_others(parameter, seen, value):
    function = taking(parameter)
    outcome(lambda: function.bind((seen,)))
    test_pointers_are_converted_in_c_as_in_python.hypothesis.inner_test(parameter, value)


class Unhashable(type):
    def __hash__(self):
        raise KeyError("of a metaclass")


def test_a_class_that_has_no_hash_is_refused_like_any_other():
    function = taking("int *")
    function.bind((np.zeros(2, "i4"),))
    for _ in range(2):
        with pytest.raises(TypeError, match="takes a buffer, a pointer or None, not Odd"):
            function.bind((Unhashable("Odd", (), {})(),))


class Failing:
    def __index__(self):
        raise KeyError("mine")

    __float__ = __index__


@pytest.mark.parametrize("parameter", ["int", "double", "float", "bool"])
def test_an_exception_of_the_value_itself_is_raised_as_it_is(parameter):
    with pytest.raises(KeyError, match="mine"):
        taking(parameter).bind((Failing(),))


@pytest.mark.parametrize(
    "ctype", ["int8_t", "uint8_t", "int16_t", "uint16_t", "int32_t", "uint32_t", "int64_t", "uint64_t"]
)
@given(bits=st.integers(0, 2**64 - 1))
def test_integers_are_read_from_the_low_bits_of_a_result(ctype, bits):
    size = ffi.sizeof(ctype)
    expected = int(ffi.cast(ctype, bits % 2 ** (8 * size)))
    assert kthreads.native(1, f"{ctype}(void)").read(bits) == expected


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_a_number_of_any_length_is_out_of_range(number):
    for kind in ("int", "unsigned long", "bool"):
        with pytest.raises(OverflowError, match=rf"number of \d+ bits is out of range for {kind}"):
            kthreads.symbol(None, "labs", f"long({kind})")(number)
