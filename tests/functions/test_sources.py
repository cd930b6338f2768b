"""The objects that stand for native functions: of cffi, ctypes, numba and SciPy, capsules, and addresses."""

from __future__ import annotations

import ctypes

import cffi
import numpy as np
import pytest

import kthreads
from kthreads._native import ffi
from kthreads.functions.declaration import parse
from kthreads.functions.sources import is_native


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


def test_a_ctypes_function_with_an_errcheck_is_refused_as_it_would_not_be_run():
    function = ctypes.CDLL(None).labs
    function.argtypes, function.restype = [ctypes.c_long], ctypes.c_long
    function.errcheck = lambda result, function, args: result
    with pytest.raises(TypeError, match="labs has an errcheck, and a native call does not run Python code"):
        kthreads.native(function)
    with pytest.raises(TypeError, match="errcheck"):
        kthreads.native(function, "long(long)")


def test_a_ctypes_function_whose_restype_checks_the_result_is_refused():
    class Checked(ctypes.c_int):
        @staticmethod
        def _check_retval_(result):
            return result

    function = ctypes.CDLL(None).abs
    function.argtypes, function.restype = [ctypes.c_int], Checked
    with pytest.raises(TypeError, match="the restype Checked, which checks the result"):
        kthreads.native(function)
