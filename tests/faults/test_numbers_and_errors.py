"""Numbers that make no sense, and exceptions that travel whole."""

from __future__ import annotations

import copy
import errno
import inspect
import math
import pickle

import pytest

import kthreads
from kthreads import errors, limits
from kthreads.flags.clone_flags import flags_of

# ---- Flags ---------------------------------------------------------------------------------------------------------------

BAD_FLAGS = [
    (1 << 64, ValueError),
    (-1, ValueError),
    (1 << 200, ValueError),
    (2.0, TypeError),
    (None, TypeError),
    (True, TypeError),
]


@pytest.mark.parametrize(("flags", "error"), BAD_FLAGS, ids=repr)
@pytest.mark.parametrize(
    "take",
    [
        kthreads.explain,
        lambda flags: kthreads.explain(flags, "clone"),
        kthreads.unshare,
        lambda flags: kthreads.setns("/proc/self/ns/net", flags),
        lambda flags: kthreads.Thread(target=int, share=flags),
        lambda flags: kthreads.Thread(target=int, namespaces=flags),
        flags_of,
    ],
)
def test_what_are_no_flags_is_said(take, flags, error):
    with pytest.raises(error, match="flags"):
        take(flags)


@pytest.mark.parametrize("api", ["clone", "clone3"])
@pytest.mark.parametrize("number", [2.5, "9", True])
def test_what_is_no_exit_signal_is_said(api, number):
    with pytest.raises(TypeError, match=f"exit_signal must be an int, not {type(number).__name__}"):
        kthreads.explain(0, api, exit_signal=number)


@pytest.mark.parametrize("api", ["clone", "clone3"])
@pytest.mark.parametrize("number", [-1, 65, 256, 1 << 70])
def test_no_call_is_valid_with_an_exit_signal_that_is_none(api, number):
    assert not kthreads.explain(0, api, exit_signal=number).valid


def test_a_number_with_a_leading_zero_is_no_flag():
    with pytest.raises(ValueError, match="'010' is not a flag, signal, number or known caller"):
        kthreads.explain("010")


def test_flags_of_64_bits_are_explained():
    assert not kthreads.explain(1 << 63).valid


# ---- Sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "error"),
    [(100_000, ValueError), (0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError), ("2", TypeError)],
)
@pytest.mark.parametrize(
    "take",
    [
        kthreads.limits.set_default_workers,
        limits.limit_default_workers,
        kthreads.Pool,
        lambda n: kthreads.Pool(1).resize(n),
    ],
)
def test_what_is_no_number_of_workers_is_said(take, count, error):
    with pytest.raises(error, match="workers"):
        take(count)


def test_a_pool_can_be_made_where_there_are_more_cpus_than_it_may_have_workers(monkeypatch):
    monkeypatch.setattr(limits, "cpu_count", lambda: 8192)
    assert kthreads.limits.default_workers() == 4096


@pytest.mark.parametrize("spin", [math.nan, math.inf, -1, 2, "yes", True, None, [1]])
def test_what_is_no_time_to_spin_is_said(spin):
    with pytest.raises(ValueError, match="spin must be"):
        kthreads.Pool(1, spin=spin)


@pytest.mark.parametrize("size", [0, -1, 1 << 31, 2.0, True, "8"])
def test_what_is_no_size_of_a_queue_is_said(size):
    with pytest.raises(ValueError, match="queue_size must be"):
        kthreads.Pool(1, queue_size=size)


@pytest.mark.parametrize(
    ("size", "error"),
    [(1, ValueError), (1 << 63, ValueError), (20000.5, TypeError), ("64k", TypeError), (True, TypeError)],
)
def test_what_is_no_size_of_a_stack_is_said(size, error):
    with pytest.raises(error, match="stack_size"):
        kthreads.Thread(target=int, stack_size=size)


def test_a_float_is_no_size_of_a_stack_even_if_an_int_that_equals_it_was():
    kthreads.Thread(target=int, stack_size=1 << 20)
    with pytest.raises(TypeError, match="stack_size must be an int, not float"):
        kthreads.Thread(target=int, stack_size=float(1 << 20))


