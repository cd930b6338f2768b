"""`kthreads demo`, as a user sees it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib

import pytest

pytestmark = pytest.mark.any_python

JOBS = ("CRC-32", "SHA-256", "Entropy")


def demo(*arguments, columns=80, **environment):
    command = [sys.executable, "-m", "kthreads", "demo", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": str(columns), **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "small").write_bytes(b"hello")
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


def test_each_job_is_done_in_python_and_by_kthreads(files):
    done = demo(files)
    assert done.returncode == 0, done.stderr
    for job in JOBS:
        (table,) = re.findall(rf"^{job}.*?\n\n", done.stdout, re.MULTILINE | re.DOTALL)
        for way in ("one thread", "ThreadPoolExecutor", "kthreads"):
            assert re.search(rf"  {way}, .* ms .*iB/s .* times\n", table), table
    assert "Every result is that of zlib.crc32, hashlib and" in done.stdout


def test_all_fits_on_one_screen(files):
    lines = demo(files).stdout.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80


def test_the_flags_of_a_kernel_thread_are_told_by_name(files):
    assert "CLONE_VM | CLONE_FS" in " ".join(demo(files).stdout.split())


@pytest.mark.parametrize(
    ("threads", "words"), [(1, "a pool of 1 kernel thread, "), (3, "a pool of 3 kernel threads, ")]
)
def test_the_number_of_threads_is_told(files, threads, words):
    assert words in " ".join(demo(files, "--threads", threads).stdout.split())


def test_a_file_has_a_row_only_when_files_are_asked_for(files):
    checksum = f"{zlib.crc32((files / 'large').read_bytes()):08x}"
    assert checksum not in demo(files).stdout
    printed = demo(files, "--files", columns=200).stdout
    for name in ("large", "small", "empty"):
        content = (files / name).read_bytes()
        assert re.search(rf"/{name} .*{zlib.crc32(content):08x}", printed), printed


def test_control_characters_and_markup_in_a_name_are_shown_as_they_are(tmp_path):
    for name in (b"[bold]", b"escape\x1b[31m", b"not text \xff", b"two\nlines"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"\xff[red]")).write_bytes(bytes(200_000))
    done = demo(tmp_path, "--files", columns=200)
    assert done.returncode == 0, done.stderr
    for shown in ("/[bold] ", r"/escape\x1b[31m ", r"/not text \udcff ", r"/two\nlines ", r"blocks of \udcff[red],"):
        assert shown in done.stdout


def test_a_small_file_is_not_worth_dividing(files):
    done = demo(files / "small", columns=200)
    assert done.returncode == 0
    assert re.search(r"small .*3610a686\n", done.stdout)
    assert "There is nothing to divide: 1 file of 5 B.\n" in done.stdout


def test_small_files_are_counted_together(files):
    (files / "large").unlink()
    assert "There is nothing to divide: 2 files of 5 B in all.\n" in demo(files, columns=200).stdout


def test_blocks_of_a_small_file_are_left_out(tmp_path):
    for number in range(10):
        (tmp_path / str(number)).write_bytes(bytes(60_000))
    output = demo(tmp_path).stdout
    assert "CRC-32 of 10 files" in output
    assert "SHA-256: left out, as the largest file has too few blocks" in output


def test_without_a_compiler_its_job_is_left_out(files):
    done = demo(files, CC="no-such-compiler")
    assert done.returncode == 0
    assert "entropy: left out, because CC names the compiler 'no-such-compiler'" in " ".join(done.stdout.split())
    assert "Every result is that of zlib.crc32 and hashlib." in done.stdout


WITHOUT_NUMPY = "import sys; sys.modules['numpy'] = None; from kthreads.cli.main import main; main(sys.argv[1:])"


def test_without_numpy_the_kernel_is_compared_with_itself(files):
    command = [sys.executable, "-c", WITHOUT_NUMPY, "demo", str(files)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    assert "NumPy" not in output
    assert "one thread, C" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "kthreads demo: nowhere: No such file or directory"),
        (["/dev/null"], "kthreads demo: /dev/null: not a file or a folder"),
        (["--threads", "0"], "a number from 1 to"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    done = demo(*arguments, columns=200)
    assert done.returncode == 2
    assert message in done.stderr


def test_too_many_threads_are_refused(files):
    done = demo(files, "--threads", 5000)
    assert done.returncode == 2
    assert "4096" in done.stderr


def test_nothing_but_empty_files_is_nothing_to_do(tmp_path):
    (tmp_path / "empty").touch()
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "there is nothing to do" in done.stderr
