"""Shared libraries whose functions and constants are attributes."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any, NamedTuple, NoReturn

from kthreads.errors import LibraryNotFoundError, SymbolNotFoundError
from kthreads.functions.declaration import parse
from kthreads.functions.function import NativeFunction
from kthreads.functions.header import Header, read_declarations
from kthreads.functions.signature import Signature
from kthreads.functions.symbol import symbol
from kthreads.libraries.preprocessed import read_header

__all__ = ["Library", "LibraryNames", "library_of", "names_of"]


class LibraryNames(NamedTuple):
    """What a library is known to have."""

    functions: dict[str, str]
    """The signature of each function that can be called."""
    refused: dict[str, str]
    """Why each other function cannot be called."""
    constants: dict[str, int]


_NOTHING = (None, LibraryNames({}, {}, {}))


class Library:
    """A shared library. Its functions and constants are attributes, as C declares them.

    A function is a `NativeFunction`, and is looked up when it is used for the first time. An enumerator, or a macro that
    stands for an integer, is an int. ``library["name"]`` is the same as ``library.name``, and ``dir(library)`` lists the
    names. The library stays loaded.
    """

    def __init__(self, library: str | os.PathLike[str] | None, declarations: str | os.PathLike[str]) -> None:
        """
        Args:
            library: what dlopen(3) takes, such as "libz.so.1" or a path; None for what this process has loaded already.
            declarations: C, as a header or a man page has it: functions, types, structures, enums, and macros that are
                numbers. A type that is not declared may stand behind a pointer. `#include` is ignored. Or the path of a
                header, such as ``pathlib.Path("/usr/include/zlib.h")``, which a C compiler preprocesses.

        Raises:
            LibraryNotFoundError: the library cannot be opened; an OSError.
            DeclarationError: a declaration is not understood; a TypeError. The message says in which line.
            CompilerNotFoundError: a header was given, and there is no C compiler.
            CompileError: the compiler does not take the header.
        """
        if isinstance(declarations, os.PathLike):
            header = read_header(declarations)
        elif isinstance(declarations, str):
            header = read_declarations(declarations)
        else:
            raise TypeError(f"declarations are a str of C or the path of a header, not {type(declarations).__name__}")
        _load(self, None if library is None else os.fspath(library), names_of(header))

    def __getattr__(self, name: str) -> Any:
        path, names = self.__dict__.get("<library>", _NOTHING)
        if name in names.functions:
            found = self.__dict__[name] = symbol(path, name, names.functions[name])
            return found
        if name in names.refused:
            raise TypeError(names.refused[name])
        raise SymbolNotFoundError(f"{self!r} declares no function or constant {name!r}")

    def __getitem__(self, name: str) -> NativeFunction | int:
        found: NativeFunction | int = getattr(self, name)
        return found

    def __dir__(self) -> list[str]:
        _, names = self.__dict__["<library>"]
        return sorted({*names.functions, *names.refused, *names.constants})

    def __repr__(self) -> str:
        path, names = self.__dict__["<library>"]
        count = len(names.functions) + len(names.refused)
        return f"<Library {path or 'of this process'}: {count} function{'s' * (count != 1)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Library cannot be pickled: pickle its functions, or make it again in the other process")


def library_of(path: str, names: LibraryNames) -> Library:
    """A library whose declarations were read before."""
    library = Library.__new__(Library)
    _load(library, path, names)
    return library


def _load(library: Library, path: str | None, names: LibraryNames) -> None:
    # A name that is not one of C's can be no attribute of C's.
    library.__dict__["<library>"] = path, names
    library.__dict__.update(names.constants)
    try:
        ctypes.CDLL(path)
    except OSError as error:
        raise LibraryNotFoundError(errno.ELIBACC, f"cannot open the library {path!r}: {error}", path) from None


def names_of(header: Header) -> LibraryNames:
    """What a library has whose header this is."""
    functions: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, found in header.functions.items():
        if isinstance(found, TypeError):
            refused[name] = str(found)
        elif _is_read_back(found):
            functions[name] = found.text
        else:  # as where the source calls a structure int8_t
            refused[name] = f"'{found}' has a type with the name of a type of C"
    return LibraryNames(functions, refused, header.constants())


def _is_read_back(signature: Signature) -> bool:
    """Whether the text of a signature has the same meaning without the declarations that it came from."""
    try:
        return parse(signature.text).abi == signature.abi
    except TypeError:
        return False
