"""The file of a program: whether the loader would put the preloaded library into its process."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import stat
import struct
from collections.abc import Iterator

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "ProgramError", "check", "find"]

NOT_EXECUTABLE, NOT_FOUND = 126, 127

_HEAD = struct.Struct("<4sBBBB8xHHIQQQIHHH")  # Elf64_Ehdr, up to e_phnum
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
_PT_INTERP = 3
_CLASS_64 = 2
_MACHINES = {"x86_64": 62, "aarch64": 183}
_SCRIPTS_DEEP = 4  # as many as the kernel follows (fs/exec.c)


class ProgramError(Exception):
    """A program cannot be run with the library; the text is a sentence.

    Attributes:
        status: the exit status of a shell for it: 127 when there is no such program, else 126.
    """

    def __init__(self, message: str, status: int = NOT_EXECUTABLE) -> None:
        super().__init__(message)
        self.status = status


def find(name: str) -> str:
    """The path of a program, as execvp(3) finds it.

    Raises:
        ProgramError: there is none, or it cannot be executed.
    """
    denied = None
    for path in _candidates(name):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        if os.path.exists(path):
            denied = path
    if denied is None:
        raise ProgramError(f"there is no program {name}", NOT_FOUND)
    raise ProgramError(f"{denied} is {'a directory' if os.path.isdir(denied) else 'not executable'}")


def _candidates(name: str) -> Iterator[str]:
    if "/" in name:
        yield name
    elif name:
        yield from (os.path.join(folder or ".", name) for folder in os.get_exec_path())


def check(path: str) -> None:
    """Checks that the loader of a program would load the library.

    Raises:
        ProgramError: the program is static, setuid, of another processor or libc, or cannot be read.
    """
    _check_privileges(path)
    for _ in range(_SCRIPTS_DEEP + 1):
        head = _read(path, 0, 4096)
        if head.startswith(b"\x7fELF"):
            _check_elf(path, head)
            return
        path = _interpreter_of_script(path, head)
    raise ProgramError(f"{path} is a script whose interpreter is a script, and so on")


def _check_privileges(path: str) -> None:
    """libc's loader ignores LD_PRELOAD where the program gets rights that its caller does not have (AT_SECURE)."""
    found = os.stat(path)
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        return
    what = None
    if found.st_mode & stat.S_ISUID and found.st_uid != os.getuid():
        what = "setuid"
    elif found.st_mode & stat.S_ISGID and found.st_mode & stat.S_IXGRP and found.st_gid != os.getgid():
        what = "setgid"
    elif os.getuid() != 0 and _has_capabilities(path):
        what = "given capabilities by its file"
    if what:
        raise ProgramError(f"{path} is {what}: the loader ignores LD_PRELOAD for it")


def _has_capabilities(path: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.getxattr(path, "security.capability"))
    return False


def _read(path: str, offset: int, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise ProgramError(f"{path} cannot be read: {os.strerror(error.errno or errno.EIO)}") from None


def _interpreter_of_script(path: str, head: bytes) -> str:
    """The interpreter in the first line; the shell's for a file of no format that the kernel knows, as execvp(3) does."""
    if not head.startswith(b"#!"):
        if b"\0" in head.partition(b"\n")[0]:
            raise ProgramError(f"{path} is of no format that can be executed")
        return "/bin/sh"
    words = head[2:].partition(b"\n")[0].split(maxsplit=1)
    interpreter = os.fsdecode(words[0]) if words else ""
    if not os.path.exists(interpreter):
        raise ProgramError(f"{path} needs the interpreter {interpreter or '(none)'}, which is not there", NOT_FOUND)
    return interpreter


def _check_elf(path: str, head: bytes) -> None:
    if head[4] != _CLASS_64:
        raise ProgramError(f"{path} is a 32-bit program, and the library is of 64 bits")
    fields = _HEAD.unpack_from(head)
    machine, table, entry_size, entries = fields[6], fields[9], fields[13], fields[14]
    if machine != _MACHINES.get(platform.machine(), machine):
        raise ProgramError(f"{path} is a program for another processor than this machine's")
    loader = _loader(path, table, entry_size, entries)
    if loader is None:
        raise ProgramError(f"{path} is linked statically: its calls of pthread_create cannot be replaced")
    if not os.path.basename(loader).startswith("ld-linux"):
        raise ProgramError(f"{path} uses another libc than glibc: its loader is {loader}")


def _loader(path: str, table: int, entry_size: int, entries: int) -> str | None:
    """The loader that the program asks for (PT_INTERP)."""
    for number in range(entries):
        header = _read(path, table + number * entry_size, _PROGRAM_HEADER.size)
        if len(header) < _PROGRAM_HEADER.size:
            raise ProgramError(f"{path} is a damaged program")
        kind, _, offset, _, _, size, _, _ = _PROGRAM_HEADER.unpack(header)
        if kind == _PT_INTERP:
            return os.fsdecode(_read(path, offset, size).rstrip(b"\0"))
    return None
