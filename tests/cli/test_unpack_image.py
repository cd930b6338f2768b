"""docs/examples/unpack_image.py on images that the tests make: one that a container engine could have saved, and hostile ones."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from containers import BUSYBOX, PATIENCE, container_tests, run

pytestmark = container_tests
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "unpack_image.py"
Entries = list[tuple[tarfile.TarInfo, bytes]]


def file(name: str, content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    return entry, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry, b""


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def tar(entries: Entries, mode: str = "w") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def image(path: Path, *layers: Entries) -> Path:
    """Writes an OCI archive with these layers, the lowest first."""
    files: Entries = []

    def add(content: bytes) -> dict[str, str]:
        digest = hashlib.sha256(content).hexdigest()
        files.append(file(f"blobs/sha256/{digest}", content))
        return {"digest": f"sha256:{digest}"}

    manifest = add(json.dumps({"layers": [add(tar(layer, "w:gz")) for layer in layers]}).encode())
    index = add(json.dumps({"manifests": [manifest]}).encode())  # an index of an index, as buildx makes
    files.append(file("index.json", json.dumps({"manifests": [index]}).encode()))
    path.write_bytes(tar(files))
    return path


def unpack(saved: Path, into: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, EXAMPLE, saved, into]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[..., Path]:
    """Makes an image of layers and unpacks it."""

    def unpacked(*layers: Entries) -> Path:
        done = unpack(image(tmp_path / "image.tar", *layers), tmp_path / "root")
        assert done.returncode == 0, done.stderr
        return tmp_path / "root"

    return unpacked


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """Makes an image of layers that are refused; returns why."""

    def refusal(*layers: Entries) -> str:
        (tmp_path / "outside").write_text("as it was")
        done = unpack(image(tmp_path / "image.tar", *layers), tmp_path / "root")
        assert done.returncode == 1
        assert (tmp_path / "outside").read_text() == "as it was"
        return done.stderr.splitlines()[-1]

    return refusal


def test_an_image_runs(unpacked):
    base = [folder("bin"), file("bin/busybox", Path(BUSYBOX).read_bytes(), 0o755), link("bin/sh", "/bin/busybox")]
    root = unpacked([*base, folder("dev"), folder("proc"), folder("tmp"), folder("etc")], [file("etc/name", b"ours\n")])
    done = run("--root", root, "--", "sh", "-c", "read name < /etc/name; echo $name")
    assert (done.stdout, done.stderr, done.returncode) == ("ours\n", "", 0)


def test_an_absolute_link_means_a_file_of_the_image(unpacked):
    root = unpacked([folder("usr"), folder("usr/bin"), file("usr/bin/awk", b"awk"), link("usr/a", "/usr/bin/awk")])
    assert (root / "usr/a").read_bytes() == b"awk"


def test_an_absolute_link_below_a_link_means_the_same(unpacked):
    root = unpacked([folder("run"), folder("var"), link("var/run", "/run"), file("x", b"x"), link("var/run/x", "/x")])
    assert (root / "run/x").read_bytes() == b"x"


def test_hard_links_join_files(unpacked):
    root = unpacked([file("a", b"a"), link("b", "a", tarfile.LNKTYPE), link("c", "/a", tarfile.LNKTYPE)])
    assert (root / "a").samefile(root / "b")
    assert (root / "a").samefile(root / "c")


def test_a_layer_removes_files_of_those_below(unpacked):
    root = unpacked([folder("d"), file("d/gone"), file("d/kept"), file("gone")], [file("d/.wh.gone"), file(".wh.gone")])
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/kept"]


def test_a_layer_removes_all_of_a_folder_but_what_it_adds(unpacked):
    root = unpacked([folder("d"), file("d/gone")], [folder("d"), file("d/new"), file("d/.wh..wh..opq")])
    assert [path.name for path in (root / "d").iterdir()] == ["new"]


def test_a_link_that_is_removed_is_not_followed(unpacked):
    root = unpacked([folder("d"), file("d/kept"), link("l", "d")], [file(".wh.l")])
    assert [path.name for path in root.iterdir()] == ["d"]
    assert [path.name for path in (root / "d").iterdir()] == ["kept"]


def test_a_file_takes_the_place_of_a_link(unpacked):
    root = unpacked([file("old", b"old"), link("l", "old")], [file("l", b"new")])
    assert ((root / "old").read_bytes(), (root / "l").read_bytes()) == (b"old", b"new")


def test_a_folder_takes_the_place_of_a_file_and_the_other_way_round(unpacked):
    root = unpacked([file("a"), folder("b"), file("b/c")], [folder("a"), file("a/d", b"d"), file("b", b"b")])
    assert ((root / "a/d").read_bytes(), (root / "b").read_bytes()) == (b"d", b"b")


def test_devices_are_left_out(unpacked):
    device = tarfile.TarInfo("disk")
    device.type = tarfile.BLKTYPE
    assert list(unpacked([(device, b"")]).iterdir()) == []


@pytest.mark.parametrize(
    "layer",
    [
        [file("../outside", b"changed")],
        [link("l", "../outside"), file("l", b"changed")],
        [link("l", ".."), file("l/outside", b"changed")],
        [link("l", "../outside", tarfile.LNKTYPE), file("l", b"changed")],
        [file("../.wh.outside")],
        [file(".wh...")],
        [file(".wh.")],
        [file(".wh..")],
    ],
    ids=lambda layer: " ".join(entry.name for entry, _ in layer),
)
def test_nothing_outside_of_the_folder_is_touched(refusal, layer):
    why = refusal(layer)
    assert "OutsideDestinationError" in why or "UnusableImage" in why


def test_nothing_outside_is_touched_through_a_link_of_a_layer_below(refusal):
    assert "LinkOutsideDestinationError" in refusal([link("l", "..")], [file("l/.wh.outside")])


def test_a_file_that_is_no_image_is_told(tmp_path):
    (tmp_path / "image.tar").write_bytes(tar([file("a")]))
    done = unpack(tmp_path / "image.tar", tmp_path / "root")
    assert "no file index.json; is it an OCI archive?" in done.stderr
