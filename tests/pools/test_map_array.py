"""Pool.map_array: as a ufunc of the same function, in parallel."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kthreads

MINUS = "double(double, double)"
KINDS = {
    "i8": "int8_t", "i16": "int16_t", "i32": "int32_t", "i64": "int64_t", "u8": "uint8_t", "u16": "uint16_t",
    "u32": "uint32_t", "u64": "uint64_t", "float": "float", "double": "double", "bool": "bool",
}  # fmt: skip
DTYPES = {name: np.dtype(kind.removesuffix("_t").replace("float", "float32")) for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def minus(function):
    return function("minus", MINUS)


@pytest.fixture(scope="module")
def pool():
    with kthreads.Pool(3) as pool:
        yield pool


def expect_like(ours, theirs):
    """The same values, type, shape and order of memory."""
    np.testing.assert_array_equal(ours, theirs, strict=True)
    assert order_of(ours) == order_of(theirs)


def order_of(array):
    """The strides that mean something."""
    return [stride for stride, length in zip(array.strides, array.shape, strict=True) if length > 1 and array.size]


@st.composite
def views(draw, shape, dtype=np.float64):
    """An array that broadcasts to the shape: of any strides, order of axes, byte order and alignment."""
    length = draw(st.integers(0, len(shape)))
    shape = tuple(draw(st.sampled_from([1, n])) for n in shape[len(shape) - length :])
    axes = draw(st.permutations(range(length)))
    steps = [draw(st.sampled_from([-2, -1, 1, 1, 2, 3])) for _ in shape]
    base = tuple(shape[axis] * abs(steps[axis]) for axis in axes)
    item = np.dtype(dtype).newbyteorder(draw(st.sampled_from("==>")))
    offset = draw(st.sampled_from([0, 0, 1]))
    memory = np.zeros(int(np.prod(base)) * item.itemsize + offset, "u1")
    array = memory[offset:].view(item).reshape(base)
    array[...] = np.arange(array.size).reshape(base) % 101
    array = array.transpose(np.argsort(axes))[(*(slice(None, None, step) for step in steps), ...)]
    assert array.shape == shape
    return array


shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9)


# ---- The results of a ufunc --------------------------------------------------------------------------------------------


@given(data=st.data(), shape=shapes, grain=st.none() | st.integers(1, 50))
@settings(max_examples=400)
def test_a_map_is_a_ufunc_whatever_the_shapes_and_strides(minus, pool, data, shape, grain):
    a, b = data.draw(views(shape)), data.draw(views(shape))
    expect_like(pool.map_array(minus, a, b, grain=grain), np.subtract(a, b))


@given(data=st.data(), shape=shapes)
@settings(max_examples=200)
def test_out_takes_the_result_whatever_its_strides_and_type(minus, pool, data, shape):
    a, b = data.draw(views(shape)), data.draw(views(shape))
    out = data.draw(views(shape, data.draw(st.sampled_from(["f8", "f4", "c16"]))))
    if np.broadcast_shapes(a.shape, b.shape, out.shape) != out.shape:
        with pytest.raises(ValueError, match="broadcast"):
            pool.map_array(minus, a, b, out=out)
        return
    expected = np.subtract(a, b, out=out.copy(), casting="same_kind")
    assert pool.map_array(minus, a, b, out=out) is out
    np.testing.assert_array_equal(out, expected)


@given(data=st.data(), length=st.integers(1, 300), memory=st.integers(600, 900))
@settings(max_examples=200)
def test_overlapping_inputs_and_outputs_do_not_disturb_each_other(minus, pool, data, length, memory):
    ours, theirs = np.arange(memory, dtype="f8") ** 2, np.arange(memory, dtype="f8") ** 2
    window = st.tuples(st.integers(0, memory - 2 * length), st.sampled_from([-2, -1, 1, 2]))

    def window_of(array, where):
        start, step = where
        return array[start : start + length * abs(step)][::step]

    a, b, out = data.draw(window), data.draw(window), data.draw(window)
    pool.map_array(minus, window_of(ours, a), window_of(ours, b), out=window_of(ours, out), grain=7)
    np.subtract(window_of(theirs, a), window_of(theirs, b), out=window_of(theirs, out))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("step", [1, -2])
def test_every_type_goes_in_and_comes_out(function, pool, name, step):
    dtype = DTYPES[name]
    values = np.arange(-500, 500).astype(dtype)
    if dtype.kind in "iu":
        values[:2] = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = values[::step]
    same = function(f"same_{name}", f"{KINDS[name]}({KINDS[name]})")
    np.testing.assert_array_equal(pool.map_array(same, values), values, strict=True)


def test_char_is_bytes_of_length_1(function, pool):
    letters = np.frombuffer(b"broadcast\xff", "S1")
    np.testing.assert_array_equal(pool.map_array(function("same_char", "char(char)"), letters), letters, strict=True)


def test_a_true_that_is_not_1_is_1_to_the_function(function, pool):
    odd = np.array([0, 1, 2, 255], "u1").view("?")
    result = pool.map_array(function("same_u8", "uint8_t(bool)"), odd)
    assert result.tolist() == [0, 1, 1, 1]


def test_integers_and_floats_find_their_registers_in_any_order(function, pool):
    random = np.random.default_rng(1)
    types = ("f8", "i1", "f4", "u2", "f8", "i8", "?", "f8", "f8")
    arrays = [random.integers(0, 100, (5, 7)).astype(dtype) for dtype in types]
    weigh = function("weigh", "double(double, int8_t, float, uint16_t, double, int64_t, bool, double, double)")
    expect_like(
        pool.map_array(weigh, *arrays), sum(factor * array.astype(float) for factor, array in enumerate(arrays, 1))
    )
    combine = function("combine", "int64_t(int64_t, uint8_t, int32_t)")
    a, b, c = -np.arange(300), np.arange(300).astype("u1"), -np.arange(300, dtype="i4")
    expect_like(pool.map_array(combine, a, b, c), a + 10 * b.astype("i8") + 100 * c.astype("i8"))


def test_scalars_broadcast_and_scalars_alone_give_a_scalar(minus, pool):
    expect_like(pool.map_array(minus, 10, np.arange(3.0)), np.array([10.0, 9.0, 8.0]))
    alone = pool.map_array(minus, 3, np.float32(1))
    assert (type(alone), alone) == (np.float64, 2.0)
    assert pool.map_array(minus, np.array(3.0), 1, out=(out := np.zeros(()))) is out
    assert out == 2.0


def test_the_result_owns_its_memory(minus, pool):
    assert pool.map_array(minus, np.zeros((2, 3)), 1.0).flags.owndata


def test_lists_are_arrays(minus, pool):
    expect_like(pool.map_array(minus, [[1, 2]], [[3.0], [4.0]]), np.array([[-2.0, -1], [-3, -2]]))


def test_more_dimensions_than_anybody_needs(minus, pool):
    a = np.arange(2.0**8).reshape((2,) * 8).transpose(3, 1, 2, 0, 7, 6, 5, 4)[..., ::-1]
    a = a[(np.newaxis,) * 20]
    expect_like(pool.map_array(minus, a, 1), a - 1)


def test_a_function_of_nothing_fills_out(function, pool):
    out = np.zeros((5, 4), "i4")
    number = function("next_number", "int(void)")
    pool.map_array(number, out=out)
    assert sorted(out.flat) == list(range(out.min(), out.min() + 20))
    with pytest.raises(TypeError, match="pass out="):
        pool.map_array(number)


def test_out_with_elements_in_the_same_place_gets_the_last(minus, pool):
    memory = np.zeros(10)
    out = np.lib.stride_tricks.as_strided(memory, (1000, 10), (0, 8))
    pool.map_array(minus, np.arange(1000.0)[:, None], 0, out=out)
    assert (memory == 999).all()


# ---- Where functions come from -----------------------------------------------------------------------------------------


def test_functions_of_scipy_are_called_by_their_capsules(pool):
    special = pytest.importorskip("scipy.special")
    capsules = pytest.importorskip("scipy.special.cython_special").__pyx_capi__
    x = np.linspace(0.5, 20, 500)
    expect_like(pool.map_array(capsules["gammaln"], x), special.gammaln(x))
    orders = np.arange(5.0)[:, None]
    np.testing.assert_allclose(pool.map_array(capsules["__pyx_fuse_1jv"], orders, x), special.jv(orders, x), rtol=1e-12)
    np.testing.assert_allclose(
        pool.map_array(capsules["__pyx_fuse_1_1eval_legendre"], 3, x), special.eval_legendre(3, x), rtol=1e-12
    )


def test_cfuncs_of_numba_are_called(pool):
    numba = pytest.importorskip("numba")
    power = numba.cfunc("float64(intc, float64)")(lambda n, x: x**n)
    x = np.linspace(0, 2, 100)
    np.testing.assert_allclose(pool.map_array(power, 3, x), x**3)


def test_functions_of_ctypes_are_called(pool):
    floor = ctypes.CDLL("libm.so.6").floor
    floor.argtypes, floor.restype = [ctypes.c_double], ctypes.c_double
    expect_like(pool.map_array(floor, np.array([1.5, -1.5])), np.array([1.0, -2.0]))


# ---- What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros(3, "i8"), r"scaled\(\) argument 1: int64 does not convert to int32, which is int, .*'safe'"),
        (np.zeros(3), "float64 does not convert to int32"),
        (np.zeros(3, "c16"), "complex128"),
        (np.array([None]), "object"),
        (np.array(["1"]), "<U1"),
        (np.zeros(3, "M8[s]"), "datetime64"),
        (1.5, "int takes an int, not float"),
    ],
)
def test_an_input_that_does_not_convert_safely_is_refused(function, pool, array, problem):
    with pytest.raises(TypeError, match=problem):
        pool.map_array(function("scaled", "double(int, double)"), array, 1.0)


def test_a_python_number_out_of_range_is_refused(function, pool):
    with pytest.raises(OverflowError, match=r"argument 1: 4294967296 is out of range for int"):
        pool.map_array(function("scaled", "double(int, double)"), 1 << 32, np.zeros(3))


def test_shapes_that_do_not_broadcast_are_refused(minus, pool):
    with pytest.raises(ValueError, match=r"broadcast together with shapes \(2,\) \(3,\)"):
        pool.map_array(minus, np.zeros(2), np.zeros(3))


@pytest.mark.parametrize(
    ("out", "kind", "problem"),
    [
        ([0.0] * 3, TypeError, "must be a numpy.ndarray, not list"),
        (np.zeros(3, "i8"), TypeError, "returns float64, which does not convert to the int64 of out"),
        (np.zeros(2), ValueError, "broadcast"),
        (np.zeros((3, 1)), ValueError, "broadcast"),
        (np.zeros(1), ValueError, "broadcast"),
        (np.zeros(1, "f4"), ValueError, "broadcast"),
        (np.broadcast_to(0.0, 3), ValueError, "out is read-only"),
    ],
    ids=str,
)
def test_an_out_that_the_result_does_not_fit_into_is_refused(minus, pool, out, kind, problem):
    with pytest.raises(kind, match=problem):
        pool.map_array(minus, np.zeros(3), 1.0, out=out)


def test_wrong_numbers_of_arrays_are_refused(minus, pool):
    with pytest.raises(TypeError, match=r"minus takes 2 arrays \(double\(double, double\)\), not 1"):
        pool.map_array(minus, np.zeros(3))


def test_functions_not_of_numbers_are_refused(function, pool):
    with pytest.raises(TypeError, match="returns nothing to store"):
        pool.map_array(function("nothing", "void(void)"), out=np.zeros(3))
    with pytest.raises(TypeError, match=r"has a const char \*, which no element"):
        pool.map_array(function("length", "size_t(const char *)"), np.zeros(3))
    with pytest.raises(TypeError, match="not a native function"):
        pool.map_array(lambda x: x, np.zeros(3))


def test_a_pool_that_was_shut_down_maps_nothing(minus):
    pool = kthreads.Pool(2)
    pool.shutdown()
    with pytest.raises(kthreads.ThreadStateError, match="shutdown"):
        pool.map_array(minus, np.zeros(3), 1.0)


# ---- Stopped halfway -------------------------------------------------------------------------------------------------------


@pytest.fixture
def wait_at(function):
    """A function that waits at a gate, and the words of the gate: those who arrived, and whether it is open."""
    words = np.zeros(2, "i4")
    yield function("wait_at", "double(double, uint64_t, uint64_t)"), words, (words.ctypes.data, words.ctypes.data + 4)
    words[1] = 1


OUTS = {
    "of the type": lambda: np.full(1000, -1.0),
    "of another type": lambda: np.full(1000, -1, "f4"),
    "one element for all": lambda: np.lib.stride_tricks.as_strided(np.full(1, -1.0), (1000,), (0,)),
}


@pytest.mark.parametrize("kind", OUTS)
def test_cancelled_it_tells_how_much_was_done(wait_at, pool, kind):
    fn, words, addresses = wait_at
    token = kthreads.CancelToken()

    def stop():
        while not words[0]:
            pass
        token.cancel()
        words[1] = 1

    stopper = threading.Thread(target=stop)
    stopper.start()
    out = OUTS[kind]()
    with pytest.raises(kthreads.LoopCancelledError) as caught:
        pool.map_array(fn, np.ones(1000), *addresses, out=out, grain=10, cancel=token)
    stopper.join()
    assert 10 <= caught.value.done <= 30
    assert (out == 1).sum() == (
        caught.value.done if kind == "of the type" else 0
    )  # what is computed elsewhere is copied whole
    assert ((out == 1) | (out == -1)).all()


def test_its_time_over_it_stops(function, pool):
    with pytest.raises(kthreads.errors.LoopTimeoutError):
        pool.map_array(function("rest", "double(double)"), np.ones(3000), grain=1, timeout=0.005)


def test_chunks_are_short_enough_for_a_map_to_stop_soon(function):
    with kthreads.Pool(1) as pool:
        pool.map_array(function("same_double", "double(double)"), np.zeros(1 << 21))
        assert pool.stats().workers[0].chunks == 32


def test_no_more_workers_take_part_than_were_asked_for(wait_at, pool):
    fn, words, addresses = wait_at
    words[1] = 1
    pool.map_array(fn, np.ones(100), *addresses, workers=1, schedule="static")
    assert words[0] == 100
    with pytest.raises(ValueError, match="schedule"):
        pool.map_array(fn, np.ones(100), *addresses, schedule="guided")


# ---- Without NumPy ---------------------------------------------------------------------------------------------------------


def test_without_numpy_only_map_array_fails():
    program = """if True:
        import sys
        sys.modules["numpy"] = None
        import kthreads
        sin = kthreads.symbol("libm.so.6", "sin", "double(double)")
        with kthreads.Pool(1) as pool:
            try:
                pool.map_array(sin, [0.0])
            except ModuleNotFoundError as error:
                print(error.name, error)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "numpy map_array works on NumPy arrays: install numpy\n"
