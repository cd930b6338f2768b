"""Users and groups by name: of the host, or of a root that an enemy may have filled."""

from __future__ import annotations

import argparse
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from typing import NamedTuple

from kthreads._native import ffi, lib
from kthreads.errors import KThreadsError
from kthreads.processes.idmap import HIGHEST, check_id

__all__ = ["Account", "AccountError", "account_of", "user_and_group"]

_MOST = 1 << 20  # bytes that are read of a file of users or groups


class AccountError(KThreadsError, ValueError):
    """There is no user or group of this name."""


class Account(NamedTuple):
    """Whom a program runs as."""

    uid: int
    gid: int
    groups: list[int]
    """The supplementary groups."""
    home: str | None
    """The home folder, if it is known."""


def user_and_group(text: str) -> tuple[str, str]:
    """The type of an argument that is USER[:GROUP], each a name or a number."""
    user, colon, group = text.partition(":")
    if not user or (colon and not group):
        raise argparse.ArgumentTypeError(f"not USER or USER:GROUP, each a name or a number: {text!r}")
    for each in (user, group):
        if _is_number(each):
            try:
                check_id(int(each[:20]))
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None
    return user, group


def account_of(asked: tuple[str, str], root: str | None) -> Account:
    """The account of a user, and of a group unless that is empty. A number need not be known; its group is its own number.

    Args:
        asked: names or numbers of the user and the group.
        root: the folder in whose files they are looked up; None for the host's.

    Raises:
        AccountError: there is no such name.
        OSError: a file of `root` cannot be read.
    """
    user, group = asked
    database = _Host() if root is None else _Root(root)
    found = database.user(user)
    if found is None and not _is_number(user):
        raise AccountError(f"there is no user {user!r} in {database.name('passwd')}")
    name, uid, gid, home = found or ("", int(user), int(user), None)
    if not group:
        return Account(uid, gid, database.groups_of(name, gid) if name else [], home)
    gid_of_name = int(group) if _is_number(group) else database.group(group)
    if gid_of_name is None:
        raise AccountError(f"there is no group {group!r} in {database.name('group')}")
    return Account(uid, gid_of_name, [], home)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


User = tuple[str, int, int, str | None]
"""Name, user, group and home."""


class _Host:
    """The users and groups of the host, wherever it has them."""

    def name(self, file: str) -> str:
        return f"the host's {file}"

    def user(self, user: str) -> User | None:
        try:
            found = pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(user)
        except KeyError:
            return None
        return found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir

    def group(self, name: str) -> int | None:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None

    def groups_of(self, name: str, gid: int) -> list[int]:
        return [each for each in os.getgrouplist(name, gid) if each != gid]


class _Root:
    """The users and groups of a root, in its files (passwd(5), group(5)). Lines that are none are passed over."""

    def __init__(self, root: str) -> None:
        self._root = root

    def name(self, file: str) -> str:
        return os.path.join(self._root, "etc", file)

    def user(self, user: str) -> User | None:
        at = 2 if _is_number(user) else 0
        for fields in _rows(self._root, "passwd", 7):
            if fields[at] == user and _is_id(fields[2]) and _is_id(fields[3]):
                return fields[0], int(fields[2]), int(fields[3]), fields[5] or None
        return None

    def group(self, name: str) -> int | None:
        return next((gid for each, gid, _ in self._groups() if each == name), None)

    def groups_of(self, name: str, gid: int) -> list[int]:
        return [each for _, each, members in self._groups() if name in members and each != gid]

    def _groups(self) -> Iterator[tuple[str, int, list[str]]]:
        for fields in _rows(self._root, "group", 4):
            if _is_id(fields[2]):
                yield fields[0], int(fields[2]), fields[3].split(",")


def _is_id(text: str) -> bool:
    return _is_number(text) and len(text) < 12 and int(text) <= HIGHEST


def _rows(root: str, name: str, count: int) -> Iterator[list[str]]:
    """The lines of a file of the root that have this number of fields."""
    for line in _text_in(root, f"etc/{name}").split("\n"):
        fields = line.split(":")
        if len(fields) == count:
            yield fields


def _text_in(root: str, path: str) -> str:
    """The beginning of a file of the root; nothing where there is none. Its links lead nowhere else, and it is a file."""
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = lib.kt_open_below(folder, ffi.new("char[]", os.fsencode(path)))
    finally:
        os.close(folder)
    if found == -errno.ENOENT:
        return ""
    if found < 0:
        raise OSError(-found, os.strerror(-found), os.path.join(root, path))
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise AccountError(f"{os.path.join(root, path)} is no file")
        with open(f"/proc/self/fd/{found}", "rb") as file:
            return os.fsdecode(file.read(_MOST))
    finally:
        os.close(found)
