"""The arguments of many calls: columns of every kind, with the same values and the same refusals as single calls."""

from __future__ import annotations

import ctypes
import gc
import sys
from array import array
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kthreads
from kthreads._native import ffi
from kthreads.pools.columns import Scalar, column_of

CODES = "bBhHiIlLqQfd"
NUMBERS = [
    "int8_t",
    "uint8_t",
    "short",
    "unsigned short",
    "int",
    "unsigned",
    "long",
    "size_t",
    "float",
    "double",
    "bool",
]


def taking(*parameters):
    return kthreads.native(1, f"void({', '.join(parameters)})")


def words_of(parameter, values, count):
    """The words that the calls get, as the engine reads them from the column."""
    held = column_of(taking(parameter), 0, values, count)
    item = "bhiqBHIQBfd"[held.item]
    memory = ffi.cast("char *", held.items)
    ctype = {"f": "float *", "d": "double *"}.get(
        item, f"{'u' if item.isupper() else ''}int{8 * array(item).itemsize}_t *"
    )
    return [ffi.cast(ctype, memory + i * held.stride)[0] for i in range(count)], held


def outcome(action):
    try:
        return action()
    except Exception as error:
        return type(error), str(error), getattr(error, "__notes__", [])


def single(parameter, value):
    """The number that a call with one argument gets."""
    call = taking(parameter).bind((value,)).cdata
    if parameter in ("float", "double"):
        return ffi.cast(f"{parameter} *", ffi.addressof(call, "floats"))[0]
    return call.integers[0]


def expected(parameter, values):
    found = []
    for row, value in enumerate(values):
        try:
            found.append(single(parameter, value))
        except (TypeError, OverflowError, ValueError) as error:
            return type(error), str(error), [f"in call {row} of those that were submitted"]
    return found


def low(parameter, numbers):
    """Integers without the bits that a function does not read."""
    size = ffi.sizeof(parameter)
    return [number if isinstance(number, float) else int(number) % 2 ** (8 * size) for number in numbers]


def same(parameter, found, wanted):
    assert type(found) is type(wanted)
    if isinstance(wanted, tuple):
        assert found == wanted
    else:
        assert low(parameter, found) == low(parameter, wanted)


@st.composite
def arrays(draw):
    code = draw(st.sampled_from(CODES))
    numbers = draw(st.lists(st.integers(-130, 300), max_size=5))
    made = np.array(numbers, "q").astype(code)
    kind = draw(st.sampled_from(["numpy", "array", "memoryview", "strided", "swapped", "bool", "ctypes"]))
    if kind == "array":
        return array(code, made.tolist())
    if kind == "memoryview":
        return memoryview(made)
    if kind == "strided":
        return np.repeat(made, 2)[::-2]
    if kind == "swapped":
        return made.astype(made.dtype.newbyteorder())
    if kind == "ctypes":
        return (ctypes.c_short * len(numbers))(*numbers)
    return made.astype("?") if kind == "bool" else made


@given(parameter=st.sampled_from(NUMBERS), values=arrays())
def test_a_buffer_of_numbers_is_taken_as_its_items_are(parameter, values):
    same(parameter, outcome(lambda: words_of(parameter, values, len(values))[0]), expected(parameter, values))


@given(
    parameter=st.sampled_from(NUMBERS), values=st.lists(st.one_of(st.integers(-(2**64), 2**64), st.floats(), st.none()))
)
def test_a_list_is_taken_as_its_items_are(parameter, values):
    found, wanted = outcome(lambda: words_of(parameter, values, len(values))[0]), expected(parameter, values)
    if parameter not in ("float", "double") or isinstance(wanted, tuple):
        same(parameter, found, wanted)
    else:
        assert np.array_equal(found, wanted, equal_nan=True)


@pytest.mark.parametrize(
    "values",
    [[b"ab", b"c"], (b"ab", None), [bytearray(b"ab")] * 2, [memoryview(b"ab"), np.zeros(3, "u1")], [None, None]],
    ids=repr,
)
def test_a_column_of_buffers_is_pointers_to_them(values):
    words, held = words_of("const unsigned char *", values, 2)
    pointers = [int(taking("const unsigned char *").bind((value,)).cdata.integers[0]) for value in values]
    assert words == pointers
    assert held is not None


