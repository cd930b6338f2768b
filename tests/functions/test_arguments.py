"""Arguments: any value is either passed on exactly, or refused with a message that says which and why."""

from __future__ import annotations

import array
import ctypes
import gc
import math
import mmap
import platform
import struct
import weakref

import cffi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kthreads
from kthreads._native import ffi

INTEGERS = {
    "signed char": "b", "unsigned char": "B", "short": "h", "unsigned short": "H", "int": "i", "unsigned": "I",
    "long": "l", "unsigned long": "L", "long long": "q", "unsigned long long": "Q", "int8_t": "b", "uint8_t": "B",
    "int16_t": "h", "uint16_t": "H", "int32_t": "i", "uint32_t": "I", "int64_t": "q", "uint64_t": "Q", "size_t": "N",
    "ssize_t": "n", "intptr_t": "n", "uintptr_t": "N", "Py_ssize_t": "n",
}  # fmt: skip
NUMPY = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16", "?", "S3", "U2"]
POINTEES = {
    "int8_t": "i1", "uint8_t": "u1", "int16_t": "i2", "uint16_t": "u2", "int32_t": "i4", "uint32_t": "u4",
    "int64_t": "i8", "long long": "i8", "uint64_t": "u8", "size_t": "u8", "float": "f4", "double": "f8",
    "float _Complex": "c8", "double _Complex": "c16", "bool": "?",
}  # fmt: skip


def taking(parameters):
    """A function that is bound, never run."""
    return kthreads.native(1, f"void({parameters})")


def word(parameter, value):
    """What the register of the only integer parameter gets."""
    return taking(parameter).bind((value,)).cdata.integers[0]


@given(value=st.integers(-(2**65), 2**65), ctype=st.sampled_from(sorted(INTEGERS)))
def test_an_integer_is_extended_as_far_as_functions_look_or_refused(value, ctype):
    code = INTEGERS[ctype]
    try:
        struct.pack(code, value)
    except struct.error:
        with pytest.raises(OverflowError, match=f"argument 1: {value} is out of range for"):
            taking(ctype).bind((value,))
    else:
        looked_at = max(32, 8 * struct.calcsize(code))  # psABI and AAPCS64
        assert word(ctype, value) % 2**looked_at == value % 2**looked_at


@given(
    values=st.lists(st.one_of(st.integers(0, 2**31 - 1), st.floats(allow_nan=False)), max_size=14).filter(
        lambda values: sum(type(v) is int for v in values) <= 6 and sum(type(v) is float for v in values) <= 8
    )
)
def test_integers_and_doubles_fill_their_registers_in_order_however_they_are_mixed(values):
    types = ", ".join("int" if type(value) is int else "double" for value in values) or "void"
    cdata = taking(types).bind(tuple(values)).cdata
    integers = [value for value in values if type(value) is int]
    doubles = [value for value in values if type(value) is float]
    assert list(cdata.integers)[: len(integers)] == integers
    assert list(cdata.floats)[: len(doubles)] == [struct.unpack("Q", struct.pack("d", v))[0] for v in doubles]
    assert not any(list(cdata.integers)[len(integers) :])
    assert not any(list(cdata.floats)[len(doubles) :])


@given(value=st.floats())
def test_a_double_is_rounded_to_a_float_as_cffi_rounds_it(value):
    bits = taking("float").bind((value,)).cdata.floats[0]
    (found,) = struct.unpack("<f4x", struct.pack("<Q", bits))
    expected = ffi.new("float *", value)[0]
    assert found == expected or (math.isnan(found) and math.isnan(expected))
    assert bits < 2**32


@pytest.mark.parametrize("value", ["1", b"1", None, 1j, [1.0]], ids=repr)
@pytest.mark.parametrize("ctype", ["float", "double"])
def test_what_is_no_number_is_no_float(ctype, value):
    with pytest.raises(TypeError, match=f"argument 1: {ctype} takes a number, not {type(value).__name__}"):
        taking(ctype).bind((value,))


@pytest.mark.parametrize("value", [1.0, "1", b"1", None, np.float64(1)], ids=repr)
@pytest.mark.parametrize("ctype", ["int8_t", "int", "long", "unsigned", "size_t"])
def test_what_is_no_integer_is_no_int(ctype, value):
    with pytest.raises(TypeError, match=rf"argument 2: \w+( \w+)? takes an int, not {type(value).__name__}"):
        taking(f"int, {ctype}").bind((0, value))


