"""More arguments than there are registers: each arrives in its place, whichever way the function is called."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kthreads
from kthreads._native import ffi, lib

TWENTY = (
    "double(int8_t, int64_t, uint8_t, int, int64_t, uint16_t, float, double, double, double, double, double, double,"
    " float, int8_t, float, const char *, double, bool, unsigned)"
)
VALUES = (-1, -2, 3, -4, 5, 6, 7.5, 8.5, -9.5, 10, 11, 12, 13, 14.25, -15, 16.5, "seven", 18.5, True, 2**32 - 1)
EXPECTED = sum(weight * (len(value) if isinstance(value, str) else value) for weight, value in enumerate(VALUES, 1))
NUMBERS = st.one_of(st.integers(-(2**31), 2**31 - 1), st.floats(allow_nan=False, width=32))


@pytest.fixture(scope="module")
def weigh(native_library):
    return kthreads.symbol(native_library, "weigh_twenty", TWENTY)


def test_a_direct_call_passes_them(weigh):
    assert weigh(*VALUES) == EXPECTED


def test_a_thread_passes_them(weigh):
    thread = kthreads.Thread(target=weigh, args=VALUES)
    thread.start()
    thread.join()
    assert thread.result == EXPECTED


def test_a_task_of_a_pool_passes_them(weigh):
    with kthreads.Pool(2) as pool:
        assert pool.submit(weigh, *VALUES).result() == EXPECTED


def test_a_batch_passes_them_for_each_call(weigh):
    columns = [[value] * 100 for value in VALUES]
    columns[1] = list(range(100))
    with kthreads.Pool(2) as pool:
        found = pool.submit_many(weigh, *columns).results()
    assert found == [EXPECTED + 2 * (row + 2) for row in range(100)]


def test_a_loop_passes_them_to_its_body(native_library):
    body = kthreads.symbol(
        native_library, "fill_with_sum", "int(uint64_t, uint64_t, int, int, int, int, int64_t, int64_t *)"
    )
    rows = np.zeros(10_000, "i8")
    with kthreads.Pool(2) as pool:
        pool.parallel_for(body, rows.size, 1, 2, 3, 4, -20, rows)
        assert rows.tolist() == list(range(-10, 9_990))
        pool.parallel_for(body, rows.size, 1, 2, 3, 4, -10, rows)  # the second call of the same loop
    assert rows.tolist() == list(range(10_000))


def test_a_map_passes_them_for_each_item(native_library):
    last = kthreads.symbol(
        native_library,
        "last_of_eight",
        "int64_t(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int8_t, int64_t)",
    )
    items = np.arange(300).reshape(20, 15)
    with kthreads.Pool(2) as pool:
        found = pool.map_array(last, items, 0, 0, 0, 0, 0, (-items).astype("i1") * 0, items)
    np.testing.assert_array_equal(found, np.where(items == 0, items, -1))


def test_per_worker_data_must_be_among_the_first_arguments(native_library):
    body = kthreads.symbol(
        native_library, "fill_with_sum", "int(uint64_t, uint64_t, int, int, int, int, int64_t, int64_t *)"
    )
    with kthreads.Pool(2) as pool, pytest.raises(TypeError, match=r"argument 8: .* one of the first 6 integers"):
        pool.parallel_for(body, 100, 1, 2, 3, 4, 5, kthreads.PerWorker(np.zeros((2, 100), "i8")))


def test_the_message_names_an_argument_beyond_the_registers(weigh):
    with pytest.raises(
        OverflowError, match=r"weigh_twenty\(\) argument 15: 128 is out of range for (int8_t|signed char)"
    ):
        weigh(*VALUES[:14], 128, *VALUES[15:])
    with pytest.raises(TypeError, match="argument 16: float takes a number, not str"):
        weigh(*VALUES[:15], "x", *VALUES[16:])


def test_memory_that_an_argument_beyond_the_registers_points_to_stays_locked_until_the_call_ends(native_library):
    function = kthreads.native(1, "void(int, int, int, int, int, int, char *)")
    memory = bytearray(8)
    call = function.bind((1, 2, 3, 4, 5, 6, memory))
    with pytest.raises(BufferError):
        memory.clear()
    call.finish()
    memory.clear()


def test_a_product_of_matrices_by_blas_takes_thirteen_arguments():
    blas = pytest.importorskip("scipy.linalg.cython_blas")
    gemm = kthreads.native(blas.__pyx_capi__["dgemm"])
    a, b, product = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4), np.zeros((2, 4))
    no, one, zero = bytearray(b"N"), np.ones(1), np.zeros(1)
    two, three, four = (np.array([size], "i4") for size in (2, 3, 4))
    gemm(no, no, four, two, three, one, b, four, a, three, zero, product, four)  # by columns: the transposed product
    np.testing.assert_array_equal(product, a @ b)


@given(values=st.lists(NUMBERS, min_size=1, max_size=lib.KT_ARGUMENTS))
def test_registers_are_filled_first_and_the_rest_follows_in_order(values):
    types = ["int" if isinstance(value, int) else "double" for value in values]
    call = kthreads.native(1, f"void({', '.join(types)})").bind(tuple(values))
    cdata = call.cdata
    integers = [value for value in values if isinstance(value, int)]
    floats = [value for value in values if isinstance(value, float)]
    rest = sorted([*_places(types, "int")[6:], *_places(types, "double")[8:]])
    more = list(ffi.unpack(cdata.more, cdata.more_count)) if cdata.more_count else []
    assert [_int(word) for word in cdata.integers][: len(integers)] == integers[:6]
    assert [_double(word) for word in cdata.floats][: len(floats)] == floats[:8]
    assert [
        _double(word) if types[place] == "double" else _int(word) for place, word in zip(rest, more, strict=True)
    ] == [values[place] for place in rest]
    assert cdata.more_floats == sum((types[place] == "double") << bit for bit, place in enumerate(rest))


@given(values=st.lists(NUMBERS, min_size=15, max_size=lib.KT_ARGUMENTS))
def test_a_callback_gets_what_was_passed(values):
    types = [ctypes.c_int if isinstance(value, int) else ctypes.c_double for value in values]
    found = []
    callback = ctypes.CFUNCTYPE(None, *types)(lambda *args: found.append((threading.get_ident(), *args)))
    spelled = ", ".join("int" if isinstance(value, int) else "double" for value in values)
    kthreads.native(ctypes.cast(callback, ctypes.c_void_p).value, f"void({spelled})")(*values)
    assert found == [(threading.get_ident(), *values)]


def _places(types, wanted):
    return [place for place, found in enumerate(types) if found == wanted]


def _int(word):
    return ctypes.c_int32(word & 0xFFFFFFFF).value


def _double(word):
    return ctypes.c_double.from_buffer_copy(word.to_bytes(8, "little")).value
