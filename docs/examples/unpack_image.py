"""Unpacks an image that a container engine has saved, so that `kthreads run --root` runs it.

python unpack_image.py IMAGE.tar FOLDER

The image is an OCI archive (OCI Image Format Specification: image layout, layer), as `docker save` and `podman save --format
oci-archive` write it. The standard library's tarfile unpacks the layers with its data filter, so that no name and no link
leads out of the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from typing import IO

HIDES = ".wh."  # the beginning of a name that removes the rest of it from the layers below
HIDES_ALL = ".wh..wh..opq"  # removes all that the layers below have in this folder


class UnusableImage(Exception):
    """The file is no image that can be unpacked, or names what lies outside the folder."""


def blob(image: tarfile.TarFile, digest: str) -> IO[bytes]:
    """The content that a digest like sha256:0123… names."""
    return member(image, "blobs/" + digest.replace(":", "/", 1))


def member(image: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        content = image.extractfile(name)
    except KeyError:
        content = None
    if content is None:
        raise UnusableImage(f"the image has no file {name}; is it an OCI archive?")
    return content


def layers(image: tarfile.TarFile) -> Iterator[IO[bytes]]:
    """The layers of the image's first manifest, the lowest first."""
    found = json.load(member(image, "index.json"))
    while "layers" not in found:  # an index names manifests, or further indexes
        found = json.load(blob(image, found["manifests"][0]["digest"]))
    for layer in found["layers"]:
        yield blob(image, layer["digest"])


def place_of(name: str, folder: str) -> str:
    """Where an entry of a layer goes. Links in the folders on the way are followed, the last part of the name is not."""
    above, last = os.path.split(os.path.normpath(name.lstrip("/")))
    above = os.path.realpath(os.path.join(folder, above))
    if last in ("", ".", "..") or os.path.commonpath([above, folder]) != folder:
        raise UnusableImage(f"{name!r} in the image lies outside the folder")
    return os.path.join(above, last)


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def inside(entry: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """The entry as the data filter wants it: in the root of a container an absolute link begins at the folder."""
    if entry.linkname.startswith("/"):
        target = entry.linkname.lstrip("/")
        if entry.issym():
            target = os.path.relpath(os.path.join(folder, target), os.path.dirname(place_of(entry.name, folder)))
        entry = entry.replace(linkname=target, deep=False)
    return tarfile.data_filter(entry, folder)


def unpack_layer(content: IO[bytes], folder: str) -> None:
    with tarfile.open(fileobj=content, mode="r:*") as layer:
        entries = [entry for entry in layer if not (entry.ischr() or entry.isblk())]  # `run` makes /dev itself
        for entry in entries:
            hidden = os.path.basename(entry.name)
            if hidden == HIDES_ALL:
                place = os.path.dirname(place_of(entry.name, folder))
                for name in os.listdir(place) if os.path.isdir(place) else []:
                    remove(os.path.join(place, name))
            elif hidden.startswith(HIDES):
                remove(place_of(os.path.join(os.path.dirname(entry.name), hidden.removeprefix(HIDES)), folder))
        for entry in entries:
            if os.path.basename(entry.name).startswith(HIDES) or os.path.normpath(entry.name) == ".":
                continue
            place = place_of(entry.name, folder)
            if not (entry.isdir() and os.path.isdir(place) and not os.path.islink(place)):
                remove(place)
            layer.extract(entry, folder, filter=inside)


def unpack(image: str, folder: str) -> None:
    """Unpacks an image into a new folder.

    Args:
        image: the path of an OCI archive, a tar file.
        folder: the path of the folder, which must not exist.

    Raises:
        UnusableImage: the file is no OCI archive, or an entry lies outside the folder.
        tarfile.FilterError: an entry or a link leads out of the folder.
        FileExistsError: the folder is there already.
    """
    os.mkdir(folder)
    folder = os.path.realpath(folder)
    with tarfile.open(image) as archive:
        for content in layers(archive):
            unpack_layer(content, folder)


if __name__ == "__main__":
    unpack(*sys.argv[1:])
