"""Native functions: where they come from, what they take and return."""

from __future__ import annotations

import array
import ctypes
import errno
import math
import mmap

import cffi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kthreads
from kthreads._native import ffi
from kthreads.functions.declaration import parse
from kthreads.functions.sources import is_native

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


# ---- Integers and floats -------------------------------------------------------------------------------------------


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
    thread = kthreads.Thread(function("fail_with", "int(int)"), (errno.EXDEV,))
    thread.start()
    thread.join()
    assert (thread.result, thread.errno) == (-1, errno.EXDEV)
    assert function("starting_errno", "int(void)")() == 0
    assert call.errno == 0


# ---- Pointers ------------------------------------------------------------------------------------------------------


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
    thread = kthreads.Thread(function("wait_for", "int(const void *)"), (gate,))
    bound = function("same_pointer", "void *(void *)").bind((memory,))
    with pytest.raises(BufferError):
        memory.append(1)
    bound.finish()
    memory.append(1)
    thread.start()
    gate[0] = 1
    thread.join()


# ---- Where functions come from -------------------------------------------------------------------------------------


def test_a_cffi_function_pointer_is_native(native_library):
    own = cffi.FFI()
    own.cdef("double same_double(double);")
    library = own.dlopen(native_library)
    function = kthreads.native(own.addressof(library, "same_double"))
    assert function.signature == "double(double)"
    assert function(1.5) == 1.5
    assert is_native(library.same_double)


def test_a_cffi_api_mode_function_is_native():
    from kthreads._native import lib

    assert is_native(lib.kt_features)
    assert kthreads.native(lib.kt_features)() == lib.kt_features()


def test_a_cffi_function_tells_no_const_so_signature_may(native_library):
    own = cffi.FFI()
    own.cdef("double sum(const double *, size_t);")
    found = own.dlopen(native_library).sum
    values = np.ones(2)
    values.flags.writeable = False
    with pytest.raises(TypeError, match="declare the pointee const with signature="):
        kthreads.native(found)(values, 2)
    assert kthreads.native(found, "double(const double *, size_t)")(values, 2) == 2.0


def test_a_signature_that_disagrees_with_the_function_is_refused(native_library):
    own = cffi.FFI()
    own.cdef("double same_double(double);")
    with pytest.raises(TypeError, match=r"signature float\(double\) does not agree with the function's own"):
        kthreads.native(own.dlopen(native_library).same_double, "float(double)")


def test_long_and_long_long_agree_because_they_are_called_alike():
    assert parse("long(long)").abi == parse("long long(int64_t)").abi


def test_a_ctypes_function_with_types_is_native(native_library):
    function = ctypes.CDLL(native_library).sum
    with pytest.raises(TypeError, match="declares no argtypes"):
        kthreads.native(function)
    function.argtypes, function.restype = [ctypes.POINTER(ctypes.c_double), ctypes.c_size_t], ctypes.c_double
    assert kthreads.native(function)(np.ones(3), 3) == 3.0


def test_a_ctypes_function_that_needs_the_gil_is_refused():
    with pytest.raises(TypeError, match="GIL"):
        kthreads.native(ctypes.pythonapi.PyLong_FromLong)


def test_a_capsule_is_native_by_its_name(function):
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
        ("PyCapsule_New", ctypes.pythonapi)
    )
    name = b"double (double)"
    capsule = new(function("same_double", "double(double)").address, name, None)
    assert kthreads.native(capsule)(2.5) == 2.5


def test_a_low_level_callable_of_scipy_is_native(native_library):
    scipy = pytest.importorskip("scipy")
    function = ctypes.CDLL(native_library).same_double
    function.argtypes, function.restype = [ctypes.c_double], ctypes.c_double
    assert kthreads.native(scipy.LowLevelCallable(function))(2.5) == 2.5


def test_a_numba_cfunc_is_native():
    numba = pytest.importorskip("numba")
    square = numba.cfunc("double(double)")(lambda x: x * x)
    assert kthreads.native(square)(3.0) == 9.0


def test_an_address_needs_a_signature(function):
    address = function("same_i32", "int(int)").address
    assert kthreads.native(address, "int(int)")(5) == 5
    with pytest.raises(TypeError, match="needs a signature"):
        kthreads.native(address)


def test_null_is_no_function():
    with pytest.raises(ValueError, match="NULL"):
        kthreads.native(0, "void(void)")