def test_an_integer_that_no_double_holds_is_refused():
    with pytest.raises(OverflowError, match="argument 1: the integer is out of range for double"):
        taking("double").bind((10**400,))


@pytest.mark.parametrize("value", [True, np.True_, 1], ids=repr)
def test_a_bool_may_come_from_numpy(value):
    assert word("bool", value) == 1


@pytest.mark.parametrize("value", [1.0, "", None], ids=repr)
def test_truth_of_other_objects_is_no_bool(value):
    with pytest.raises(TypeError, match="argument 1: bool takes True, False, 1 or 0"):
        taking("bool").bind((value,))


def test_an_enum_of_cffi_is_passed_as_its_integer():
    own = cffi.FFI()
    own.cdef("enum colour {RED = -1, BLUE = 7}; int abs(enum colour);")
    assert kthreads.native(own.dlopen(None).abs)(-1) == 1


def test_the_message_names_the_function_and_the_argument():
    function = kthreads.symbol(None, "labs", "long(long)")
    with pytest.raises(TypeError, match=r"^labs\(\) argument 1: long takes an int, not str$"):
        function.bind(("x",))


def test_an_error_of_the_value_itself_is_not_hidden():
    class Broken:
        def __index__(self):
            raise ZeroDivisionError("of its own")

    with pytest.raises(ZeroDivisionError, match="of its own"):
        taking("int").bind((Broken(),))


def test_a_char_is_extended_as_the_platform_extends_it():
    assert word("char", b"\xff") == ctypes.c_uint64(-1 if platform.machine() == "x86_64" else 255).value


@given(
    pointee=st.sampled_from(sorted(POINTEES)),
    dtype=st.sampled_from(NUMPY),
    order=st.sampled_from("<>"),
    writable=st.booleans(),
    step=st.sampled_from([1, 2, -1]),
    const=st.booleans(),
)
def test_an_array_is_taken_exactly_when_its_memory_is_what_the_function_expects(
    pointee, dtype, order, writable, step, const
):
    values = np.zeros(8, np.dtype(dtype).newbyteorder(order))[::step]
    values.flags.writeable = writable
    wanted = np.dtype(POINTEES[pointee])
    fits = values.dtype == wanted or (
        wanted.itemsize == 1 == values.itemsize and {wanted.kind, values.dtype.kind} <= set("iu")
    )
    function = taking(f"{'const ' * const}{pointee} *")
    if fits and step == 1 and (writable or const):
        assert function.bind((values,)).cdata.integers[0] == values.ctypes.data
    else:
        with pytest.raises((TypeError, ValueError), match="argument 1"):
            function.bind((values,))


@given(values=st.lists(st.integers(-(2**40), 2**40).map(float), max_size=20), dimensions=st.integers(1, 3))
def test_an_array_of_any_shape_is_one_run_of_items(native_library, values, dimensions):
    shaped = np.array(values).reshape((1,) * (dimensions - 1) + (len(values),))
    total = kthreads.symbol(native_library, "sum", "double(const double *, size_t)")(shaped, shaped.size)
    assert total == sum(values)


@pytest.mark.parametrize("pointee", ["char", "signed char", "unsigned char", "int8_t", "uint8_t", "void", "struct any"])
@pytest.mark.parametrize(
    "make",
    [bytearray, lambda n: memoryview(bytearray(n)), lambda n: mmap.mmap(-1, n), lambda n: array.array("b", bytes(n)),
     lambda n: np.zeros(n, "u1"), lambda n: (ctypes.c_char * n)(), lambda n: ffi.new("char[]", n)],
    ids=["bytearray", "memoryview", "mmap", "array", "numpy", "ctypes", "cffi"],
)  # fmt: skip
def test_bytes_in_any_writable_object_go_to_any_pointer_to_bytes(pointee, make):
    assert word(f"{pointee} *", make(8)) != 0


@pytest.mark.parametrize("pointee", ["bool", "int16_t", "double", "char *"])
def test_raw_bytes_do_not_go_where_other_items_are_expected(pointee):
    with pytest.raises(TypeError, match=r"argument 1: .* does not take a buffer of format 'B' \(1 bytes an item\)"):
        taking(f"{pointee} *").bind((bytearray(64),))


def test_truth_values_are_no_bytes():
    with pytest.raises(TypeError, match="argument 1: uint8_t \\* does not take a buffer of format"):
        taking("uint8_t *").bind((np.zeros(8, "?"),))


