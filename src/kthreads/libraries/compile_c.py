"""C from source: compiled once, and loaded as a library."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from kthreads.errors import CompileError, LibraryNotFoundError
from kthreads.functions.header import Header
from kthreads.libraries.build_cache import BuildCache
from kthreads.libraries.compiler import LANGUAGES, Compiler
from kthreads.libraries.library import Library, LibraryNames, library_of, names_of
from kthreads.libraries.preprocessed import read_preprocessed

__all__ = ["compile_c"]

_FORMAT = 1  # of what is cached
# Options that give enums another size, or functions another way to be called.
_OTHER_TYPES = frozenset(["-fshort-enums", "-fshort-wchar", "-mabi=ms"])
# What /proc/cpuinfo says of a processor that compilers choose instructions by, on x86-64 and on aarch64.
_CPU = re.compile(r"^(vendor_id|cpu family|model|stepping|flags|Features|CPU \w+)\s*:.*$", re.MULTILINE)


def compile_c(
    source: str | os.PathLike[str],
    *,
    flags: Sequence[str] = ("-O3", "-march=native"),
    libraries: Sequence[str] = (),
    includes: Sequence[str | os.PathLike[str]] = (),
    language: str = "c",
) -> Library:
    """Compiles C, and loads it. The functions that the source defines are attributes, with the signatures that it gives them;
    static and inline functions are left out.

    The library is kept in ``$XDG_CACHE_HOME/kthreads`` (``~/.cache/kthreads``), and compiled again only when the source, a
    header, an option, the compiler or the CPU is another. Several processes may compile at once. Equal sources give one
    library, whose global variables are the same.

    Args:
        source: C, or the path of a file.
        flags: options of the compiler.
        libraries: to link with: names such as "z", as the option -l takes them, or paths. The library of <math.h> is always
            among them.
        includes: folders of headers.
        language: "c", or "c++" for functions that are declared ``extern "C"``.

    Raises:
        CompileError: the compiler refuses the source; a ValueError. The message has its diagnostics.
        CompilerNotFoundError: there is no compiler: `CC` (`CXX`) names none, nor is there `cc`; a FileNotFoundError.
        BuildCacheError: others could write to the folder of libraries, or it cannot be made; a PermissionError.
    """
    compiler = Compiler(language)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source is a str of C or the path of a file, not {type(source).__name__}")
    for name, values in (("flags", flags), ("libraries", libraries), ("includes", includes)):
        if isinstance(values, str):
            raise TypeError(f"{name} are a sequence of str, not one str: pass ({values!r},)")
    if (refused := _OTHER_TYPES.intersection(flags)) != set():
        raise ValueError(f"{', '.join(sorted(refused))} changes types or calls in a way that kthreads does not know")
    return _Build(compiler, source, [*flags], [*libraries], [os.fsdecode(folder) for folder in includes]).library()


class _Build:
    """One source with its options."""

    def __init__(
        self,
        compiler: Compiler,
        source: str | os.PathLike[str],
        flags: list[str],
        libraries: list[str],
        includes: list[str],
    ) -> None:
        self.compiler = compiler
        self.cache = BuildCache()
        self.text = None if isinstance(source, os.PathLike) else source
        self.path = os.fsdecode(source) if isinstance(source, os.PathLike) else ""
        self.flags = [*flags, *(f"-I{folder}" for folder in includes)]
        # Where the source looks for the files that it includes by "…": beside itself, or in the current folder.
        self.beside = [] if self.path else ["-iquote", "."]
        self.libraries = [_option(name) for name in libraries]
        self.linked = [_contents_of(name) for name in libraries]

    def library(self) -> Library:
        """The library from the cache, compiled if it is not there."""
        with self.cache.unfinished() as folder:
            path = self.path
            if self.text is not None:  # as a file, so that the compiler can show its lines
                path = str(folder / f"source{LANGUAGES[self.compiler.language][2]}")
                Path(path).write_text(self.text, encoding="utf-8")
            try:
                preprocessed = self.compiler.preprocess(path, self._mapped(folder, ""))
                preprocessed = preprocessed.replace(f"{folder}/", "")
                key = self._key(preprocessed)
                found = self._load(key)
                return found or self._build(folder, path, key, preprocessed)
            except CompileError as error:
                raise CompileError(
                    error.diagnostics.replace(f"{folder}/", ""), error.command.replace(f"{folder}/", "")
                ) from None

    def _mapped(self, folder: Path, final: str) -> list[str]:
        """The options, with another name for the folder of the source in what is compiled."""
        return [*self.flags, *self.beside, f"-ffile-prefix-map={folder}/={final}"]

    def _key(self, preprocessed: str) -> str:
        what = [
            _FORMAT, preprocessed, self.compiler.command, self.compiler.version, self.flags, self.libraries, self.linked,
            _cpu(),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:40]

    def _load(self, key: str) -> Library | None:
        """The library of a key; None if there is none, or a damaged one, as after a loss of power."""
        if not (self.cache.folder / key).exists():
            return None
        file, names = self._files(self.cache.folder / key)
        try:
            kept = json.loads(names.read_text())
            is_whole = kept["checksum"] == hashlib.sha256(file.read_bytes()).hexdigest()
        except (OSError, ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            self.cache.remove(key)
            return None
        return _loaded(file, LibraryNames(kept["functions"], kept["refused"], kept["constants"]))

    def _build(self, folder: Path, path: str, key: str, preprocessed: str) -> Library:
        file, names = self._files(folder)
        self.compiler.build(path, self._mapped(folder, f"{self.cache.folder / key}/"), self.libraries, str(file))
        found = names_of(_defined(read_preprocessed(preprocessed, self.compiler.language)))
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        names.write_text(json.dumps({**found._asdict(), "checksum": checksum}))
        self.cache.finish(folder, key)
        return _loaded(self._files(self.cache.folder / key)[0], found)

    def _files(self, folder: Path) -> tuple[Path, Path]:
        return folder / "library.so", folder / "names.json"


def _defined(header: Header) -> Header:
    """The same header with the functions that have a body."""
    header.functions = {name: found for name, found in header.functions.items() if name in header.defined}
    return header


def _loaded(file: Path, names: LibraryNames) -> Library:
    try:
        return library_of(str(file), names)
    except LibraryNotFoundError as error:
        if "undefined symbol" not in str(error):
            raise
        raise CompileError(f"{error}: name the library that has it with libraries=", "dlopen") from None


def _option(library: str) -> str:
    return library if "/" in library or library.startswith("-") else f"-l{library}"


def _contents_of(library: str) -> str:
    """The checksum of a library that is given as a path; a static one becomes a part of what is compiled."""
    if "/" not in library or library.startswith("-") or not os.path.isfile(library):
        return ""
    with open(library, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _cpu() -> str:
    """What compilers choose instructions by, for -march=native."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        first = ""
    found: Any = [match[0] for match in _CPU.finditer(first)]
    return "\n".join([os.uname().machine, *found])