@pytest.mark.parametrize(
    "make",
    [lambda rows: rows, memoryview, lambda rows: rows.reshape(3, 2, 2), lambda rows: (ctypes.c_ubyte * 4 * 3)()],
    ids=["array", "memoryview", "3-D", "ctypes"],
)
def test_a_buffer_with_rows_is_pointers_to_the_rows(make):
    values = make(np.zeros((3, 4), "u1"))
    words, _ = words_of("unsigned char *", values, 3)
    first = int(taking("void *").bind((values,)).cdata.integers[0])
    assert words == [first, first + 4, first + 8]


def test_rows_that_are_apart_are_pointers_to_the_rows():
    values = np.zeros((6, 4), "u1")[::2]
    words, _ = words_of("unsigned char *", values, 3)
    assert words == [values.ctypes.data + 8 * row for row in range(3)]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.zeros((2, 3), "f8"), TypeError, r"argument 1: unsigned char \* does not take a buffer of format 'd'"),
        (np.zeros((3, 2), "u1").T, ValueError, "argument 1: the buffer is not C-contiguous"),
        (np.broadcast_to(np.zeros(3, "u1"), (2, 3)), TypeError, "argument 1: .* the buffer is read-only"),
    ],
    ids=["format", "order", "read-only"],
)
def test_rows_that_a_single_call_refuses_are_refused(values, error, message):
    with pytest.raises(error, match=message) as caught:
        words_of("unsigned char *", values, 2)
    assert caught.value.__notes__ == ["in call 0 of those that were submitted"]


def test_a_scalar_is_one_argument_for_all_calls(pool, function):
    scaled = function("scaled", "double(int, double)")
    assert pool.submit_many(scaled, [1, 2, 3], 0.5).results() == [0.5, 1.0, 1.5]
    assert pool.submit_many(scaled, 2, iter([1.0, 2.0])).results() == [2.0, 4.0]
    assert pool.submit_many(scaled, np.int8(2), np.array([1.0, 2.0])).results() == [2.0, 4.0]


def test_a_scalar_is_one_argument_for_all_calls_of_a_python_function(pool):
    assert [each.result() for each in pool.submit_many(pow, [1, 2, 3], 2)] == [1, 4, 9]


def test_scalars_alone_say_nothing_of_the_number_of_calls(pool, function):
    with pytest.raises(TypeError, match="all arguments are scalars"):
        pool.submit_many(function("scaled", "double(int, double)"), 1, 2.0)


def test_a_wrong_scalar_is_refused_without_a_row(pool, function):
    with pytest.raises(TypeError, match="argument 2: double takes a number, not NoneType") as caught:
        pool.submit_many(function("scaled", "double(int, double)"), [1], None)
    assert not hasattr(caught.value, "__notes__")


def test_slices_are_pointers_into_one_buffer_and_lengths(pool, crc32):
    import zlib

    data = bytes(range(256)) * 4
    offsets = np.array([0, 0, 7, 100, 1024], "i4")
    slices = kthreads.Slices(data, offsets)
    batch = pool.submit_many(crc32, 0, slices, slices.lengths)
    assert batch.results() == [zlib.crc32(part) for part in (b"", data[:7], data[7:100], data[100:])]
    assert [bytes(part) for part in slices] == [b"", data[:7], data[7:100], data[100:]]
    assert bytes(slices[-1]) == bytes(slices[3:][0]) == data[100:]


def test_offsets_of_slices_count_items():
    data = np.arange(6.0)
    slices = kthreads.Slices(data, array("L", [0, 2, 6]))
    words, _ = words_of("const double *", slices, 2)
    assert words == [data.ctypes.data, data.ctypes.data + 16]
    assert list(slices.lengths) == [2, 4]