def test_a_void_pointer_takes_items_of_any_type():
    values = np.zeros(3, [("x", "f8"), ("y", "i4")])
    assert word("void *", values) == values.ctypes.data


def test_python_objects_in_an_array_are_never_handed_out():
    with pytest.raises(TypeError, match="format 'O'"):
        taking("void *").bind((np.array([None]),))


def test_dates_of_numpy_which_are_no_buffer_are_refused():
    with pytest.raises(ValueError, match="argument 1: the ndarray cannot be used as a buffer"):
        taking("void *").bind((np.zeros(1, "M8[s]"),))


@pytest.mark.parametrize("value", [[1.0], (1.0,), {}, object(), 1.0], ids=repr)
def test_what_is_no_memory_is_no_pointer(value):
    with pytest.raises(TypeError, match="argument 1: double \\* takes a buffer, a pointer or None"):
        taking("double *").bind((value,))


def test_a_bool_is_no_address():
    with pytest.raises(TypeError, match="does not take bool"):
        taking("void *").bind((True,))


@pytest.mark.parametrize("value", [-1, 2**64])
def test_an_address_has_64_bits(value):
    with pytest.raises(OverflowError, match="is not an address"):
        taking("void *").bind((value,))


@given(text=st.text())
def test_a_str_arrives_as_utf8_that_ends_with_nul(native_library, text):
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        encoded = None
    function = kthreads.native(kthreads.symbol(native_library, "same_string", "char *(char *)").address,
                               "char *(const char *)")  # fmt: skip
    if encoded is None or b"\0" in encoded:
        with pytest.raises(ValueError, match=r"argument 1: .*(NUL|UTF-8)"):
            function.bind((text,))
    else:
        call = function.bind((text,))
        assert ffi.string(call.run()) == encoded


def test_a_lone_surrogate_is_refused():
    with pytest.raises(ValueError, match="cannot be encoded as UTF-8"):
        taking("const char *").bind(("\udc80",))


def test_bytes_with_nul_are_passed_whole(native_library):
    function = kthreads.native(kthreads.symbol(native_library, "same_string", "char *(char *)").address,
                               "char *(const char *)")  # fmt: skip
    call = function.bind((b"a\0b",))
    assert bytes(ffi.buffer(call.run(), 4)) == b"a\0b\0"


@pytest.mark.parametrize(
    ("pointee", "taken"), [("char", True), ("unsigned char", True), ("void", True), ("int", False)]
)
def test_bytes_go_where_const_is_not_known_as_cffi_lets_them(pointee, taken):
    own = cffi.FFI()
    function = kthreads.native(own.cast(f"void(*)({pointee} *)", 1))
    if taken:
        assert function.bind((b"text",)).cdata.integers[0]
    else:
        with pytest.raises(TypeError, match="does not take bytes"):
            function.bind((b"text",))


OWN = cffi.FFI()
OWN.cdef("struct point { double x, y; };")


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_double), ("y", ctypes.c_double))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("double *", OWN.new("double *")),
        ("double *", OWN.new("double[2][3]")),
        ("double *", OWN.cast("void *", 8)),
        ("void *", OWN.new("double *")),
        ("struct point *", OWN.new("struct point *")),
        ("char **", OWN.new("char *[2]")),
        ("unsigned char *", OWN.new("char[2]")),
        ("long *", OWN.new("long long *")),
        ("void (*)(void)", OWN.cast("void(*)(void)", 8)),
        ("double *", ctypes.pointer(ctypes.c_double())),
        ("double *", ctypes.byref(ctypes.c_double())),
        ("double *", (ctypes.c_double * 2 * 3)()),
        ("void *", ctypes.c_void_p(8)),
        ("const char *", ctypes.c_char_p(b"x")),
        ("struct point *", Point()),
        ("struct point *", ctypes.byref(Point())),
        ("void (*)(void)", ctypes.CFUNCTYPE(None)(lambda: None)),
    ],
    ids=str,
)
def test_a_pointer_to_what_is_expected_is_taken(parameter, value):
    is_ctypes = not isinstance(value, ffi.CData)
    if not is_ctypes:
        expected = int(ffi.cast("uintptr_t", value))
    elif isinstance(value, (ctypes.Array, ctypes.Structure)):
        expected = ctypes.addressof(value)
    else:
        expected = ctypes.cast(value, ctypes.c_void_p).value
    assert word(parameter, value) == expected


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("double *", OWN.new("float *")),
        ("double *", OWN.new("double **")),
        ("double *", OWN.new("struct point *")),
        ("double *", OWN.new("struct point *")[0]),
        ("int *", OWN.new("unsigned *")),
        ("void *", OWN.cast("long", 8)),
        ("void (*)(void)", OWN.new("int *")),
        ("double *", ctypes.pointer(ctypes.c_int())),
        ("double *", ctypes.byref(ctypes.c_float())),
        ("double *", (ctypes.c_int * 2)()),
        ("double *", Point()),
        ("double *", ctypes.c_double()),
        ("int *", ctypes.c_char_p(b"x")),
        ("void (*)(void)", len),
    ],
    ids=str,
)
def test_a_pointer_to_something_else_is_refused(parameter, value):
    with pytest.raises(TypeError, match="argument 1"):
        taking(parameter).bind((value,))


