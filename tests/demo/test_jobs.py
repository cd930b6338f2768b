"""The jobs of the demo: what they find, and that a wrong outcome is seen."""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from kthreads.demo import files as files_module
from kthreads.demo import hashes
from kthreads.demo.checksums import compare_checksums
from kthreads.demo.comparison import LEAST_ROUNDS, Comparison, Missing, Way, count_of, map_in_groups
from kthreads.demo.entropy import compare_entropies
from kthreads.demo.files import Files, size_of
from kthreads.demo.hashes import compare_hashes


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def folder(tmp_path):
    for name, size in (("many-parts", 3_000_001), ("one-part", 70_000), ("small", 5), ("empty", 0)):
        (tmp_path / name).write_bytes(os.urandom(size))
    return tmp_path


def test_every_way_finds_the_checksums_of_the_files(folder, pool, executor):
    comparison = compare_checksums(Files.read([folder]), 2, pool, executor)
    assert comparison.title == "CRC-32 of 4 files"
    assert [way.name for way in comparison.ways if not comparison.is_right(way.run())] == []


def test_a_wrong_checksum_is_seen(folder, pool, executor):
    comparison = compare_checksums(Files.read([folder]), 2, pool, executor)
    sums = comparison.ways[0].run()
    for at in (0, len(sums) - 1):
        assert not comparison.is_right([value ^ (number == at) for number, value in enumerate(sums)])


@pytest.mark.parametrize("size", [4096, 200_000, 200_704])
def test_every_way_finds_the_hashes_of_the_blocks(size, pool, executor):
    content = os.urandom(size)
    comparison = compare_hashes(content, "x", 2, pool, executor)
    wanted = b"".join(hashlib.sha256(content[at : at + 4096]).digest() for at in range(0, size, 4096))
    assert [b"".join(way.run()) for way in comparison.ways] == [wanted] * 3
    assert not comparison.is_right([wanted[:-1] + bytes([wanted[-1] ^ 1])])


def test_hashes_without_libcrypto_are_missing(monkeypatch, pool, executor):
    monkeypatch.setattr(hashes, "LIBRARIES", ("libno-such.so.1",))
    with pytest.raises(Missing, match=r"libno-such\.so\.1 is not installed"):
        compare_hashes(bytes(4096), "x", 2, pool, executor)


def test_every_way_finds_the_entropies_of_the_blocks(pool, executor):
    contents = [bytes(4096), bytes(range(256)) * 16, bytes([0, 1]) * 2048, bytes(100)]
    comparison = compare_entropies(b"".join(contents), "x", pool, executor)
    for way in comparison.ways:
        assert [math.isclose(bits, wanted, abs_tol=1e-9) for bits, wanted in zip(way.run(), (0, 8, 1), strict=True)]
    assert not comparison.is_right([0, 8, 1.1])
    assert not comparison.is_right([0, 8])


def test_the_fastest_run_of_each_way_counts_and_a_wrong_outcome_is_named():
    outcomes = iter([1, 2, 1, 1, 1, 1, *[1] * 30])
    comparison = Comparison("job", 1, [Way("a", lambda: 1), Way("b", lambda: next(outcomes))], lambda it: it == 1, "")
    comparison.measure()
    assert comparison.wrong == ("b",)
    assert comparison.speed_up(comparison.ways[0]) == 1
    assert all(0 <= way.seconds < 1 for way in comparison.ways)


def test_ways_are_run_in_turn(monkeypatch):
    monkeypatch.setattr("kthreads.demo.comparison.SECONDS", 0)
    order = []
    Comparison("job", 1, [Way(name, lambda name=name: order.append(name)) for name in "ab"], bool, "").measure()
    assert order == ["a", "b"] * LEAST_ROUNDS


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000])
def test_items_in_groups_have_their_results_in_order(count, executor):
    assert map_in_groups(executor, 2, str, range(count)) == list(map(str, range(count)))


def test_parts_are_all_of_the_files_and_those_of_a_file_are_in_order(folder):
    files = Files.read([folder])
    found = dict.fromkeys(range(len(files.paths)), b"")
    sizes = []
    for number, part in files.parts(2):
        found[number] += part
        sizes.append(len(part))
    assert [found[number] for number in range(len(files.paths))] == [path.read_bytes() for path in files.paths]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= files_module.LARGEST_PART


def test_packages_and_links_and_fifos_of_a_folder_are_not_read(folder):
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "package").write_bytes(b"x")
    (folder / "link").symlink_to(folder / "small")
    os.mkfifo(folder / "fifo")
    assert [path.name for path in Files.read([folder]).paths] == ["empty", "many-parts", "one-part", "small"]


def test_a_file_that_cannot_be_read_is_counted_in_a_folder_and_refused_alone(folder, monkeypatch):
    add = Files._add

    def refuse(self, path):
        if path.name == "small":
            raise PermissionError
        add(self, path)

    monkeypatch.setattr(Files, "_add", refuse)
    files = Files.read([folder])
    assert (files.unreadable, len(files.paths)) == (1, 3)
    with pytest.raises(PermissionError):
        Files.read([folder / "small"])


def test_files_beyond_the_limit_of_memory_are_left_out(folder, monkeypatch):
    monkeypatch.setattr(files_module, "MOST", 100_000)
    files = Files.read([folder])
    assert (len(files.paths), files.left_out, files.is_cut) == (2, 2, True)
    assert files.size == 100_000
    assert zlib.crc32(files.contents[1]) == zlib.crc32((folder / "many-parts").read_bytes()[:100_000])


@pytest.mark.parametrize(("count", "words"), [(0, "0 files"), (1, "1 file"), (7733, "7,733 files")])
def test_plurals_are_right(count, words):
    assert count_of(count, "file") == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 19, "1.5 MiB"), (1 << 42, "4096.0 GiB")]
)
def test_sizes_have_their_unit(size, words):
    assert size_of(size) == words