@pytest.mark.parametrize(
    ("nice", "error"), [(20, ValueError), (-21, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_what_is_no_nice_value_is_said(nice, error):
    with pytest.raises(error, match="nice"):
        kthreads.Thread(target=int, nice=nice)


@pytest.mark.parametrize(
    ("cpus", "error"),
    [
        ([], ValueError),
        ([-1], ValueError),
        ([1 << 20], ValueError),
        ([0.5], TypeError),
        (3, TypeError),
        ([True], TypeError),
    ],
)
@pytest.mark.parametrize("kind", [lambda **o: kthreads.Thread(target=int, **o), lambda **o: kthreads.Pool(1, **o)])
def test_what_are_no_cpus_is_said(kind, cpus, error):
    with pytest.raises(error, match="cpus"):
        kind(cpus=cpus)


@pytest.mark.parametrize(
    ("seconds", "error"),
    [(math.nan, ValueError), (-1, ValueError), (math.inf, ValueError), ("1", TypeError), (True, TypeError)],
)
def test_what_is_no_time_to_park_is_said(seconds, error):
    with pytest.raises(error, match="seconds"):
        kthreads.memory.park_timeout(seconds)


def test_a_refusal_of_a_pool_speaks_of_the_pool():
    pool = kthreads.Pool(1, queue_size=8)
    error = pool._pool_settings.error(errno.EINVAL)
    assert isinstance(error, ValueError)
    assert "pool" in str(error)
    assert "thread: Invalid" not in str(error)


# ---- Exceptions -----------------------------------------------------------------------------------------------------------

CLASSES = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.KThreadsError)]
TRAVELS = [lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
TRAVELS += [copy.copy, copy.deepcopy]


def made(kind):
    """An exception of this class, with all that it can have."""
    arguments = {
        errors.FlagError: ("message", 22),
        errors.CompileError: ("diagnostics", "cc -c"),
        errors.LibraryMismatchError: ("lib", "name", "build-id 1", "build-id 2"),
        errors.NativeError: ("name", 5, 0, 10),
        errors.LoopCancelledError: ("message", 1, 2),
        errors.LoopTimeoutError: ("message", 1, 2),
    }
    of_oserror = (2, "reason", "one file", None, "another file") if issubclass(kind, OSError) else ("message",)
    error = kind(*arguments.get(kind, of_oserror))
    error.added = [1]
    error.add_note("a note")
    return error


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("travel", TRAVELS)
def test_an_exception_travels_whole(kind, travel):
    error = made(kind)
    there = travel(error)
    assert type(there) is kind
    for name in ("args", "added", "__notes__", "errno", "strerror", "filename", "filename2", "done", "code", "found"):
        assert getattr(there, name, "none") == getattr(error, name, "none"), name
    assert str(there) == str(error)


def test_a_library_that_is_not_there_is_named_by_the_exception():
    with pytest.raises(kthreads.errors.LibraryNotFoundError) as caught:
        kthreads.symbol("/nowhere/lib.so", "f", "void(void)")
    assert (caught.value.filename, caught.value.errno) == ("/nowhere/lib.so", errno.ELIBACC)
    assert str(caught.value).startswith("cannot open the library '/nowhere/lib.so': /nowhere/lib.so: cannot open")
    assert pickle.loads(pickle.dumps(caught.value)).filename == "/nowhere/lib.so"


def test_errors_imports_nothing_of_the_project():
    assert not [
        line for line in inspect.getsource(errors).splitlines() if line.startswith(("from kthreads", "import kthreads"))
    ]


NEW_MOUNTS = {"namespaces": kthreads.CloneFlags.NEWNS | kthreads.CloneFlags.NEWUSER}


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"cwd": "/nowhere"}, "/nowhere"),
        ({"root": "/nowhere", **NEW_MOUNTS}, "/nowhere"),
        ({"executable": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_failed_in_a_child_names_its_file_as_subprocess_does(options, path):
    with pytest.raises(FileNotFoundError) as caught:
        kthreads.Process(["true"], **options)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.filename, error.errno) == (path, errno.ENOENT)
        assert str(error).count(path) == 1