def test_the_address_in_a_ctypes_pointer_is_passed_not_that_of_the_pointer_itself():
    number = ctypes.c_int(7)
    pointer = ctypes.pointer(number)
    assert word("void *", memoryview(pointer)) == ctypes.addressof(pointer)  # which is memory like any other
    assert word("void *", pointer) == ctypes.addressof(number)


def test_a_native_function_is_a_callback(native_library):
    ascending = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(
        lambda a, b: a[0] - b[0]
    )
    sort = kthreads.symbol(None, "qsort", "void(void *, size_t, size_t, int (*)(const void *, const void *))")
    values = np.array([3, 1, 2], "i4")
    sort(values, 3, 4, kthreads.native(ascending))
    assert values.tolist() == [1, 2, 3]


def test_arguments_live_as_long_as_the_call():
    values = np.zeros(3)
    gone = weakref.ref(values)
    call = taking("const double *").bind((values,))
    del values
    gc.collect()
    assert gone() is not None
    del call
    gc.collect()
    assert gone() is None


def test_a_pointer_lives_as_long_as_the_call():
    memory = ffi.new("double *")
    gone = weakref.ref(memory)
    call = taking("double *").bind((memory,))
    del memory
    gc.collect()
    assert gone() is not None
    del call
    gc.collect()
    assert gone() is None


def test_a_finished_call_lets_go_of_its_arguments():
    memory = bytearray(8)
    call = taking("void *").bind((memory,))
    with pytest.raises(BufferError):
        memory.append(1)
    call.finish()
    memory.append(1)


def test_a_refused_call_leaves_no_buffer_locked():
    memory = bytearray(8)
    with pytest.raises(TypeError, match="argument 2") as caught:
        taking("void *, int").bind((memory, "x"))
    del caught
    gc.collect()
    memory.append(1)


def test_two_calls_of_one_function_have_words_of_their_own():
    function = taking("long")
    first, second = function.bind((1,)), function.bind((2,))
    assert (first.cdata.integers[0], second.cdata.integers[0]) == (1, 2)


@given(bits=st.integers(0, 2**64 - 1), ctype=st.sampled_from(sorted(INTEGERS)))
def test_only_the_low_bytes_of_a_result_count(bits, ctype):
    call = kthreads.native(1, f"{ctype}(void)").bind(())
    call.cdata.result = bits
    size = struct.calcsize(INTEGERS[ctype])
    assert call.result == struct.unpack_from(INTEGERS[ctype], struct.pack("<Q", bits))[0]
    assert call.result % 2 ** (8 * size) == bits % 2 ** (8 * size)


@pytest.mark.parametrize(
    ("ctype", "bits", "value"),
    [
        ("bool", 0xFF01, True),
        ("bool", 0xFF00, False),
        ("char", 0xFF41, b"A"),
        ("void", 5, None),
        ("float", 0xFFFFFFFF_3FC00000, 1.5),
        ("double", 0x3FF8000000000000, 1.5),
        ("void *", 16, ffi.cast("void *", 16)),
        ("double *", 16, ffi.cast("void *", 16)),
    ],
)
def test_a_result_has_the_python_type_of_its_c_type(ctype, bits, value):
    call = kthreads.native(1, f"{ctype}(void)").bind(())
    call.cdata.result = bits
    assert call.result == value
    assert type(call.result) is type(value)


def test_a_string_result_is_one_that_cffi_can_read():
    call = kthreads.native(1, "const char *(void)").bind(())
    text = ffi.new("char[]", b"text")
    call.cdata.result = int(ffi.cast("uintptr_t", text))
    assert ffi.string(call.result) == b"text"