@pytest.mark.parametrize("obj", [len, lambda: None, "text".upper, int, None, object(), "puts"], ids=repr)
def test_python_objects_are_not_native(obj):
    assert not is_native(obj)
    with pytest.raises(TypeError, match="not a native function"):
        kthreads.native(obj)


def test_a_missing_library_and_a_missing_symbol_are_named():
    with pytest.raises(kthreads.errors.LibraryNotFoundError, match=r"libnowhere\.so"):
        kthreads.symbol("libnowhere.so", "f", "void(void)")
    with pytest.raises(kthreads.errors.SymbolNotFoundError, match="no_such_function"):
        kthreads.symbol(None, "no_such_function", "void(void)")


def test_functions_are_equal_by_address_and_types(function):
    assert function("same_i32", "int(int)") == function("same_i32", "int32_t(int32_t x)")
    assert function("same_i32", "int(int)") != function("same_i32", "unsigned(unsigned)")
    assert len({function("same_i32", "int(int)"), function("same_i32", "int(int)")}) == 1


# ---- Signatures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("double(int, const double *)", "double(int, const double *)"),
        ("double cos(double x)", "double(double)"),
        ("unsigned long (*)(unsigned long, unsigned char const *buffer, unsigned)",
         "unsigned long(unsigned long, const unsigned char *, unsigned int)"),
        ("void(void)", "void(void)"),
        ("void f();", "void(void)"),
        ("int(double x[3], size_t n)", "int(double *, size_t)"),
        ("int(char *const name)", "int(char *)"),
        ("int(const char **names)", "int(const char **)"),
        ("int main(int argc, char *const argv[])", "int(int, char *const *)"),
        ("void each(int visit(double), void *context)", "void(int (*)(double), void *)"),
        ("FILE *(const char *restrict path)", "FILE *(const char *)"),
    ],
)  # fmt: skip
def test_a_c_declaration_gives_a_signature(text, canonical):
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("int(int, ...)", "variable number of arguments"),
        ("long double(double)", "long double by value"),
        ("void(double _Complex)", "by value|not a C type"),
        ("void(struct point)", "struct point by value"),
        ("void(point_t)", "not a C type that kthreads knows"),
        ("void(int,int,int,int,int,int,int)", "takes 7 integers and pointers; at most 6"),
        ("void(" + ",".join(["double"] * 9) + ")", "takes 9 floating numbers; at most 8"),
        ("int", "not a C function"),
        ("", "not a C function"),
    ],
)
def test_a_signature_that_registers_cannot_carry_says_why(text, why):
    with pytest.raises(TypeError, match=why):
        parse(text)


# ---- What the sources do and do not tell ---------------------------------------------------------------------------


def test_a_stated_signature_replaces_one_that_differs_only_in_const(function):
    found = function("sum", "double(double *, size_t)")
    assert kthreads.native(found, "double(const double *, unsigned long)").signature == (
        "double(const double *, unsigned long)"
    )


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ("double(const float *, size_t)", "parameter 1 is const float"),
        ("double(const double **, size_t)", "parameter 1 is const double"),
        ("double(const double *, ssize_t)", "parameter 2 is ssize_t, not size_t"),
        ("double(const double *, unsigned)", "parameter 2 is unsigned int, not size_t"),
        ("double(const double *)", "it has 1 parameters, not 2"),
        ("float(const double *, size_t)", "it returns float, not double"),
    ],
)
def test_a_stated_signature_must_be_called_alike(function, stated, reason):
    with pytest.raises(TypeError, match=reason):
        kthreads.native(function("sum", "double(double *, size_t)"), stated)


def test_a_ctypes_function_whose_restype_nobody_set_is_refused(native_library):
    found = ctypes.CDLL(native_library).same_double
    found.argtypes = [ctypes.c_double]
    with pytest.raises(TypeError, match="declares no restype"):
        kthreads.native(found)
    assert kthreads.native(found, "double(double)")(1.5) == 1.5


def test_a_ctypes_function_that_returns_int_may_say_so(native_library):
    found = ctypes.CDLL(native_library).same_i32
    found.argtypes, found.restype = [ctypes.c_int], ctypes.c_int
    assert kthreads.native(found)(5) == 5


def test_a_ctypes_callback_is_native():
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda value: value + 1)
    assert is_native(callback)
    assert kthreads.native(callback)(1) == 2


