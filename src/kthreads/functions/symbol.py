"""Functions of shared libraries: looked up by name, also when they are unpickled."""

from __future__ import annotations

import copy
import ctypes
import errno
import os
from typing import Any, NoReturn

from kthreads.errors import LibraryMismatchError, LibraryNotFoundError, SymbolNotFoundError
from kthreads.functions import build_id
from kthreads.functions.declaration import parse
from kthreads.functions.foreign_memory import address_of_ctypes
from kthreads.functions.function import NativeFunction

__all__ = ["symbol"]


def symbol(library: str | os.PathLike[str] | None, name: str, signature: str) -> NativeFunction:
    """A function of a shared library, which stays loaded.

    Args:
        library: what dlopen(3) takes, such as "libz.so.1" or a path; None for what this process has loaded already.
        name: of the function.
        signature: as C declares it, such as ``unsigned long(unsigned long, const unsigned char *, unsigned int)``.

    Raises:
        LibraryNotFoundError: the library cannot be opened; an OSError.
        SymbolNotFoundError: it has no such function; an AttributeError.
        TypeError: the signature is not one that can be called from registers.
    """
    stated = parse(signature)
    if not isinstance(name, str):
        raise TypeError(f"the name of a function must be a str, not {type(name).__name__}")
    path = None if library is None else os.fspath(library)
    try:
        opened = ctypes.CDLL(path)
    except OSError as error:
        raise LibraryNotFoundError(errno.ELIBACC, f"cannot open the library {path!r}: {error}", path) from None
    try:
        function = opened[name]
    except AttributeError:
        raise SymbolNotFoundError(f"{path or 'this process'} has no symbol {name!r}") from None
    return NativeFunction(
        address_of_ctypes(function), stated, name=name, owner=opened, library=path, unpickle=_same_symbol
    )


def _same_symbol(library: str | None, name: str, signature: str, build: str) -> NativeFunction:
    """The function that `symbol` finds, if it is of this build of its library; else a `_MissingFunction`."""
    try:
        function = symbol(library, name, signature)
        here = build_id.identity(function.address)
        if here != build:
            raise LibraryMismatchError(library or "this process", name, build, here or "unknown")
    except (LibraryNotFoundError, SymbolNotFoundError, LibraryMismatchError) as error:
        return _MissingFunction(error.with_traceback(None), library, name, signature, build)
    return function


class _MissingFunction(NativeFunction):
    """A function that was unpickled where its library, its symbol or the build of its library is not the same.

    It has neither address nor plan: reading one of them, as every use does, raises the exception that says why. Unpickling
    itself raises nothing: there, an exception kills the worker processes of multiprocessing and of dask, instead of being
    returned as the exception of the task. A missing function can be pickled again, so it can pass through a process that
    does not use it.
    """

    __slots__ = ("_build", "_error")

    def __init__(self, error: Exception, library: str | None, name: str, signature: str, build: str) -> None:
        self.library, self.name, self.parsed, self.owner = library, name, parse(signature), None
        self._build, self._error = build, error

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("address", "plan", "spares"):
            raise copy.copy(self._error)
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _same_symbol, (self.library, self.name, self.signature, self._build)
