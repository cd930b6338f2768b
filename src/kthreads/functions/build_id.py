"""The GNU build-id of a loaded library, read from memory (elf(5); NT_GNU_BUILD_ID of glibc's elf.h)."""

from __future__ import annotations

import ctypes
import hashlib
import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

__all__ = ["build_id", "identity"]

_HEADER = struct.Struct("<4s28xQ14xHH6x")  # e_ident's magic, e_phoff, e_phentsize, e_phnum of Elf64_Ehdr
_SEGMENT = struct.Struct("<I4xQQ8xQ8xQ")  # p_type, p_offset, p_vaddr, p_filesz, p_align of Elf64_Phdr
_NOTE = struct.Struct("<III")  # n_namesz, n_descsz, n_type of Elf64_Nhdr
_PT_LOAD, _PT_NOTE, _NT_GNU_BUILD_ID = 1, 4, 3
_FIRST_PAGE = 4096  # at least one page is mapped where a header is


class _Image(ctypes.Structure):
    """Dl_info of dladdr(3)."""

    _fields_ = (
        ("path", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("symbol_address", ctypes.c_void_p),
    )


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int
    align: int


_dladdr = ctypes.CDLL(None).dladdr
_dladdr.argtypes, _dladdr.restype = (ctypes.c_void_p, ctypes.POINTER(_Image)), ctypes.c_int


def identity(address: int) -> str | None:
    """The identity of a build of a library: of the loaded library that an address lies in.

    It is the build-id, as ``build-id 5d41…``. For a library that was linked without one, it is the checksum and the size of
    its file, ``sha256 9f86… of 16384 bytes``; the file must not be replaced while the library is loaded. None when the file
    cannot be read.
    """
    image = _Image()
    if not _dladdr(address, image) or not image.base:
        return None
    found = build_id(image.base)
    return f"build-id {found.hex()}" if found is not None else _checksum_of(image.path or b"")


def build_id(base: int) -> bytes | None:
    """The build-id of the ELF image that is mapped at an address; None for an image without one."""
    magic, table, size, count = _HEADER.unpack(ctypes.string_at(base, _HEADER.size))
    if magic != b"\x7fELF" or size != _SEGMENT.size or table + size * count > _FIRST_PAGE:
        return None
    segments = [_Segment(*each) for each in _SEGMENT.iter_unpack(ctypes.string_at(base + table, size * count))]
    loaded = [each for each in segments if each.kind == _PT_LOAD]
    first = next((each for each in loaded if each.offset == 0), None)
    if first is None:
        return None
    for note in segments:
        # Only notes in a loaded segment are in memory.
        if note.kind == _PT_NOTE and any(
            each.address <= note.address and note.address + note.size <= each.address + each.size for each in loaded
        ):
            text = ctypes.string_at(base + note.address - first.address, note.size)
            for name, kind, value in _notes(text, 8 if note.align == 8 else 4):
                if (name, kind) == (b"GNU\0", _NT_GNU_BUILD_ID):
                    return value
    return None


def _notes(text: bytes, align: int) -> Iterator[tuple[bytes, int, bytes]]:
    at = 0
    while at + _NOTE.size <= len(text):
        name_size, value_size, kind = _NOTE.unpack_from(text, at)
        name_at = at + _NOTE.size
        value_at = _up(name_at + name_size, align)
        yield text[name_at : name_at + name_size], kind, text[value_at : value_at + value_size]
        at = _up(value_at + value_size, align)


def _up(number: int, align: int) -> int:
    return -(-number // align) * align


def _checksum_of(path: bytes) -> str | None:
    try:
        status = os.stat(path)
        return _checksum(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _checksum(path: bytes, device: int, inode: int, size: int, changed: int) -> str:
    """The checksum of a file, computed once for each state of it."""
    with open(path, "rb") as file:
        return f"sha256 {hashlib.file_digest(file, 'sha256').hexdigest()} of {size} bytes"
