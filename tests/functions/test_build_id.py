"""Which build of a library is loaded, and how a pickled function holds on to it."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import kthreads
from kthreads.functions.build_id import identity
from kthreads.functions.sources import is_native

ONE, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
LOAD = "import pickle, sys; function = pickle.load(sys.stdin.buffer); print(function())"


@pytest.fixture
def build(tmp_path):
    """Compiles a library whose `answer` returns a number; calls return its path."""

    def build(build_id: str, number: int = 42, directory: str = "") -> Path:
        folder = tmp_path / directory
        folder.mkdir(exist_ok=True)
        library = folder / "libanswer.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,--build-id={build_id}", "-x", "c", "-", "-o", library],
            input=f"int answer(void) {{ return {number}; }}".encode(),
            check=True,
        )
        return library

    return build


def answer_of(library: Path) -> kthreads.NativeFunction:
    return kthreads.symbol(library, "answer", "int(void)")


def unpickle_elsewhere(data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", LOAD], input=data, capture_output=True, check=False)


def test_a_library_is_told_by_its_build_id(build):
    assert identity(answer_of(build(ONE)).address) == "build-id " + "11" * 20


def test_the_build_id_is_that_of_the_loaded_library_whatever_its_file_has_become(build):
    library = build(ONE)
    function = answer_of(library)
    library.unlink()
    build(OTHER)
    assert identity(function.address) == "build-id " + "11" * 20


def test_a_library_without_a_build_id_is_told_by_its_file(build):
    library = build("none")
    text = library.read_bytes()
    assert identity(answer_of(library).address) == f"sha256 {hashlib.sha256(text).hexdigest()} of {len(text)} bytes"


def test_the_program_itself_and_the_kernels_vdso_have_identities():
    for name, signature in (("Py_IsInitialized", "int(void)"), ("gettimeofday", "int(void *, void *)")):
        assert identity(kthreads.symbol(None, name, signature).address)


def test_an_address_outside_of_all_libraries_has_none():
    assert identity(8) is None


def test_the_identity_is_that_of_the_library_which_holds_the_function():
    through, of_libc = (kthreads.symbol(library, "labs", "long(long)") for library in ("libz.so.1", "libc.so.6"))
    crc32 = kthreads.symbol("libz.so.1", "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned)")
    assert identity(through.address) == identity(of_libc.address) != identity(crc32.address)


@pytest.mark.parametrize("build_id", [ONE, "none"])
def test_a_function_is_unpickled_in_another_process_with_the_same_build(build, build_id):
    done = unpickle_elsewhere(pickle.dumps(answer_of(build(build_id))))
    assert (done.stdout, done.stderr) == (b"42\n", b"")


@pytest.mark.parametrize("build_id", [OTHER, "none"])
def test_another_build_on_arrival_is_an_error_that_names_both(build, build_id):
    library = build(ONE)
    function = answer_of(library)
    library.unlink()
    data = pickle.dumps(function)
    there = identity(answer_of(build(build_id, 43, "there")).address)
    build(build_id, 43)
    done = unpickle_elsewhere(data)
    assert done.returncode == 1
    message = done.stderr.decode().splitlines()[-1]
    assert message.startswith("kthreads.errors.LibraryMismatchError: answer() was pickled from")
    assert "build-id " + "11" * 20 in message
    assert there in message


@pytest.fixture
def missing(build):
    """A function whose library has gone before it arrived, as unpickled elsewhere."""
    library = build(ONE)
    data = pickle.dumps(answer_of(library))
    (arg, arguments) = pickle.loads(data).__reduce__()
    return arg(str(library.with_name("libgone.so")), *arguments[1:])


@pytest.mark.parametrize(
    "use",
    [
        lambda function: function(),
        lambda function: function.bind(()),
        lambda function: function.address,
        lambda function: kthreads.Thread(target=function).start(),
        lambda function: kthreads.Pool(1).submit(function),
        lambda function: hash(function),
    ],
)
def test_a_missing_function_arrives_and_each_use_of_it_says_why(missing, use):
    assert is_native(missing)
    with pytest.raises(kthreads.errors.LibraryNotFoundError, match=r"libgone\.so"):
        use(missing)


def test_a_missing_function_tells_what_it_was_and_passes_on(missing):
    copy = pickle.loads(pickle.dumps(missing))
    assert repr(copy) == repr(missing) == f"<NativeFunction answer of {missing.library}: int(void)>"
    assert copy.__reduce__() == missing.__reduce__()
    assert not hasattr(missing, "no_such_attribute")


def test_a_function_whose_library_cannot_be_identified_is_not_pickled(build):
    library = build("none")
    function = answer_of(library)
    library.unlink()
    with pytest.raises(TypeError, match=r"no build-id, and the file .* cannot be read"):
        pickle.dumps(function)