@pytest.mark.parametrize(
    ("offsets", "error", "message"),
    [
        (array("q", [0, 5]), ValueError, "slice 0 is from 0 to 5, of 4 items"),
        (array("q", [0, 3, 2]), ValueError, "slice 1 is from 3 to 2"),
        (array("q", [-1, 2]), ValueError, "slice 0 is from -1 to 2"),
        (array("Q", [0, 2**63]), ValueError, "slice 0 is from 0"),
        (array("d", [0, 1]), TypeError, "offsets must be a buffer of at least one integer"),
        (array("q"), TypeError, "offsets must be a buffer of at least one integer"),
        ([0, 3], TypeError, "offsets of Slices must be a buffer, such as an array, not list"),
        (np.zeros((2, 2), "q"), TypeError, "offsets must be a buffer of at least one integer"),
    ],
)
def test_slices_outside_of_the_buffer_are_refused(offsets, error, message):
    with pytest.raises(error, match=message):
        kthreads.Slices(b"abcd", offsets)


def test_a_buffer_keeps_its_size_as_long_as_there_are_slices_of_it():
    data = bytearray(b"onetwo")
    slices = kthreads.Slices(data, array("i", [0, 3, 6]))
    with pytest.raises(BufferError):
        data.clear()
    assert bytes(slices[1]) == b"two"
    del slices
    data.clear()


def test_slices_of_a_buffer_that_the_parameter_does_not_take_are_refused(pool):
    with pytest.raises(TypeError, match=r"argument 1: double \* does not take"):
        words_of("double *", kthreads.Slices(bytearray(4), array("i", [0, 4])), 1)
    with pytest.raises(TypeError, match="argument 1: int takes an int"):
        words_of("int", kthreads.Slices(bytearray(4), array("i", [0, 4])), 1)


@pytest.mark.parametrize(("ctype", "code"), [("int", "i"), ("double", "d"), ("unsigned char", "B"), ("bool", "B")])
def test_the_results_of_a_batch_are_an_array_of_the_type(pool, function, ctype, code):
    found = pool.submit_many(function("return_it", f"{ctype}({ctype})"), [0, 1, 1]).array()
    assert (found.typecode, found.tolist()) == (code, [0, 1, 1])


def test_pointers_are_addresses_in_the_array_of_a_batch(pool, function):
    memory = np.zeros(4, "u1")
    batch = pool.submit_many(function("same_pointer", "void *(void *)"), [memory, None])
    assert batch.array().tolist() == [memory.ctypes.data, 0]


def test_a_batch_that_returns_nothing_has_no_array(pool, function):
    with pytest.raises(TypeError, match="returns nothing: call results"):
        pool.submit_many(function("nothing", "void(int)"), [1]).array()


def test_what_the_rows_of_a_column_are_lives_until_the_calls_have_ended(pool, gate):
    kept = bytearray(4)
    batch = pool.submit_many(gate.function, [gate.arrived] * 3, [gate.word] * 3)
    other = pool.submit_many(kthreads.symbol(None, "memchr", "void *(const void *, int, size_t)"), [kept] * 3, 1, 4)
    with pytest.raises(BufferError):
        kept.append(1)
    gate.open()
    batch.results(), other.results()


def held_counts(make, thing):
    """The references to an object before, while and after a column holds it."""
    gc.collect()
    counts = [sys.getrefcount(thing)]
    held = make()
    counts.append(sys.getrefcount(thing))
    del held
    return counts[0], counts[1] > counts[0], sys.getrefcount(thing)


@pytest.mark.parametrize(
    "thing", [bytes(bytearray(b"column")), bytearray(4), np.zeros(4, "u1"), memoryview(bytearray(2))], ids=repr
)
def test_a_column_holds_its_items_and_lets_go_of_them(thing):
    function = taking("const unsigned char *")
    for make in (
        lambda: column_of(function, 0, [thing] * 3, 3),
        lambda: column_of(function, 0, list(repeat(thing, 2)), 2),
        lambda: column_of(function, 0, Scalar(thing), 2),
    ):
        before, held, after = held_counts(make, thing)
        assert held
        assert before == after


@settings(max_examples=30)
@given(bad=st.integers(0, 20), count=st.integers(1, 20))
def test_a_column_that_is_refused_lets_go_of_the_items_before(bad, count):
    memory = bytearray(4)
    values = [memory] * count
    values[min(bad, count - 1)] = "x"
    with pytest.raises(TypeError, match="argument 1"):
        column_of(taking("unsigned char *"), 0, values, count)
    memory.append(0)