def test_a_cffi_callback_is_native():
    callback = cffi.FFI().callback("int(int)", lambda value: value + 1)
    assert kthreads.native(callback)(1) == 2


@pytest.mark.parametrize("null", [ffi.cast("void(*)(void)", 0), ctypes.CFUNCTYPE(None)(0)], ids=["cffi", "ctypes"])
def test_a_null_function_of_any_source_is_refused(null):
    with pytest.raises(ValueError, match="NULL"):
        kthreads.native(null)


def test_a_function_of_variable_arguments_is_refused_with_a_way_out():
    own = cffi.FFI()
    own.cdef("int printf(const char *, ...);")
    with pytest.raises(TypeError, match="wrap the function in a C function"):
        kthreads.native(own.dlopen(None).printf)


def test_a_structure_by_value_is_refused_for_cffi_and_ctypes():
    own = cffi.FFI()
    own.cdef("struct point { double x; };")
    point = type("point", (ctypes.Structure,), {"_fields_": [("x", ctypes.c_double)]})
    for obj in (own.cast("void(*)(struct point)", 8), ctypes.CFUNCTYPE(None, point)(8)):
        with pytest.raises(TypeError, match=r"struct point by value .* pass a pointer to it"):
            kthreads.native(obj)


@pytest.mark.parametrize(
    "text", ["PyObject *(PyObject *)", "void(struct __pyx_obj_4body_Thing *)", "void(PyObject **)"]
)
def test_functions_that_handle_python_objects_are_refused(text):
    with pytest.raises(TypeError, match="needs the GIL"):
        kthreads.native(1, text)


def test_a_capsule_whose_name_is_no_signature_needs_one():
    import datetime

    with pytest.raises(TypeError, match="pass signature="):
        kthreads.native(datetime.datetime_CAPI)


def test_the_functions_of_a_cython_module_are_native():
    special = pytest.importorskip("scipy.special.cython_special")
    found = kthreads.native(special.__pyx_capi__["gammaln"])
    assert (
        found.signature == "double(double)"
    )  # without the flag that Cython adds to functions that Python can also call
    assert found(5.0) == pytest.approx(np.log(24))


def test_numba_knows_no_const_so_signature_may_state_it():
    numba = pytest.importorskip("numba")
    types = numba.types
    first = numba.cfunc(types.double(types.CPointer(types.double)))(lambda values: values[0])
    values = np.ones(1)
    values.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        kthreads.native(first)(values)
    assert kthreads.native(first, "double(const double *)")(values) == 1.0


def test_a_numba_dispatcher_is_refused_with_advice_to_use_cfunc():
    numba = pytest.importorskip("numba")
    with pytest.raises(TypeError, match=r"numba\.cfunc"):
        kthreads.native(numba.njit(lambda x: x))


@pytest.mark.parametrize("address", [-1, 2**64])
def test_an_address_outside_of_memory_is_refused(address):
    with pytest.raises(ValueError, match="is not an address"):
        kthreads.native(address, "void(void)")


def test_a_native_function_passes_through(function):
    found = function("same_i32", "int(int)")
    assert is_native(found)
    assert kthreads.native(found) is found


@pytest.mark.parametrize(
    "text",
    [
        "int(FILE *, struct point *, char *const *, void (*)(int, const char *))",
        "const char *(const char *const *, int (**)(int))",
        "void(bool, char, float, wchar_t, long double *, double _Complex *)",
    ],
)
def test_the_canonical_text_is_itself_a_signature_and_means_the_same(text):
    assert parse(parse(text).text).abi == parse(text).abi
    assert parse(parse(text).text).text == parse(text).text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("void(unsigned __int128)", "not a type that kthreads knows"),
        ("void(unsigned int64_t)", "one type too many"),
        ("void(int", "expected, not the end"),
        ("void(int,)", "a type is missing"),
        ("int f(int) g", "one too many"),
        ("std::size_t(int)", "not understood"),
    ],
)
def test_a_mistake_in_a_signature_is_named(text, why):
    with pytest.raises(TypeError, match=why):
        parse(text)


def test_is_native_never_raises():
    class Difficult:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __call__(self):
            pass

    assert not is_native(Difficult())
    assert not is_native((1, 2))
    assert not is_native(())
    assert not is_native(ffi.new("int *"))
