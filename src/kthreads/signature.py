"""C signatures: what a native function takes and returns, as far as a call needs to know it."""

from __future__ import annotations

import ctypes
import platform
import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from kthreads._native import ffi, lib

_TOKEN = re.compile(r"\s*(\.\.\.|[A-Za-z_]\w*|\d+|[*()\[\],])")
_QUALIFIERS = frozenset(["const", "volatile", "restrict", "__restrict", "__restrict__", "register", "extern", "static"])
_BASE_WORDS = frozenset(
    ["void", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "_Complex", "__int128"]
)
_ALIASES = {"Py_ssize_t": "ssize_t"}  # what Cython writes and cffi does not know
_TAGS = frozenset(["struct", "union", "enum"])
_WIDE_CHARACTERS = frozenset(["wchar_t", "char16_t", "char32_t"])
_COMPLEX = {"_cffi_float_complex_t": "float _Complex", "_cffi_double_complex_t": "double _Complex"}
_FOR_INSTANCE = "write it as C declares it, such as 'double(int, const double *)'"


@dataclass(frozen=True)
class CType:
    """A C type, as far as a call needs to know it.

    `kind` is "void", "bool", "char", "integer", "float", "complex", "pointer", "function" or "opaque" (a structure,
    or a type that is only known by name); `size` is in bytes, 0 where it is not known. `pointee` is the type that a
    pointer points to. `const` says whether the type itself is const, which matters for pointees; None where the
    source of the signature does not tell.
    """

    kind: str
    size: int
    signed: bool
    name: str
    pointee: CType | None = None
    const: bool | None = None
    prototype: Prototype | None = None  # of a function

    @cached_property
    def text(self) -> str:
        """The type as C writes it."""
        if self.pointee is None:
            return f"const {self.name}" if self.const else self.name
        if self.target.kind == "function":
            return self.target.name.replace("(*)", f"({'*' * self.depth})", 1)
        inner = self.pointee.text
        return f"{inner}{'' if inner.endswith('*') else ' '}*{'const' if self.const else ''}"

    @cached_property
    def target(self) -> CType:
        """What is found behind all levels of a pointer; the type itself if it is none."""
        return self if self.pointee is None else self.pointee.target

    @cached_property
    def depth(self) -> int:
        """How many levels of pointers it is."""
        return 0 if self.pointee is None else 1 + self.pointee.depth

    @property
    def layout(self) -> tuple[str, int, bool]:
        """What must agree for an item in memory to be taken for one of this type: kind, size in bytes, sign."""
        return (self.kind, self.size, self.signed)

    @cached_property
    def abi(self) -> tuple[Any, ...]:
        """The type without its spelling: layouts, levels of pointers, and const, which a call does not look at."""
        name = self.name if self.kind in ("opaque", "function") else ""
        return (self.layout, name, self.const, None if self.pointee is None else self.pointee.abi)

    @property
    def is_byte(self) -> bool:
        """Whether it is one of the types that C uses for bytes and text: char, signed or not."""
        return self.size == 1 and self.kind in ("char", "integer")


@dataclass(frozen=True)
class Prototype:
    """What a declaration says of a function, callable by us or not."""

    result: CType
    parameters: tuple[CType, ...]
    variable: bool

    def __str__(self) -> str:
        texts = [parameter.text for parameter in self.parameters] + ["..."] * self.variable
        return f"{self.result.text} (*)({', '.join(texts) or 'void'})"


VOID = CType("void", 0, False, "void")
_CHAR_SIGNED = platform.machine() == "x86_64"  # not on aarch64; cffi does not tell


def pointer_to(pointee: CType) -> CType:
    """The type of a pointer to this type."""
    return CType("pointer", 8, False, "", pointee)


@dataclass(frozen=True)
class Signature:
    """The result and the parameters of a function that a call can fill registers for.

    Raises:
        TypeError: a type does not travel in one register, or there are too many parameters.
    """

    result: CType
    parameters: tuple[CType, ...]

    def __post_init__(self) -> None:
        if self.result.target.kind == "function":  # C's way to write that is not worth reading
            object.__setattr__(self, "result", pointer_to(VOID))
        _check_by_value(self.result, self)
        for parameter in self.parameters:
            _check_by_value(parameter, self)
        floats = sum(parameter.kind == "float" for parameter in self.parameters)
        for count, limit, what in (
            (len(self.parameters) - floats, lib.KT_INTEGER_ARGUMENTS, "integers and pointers"),
            (floats, lib.KT_FLOAT_ARGUMENTS, "floating numbers"),
        ):
            if count > limit:
                raise TypeError(
                    f"'{self}' takes {count} {what}; at most {limit} are supported, which is what registers carry: "
                    "put the arguments into a structure and pass a pointer to it"
                )

    @cached_property
    def text(self) -> str:
        """The canonical C text, const included."""
        return f"{self.result.text}({', '.join(parameter.text for parameter in self.parameters) or 'void'})"

    def __str__(self) -> str:
        return self.text

    @cached_property
    def abi(self) -> tuple[Any, ...]:
        """What two signatures of the same meaning have in common, however their types are spelled."""
        return (self.result.abi, *(parameter.abi for parameter in self.parameters))

    def disagreement(self, other: Signature) -> str | None:
        """Why a function of this signature cannot be called by the other; None if it can. Const does not matter."""
        if len(self.parameters) != len(other.parameters):
            return f"it has {len(self.parameters)} parameters, not {len(other.parameters)}"
        if not _agree(self.result, other.result):
            return f"it returns {self.result.text}, not {other.result.text}"
        for number, (mine, theirs) in enumerate(zip(self.parameters, other.parameters, strict=True), 1):
            if not _agree(mine, theirs):
                return f"parameter {number} is {mine.text}, not {theirs.text}"
        return None


def _agree(mine: CType, theirs: CType) -> bool:
    if mine.depth == 0 or theirs.depth == 0:
        return mine.depth == theirs.depth and mine.layout == theirs.layout
    anything = ("void", "opaque")
    if mine.target.kind in anything or theirs.target.kind in anything:
        return True
    if mine.depth != theirs.depth:
        return False
    return mine.target.layout == theirs.target.layout or (mine.target.is_byte and theirs.target.is_byte)


def _check_by_value(ctype: CType, signature: Signature) -> None:
    where = f"in '{signature}'"
    if ctype.target.name in ("PyObject", "struct _object") or ctype.target.name.startswith("struct __pyx_obj_"):
        raise TypeError(
            f"{ctype.text} {where}: a function that handles Python objects needs the GIL, which a native call does not hold"
        )
    if ctype.kind == "complex" or (ctype.kind == "float" and ctype.size > 8):
        raise TypeError(f"{ctype.text} by value {where} does not travel in one register: pass a pointer to it")
    if ctype.kind in ("opaque", "function"):
        what = (
            "is a structure or union"
            if ctype.name.split()[0] in ("struct", "union")
            else "is not a C type that kthreads knows"
        )
        raise TypeError(
            f"{ctype.text} by value {where} {what}: pass a pointer to it, or write the plain type that it stands for"
        )


# ---- From cffi's types ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def from_cffi_function(ctype: Any) -> Signature:
    """The signature of a cffi function type; it does not tell const.

    Raises:
        TypeError: a call cannot be made of it; the message says why.
    """
    if ctype.ellipsis:
        raise TypeError(_variable(ctype.cname))
    return Signature(from_cffi(ctype.result), tuple(map(from_cffi, ctype.args)))


def from_cffi(ctype: Any, const: bool | None = None) -> CType:
    """The type that cffi describes."""
    kind, name = ctype.kind, ctype.cname
    if kind == "void":
        return CType("void", 0, False, "void", const=const)
    if kind == "pointer":
        return CType("pointer", 8, False, "", _element(ctype.item), const)
    if kind == "array":
        return pointer_to(_element(ctype))
    if kind == "function":
        return pointer_to(CType("function", 0, False, name.replace("(*)", " (*)", 1)))
    if kind in ("primitive", "enum"):
        return _primitive(ctype, name, const)
    return CType("opaque", 0, False, name, const=const)


def _element(ctype: Any) -> CType:
    """What a pointer to it points to; an array counts as its elements."""
    return _element(ctype.item) if ctype.kind == "array" else from_cffi(ctype)


def _primitive(ctype: Any, name: str, const: bool | None) -> CType:
    size = ffi.sizeof(ctype)
    if name in ("float", "double", "long double"):
        return CType("float", size, True, name, const=const)
    if name in _COMPLEX:
        return CType("complex", size, True, _COMPLEX[name], const=const)
    if name == "_Bool":
        return CType("bool", size, False, "bool", const=const)
    if name == "char":
        return CType("char", size, _CHAR_SIGNED, name, const=const)
    if name in _WIDE_CHARACTERS:
        return CType("integer", size, int(ffi.cast("int64_t", ffi.cast(ctype, -1))) < 0, name, const=const)
    return CType("integer", size, int(ffi.cast(ctype, -1)) < 0, name, const=const)


# ---- From ctypes' types --------------------------------------------------------------------------------------------

_CODES = {
    "c": "char", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int",
    "I": "unsigned int", "l": "long", "L": "unsigned long", "q": "long long", "Q": "unsigned long long", "f": "float",
    "d": "double", "g": "long double", "?": "bool", "u": "wchar_t", "P": "void *", "z": "char *", "Z": "wchar_t *",
    "O": "PyObject *",
}  # fmt: skip


@lru_cache(maxsize=1024)
def from_ctypes(kind: Any) -> CType:
    """The type that a ctypes class stands for; an array counts as its elements. None is void, as for restype."""
    if kind is None:
        return VOID
    code = getattr(kind, "_type_", None)
    if isinstance(code, str) and code in _CODES:
        name = _CODES[code]
        if name == "PyObject *":
            return pointer_to(CType("opaque", 0, False, "PyObject"))
        return from_cffi(ffi.typeof(name))
    if isinstance(code, type) and issubclass(kind, ctypes.Array):
        return from_ctypes(code)
    if isinstance(code, type):
        return pointer_to(from_ctypes(code))
    if isinstance(kind, type) and issubclass(kind, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        return pointer_to(CType("function", 0, False, "void (*)(void)"))
    return CType("opaque", 0, False, f"struct {getattr(kind, '__name__', kind)}")


# ---- From text -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def parse(text: str) -> Signature:
    """The signature that a C declaration gives, such as ``double(int, const double *)``; names are optional.

    The names of basic types are cffi's to know. An unknown name counts as opaque behind a pointer.

    Raises:
        TypeError: it is no function, or a call cannot be made of it; the message says why.
    """
    return _Declaration(text).function()


def _variable(text: str) -> str:
    return (
        f"{text!r} takes a variable number of arguments, which travel in another way: "
        "wrap the function in a C function of fixed parameters"
    )


class _Declaration:
    """A declaration being read: types from left to right, declarators from the inside out."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a signature is a str, not {type(text).__name__}: {_FOR_INSTANCE}")
        self.text = text
        self.tokens: list[str] = []
        self.at = 0
        end = 0
        body = text.rstrip().removesuffix(";").rstrip()
        while end < len(body):
            match = _TOKEN.match(body, end)
            if match is None:
                raise self.error(f"{body[end:].split()[0]!r} is not understood")
            self.tokens.append(match[1])
            end = match.end()

    def error(self, problem: str) -> TypeError:
        return TypeError(f"{self.text!r} is not a C function, {problem}: {_FOR_INSTANCE}")

    def next(self, offset: int = 0) -> str:
        at = self.at + offset
        return self.tokens[at] if at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.next()
        if not token or (expected and token != expected):
            found = repr(token) if token else "the end"
            raise self.error(f"{expected!r} was expected, not {found}" if expected else "it ends too early")
        self.at += 1
        return token

    def function(self) -> Signature:
        """Reads it all."""
        found = self.declarator(self.specifiers())
        if self.next():
            raise self.error(f"{self.next()!r} is one too many")
        prototype = (found.pointee or found).prototype
        if prototype is None:
            raise self.error("it has no parameter list")
        if prototype.variable:
            raise TypeError(_variable(self.text))
        return Signature(prototype.result, prototype.parameters)

    def specifiers(self) -> CType:
        """The words before the declarator; cffi knows what they mean together."""
        words: list[str] = []
        const = False
        while _is_word(token := self.next()):
            if token in _QUALIFIERS:
                const = const or token == "const"
            elif token in _TAGS and not words:
                words.append(self.take())
                if not _is_word(self.next()):
                    raise self.error(f"{token} needs a name")
                words.append(self.next())
            elif not words or (token in _BASE_WORDS and words[-1] in _BASE_WORDS):
                words.append(token)
            else:
                break  # the name of what is declared
            self.at += 1
        if not words:
            raise self.error("a type is missing")
        name = _ALIASES.get(words[0], " ".join(words))
        ctype = None if "__int128" in words else _typeof(name)  # which cffi would take for a name
        if ctype is not None:
            return from_cffi(ctype, const)
        if words[0] in _BASE_WORDS:
            raise self.error(f"{name!r} is no type that kthreads knows")
        return CType("opaque", 0, False, name, const=const)

    def declarator(self, base: CType) -> CType:
        """What is declared: the base type behind pointers, arrays and parameter lists."""
        while self.next() == "*":
            self.at += 1
            const = False
            while self.next() in _QUALIFIERS:
                const = self.take() == "const" or const
            assert base.kind != "array" or base.pointee is not None
            base = CType("pointer", 8, False, "", base.pointee if base.kind == "array" else base, const)
        if self.next() == "(" and self.next(1) == "*":
            return self.grouped(base)
        if _is_word(self.next()):
            name = self.take()
            if _typeof(name) is not None:
                raise self.error(f"{name!r} is one type too many")
        return self.suffixes(base)

    def grouped(self, base: CType) -> CType:
        """A declarator in parentheses, as of a pointer to a function: what follows them binds first."""
        self.take("(")
        begin, depth = self.at, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(self.take(), 0)
        base = self.suffixes(base)
        end, self.at = self.at, begin
        found = self.declarator(base)
        self.take(")")
        self.at = end
        return found

    def suffixes(self, base: CType) -> CType:
        """A parameter list, or the brackets of an array."""
        if self.next() == "(":
            prototype = Prototype(replace(base, const=None), *self.parameters())
            return CType("function", 0, False, str(prototype), prototype=prototype)
        if self.next() != "[":
            return base
        while self.next() == "[":
            while self.take() != "]":
                pass
        return CType("array", 0, False, "", base)

    def parameters(self) -> tuple[tuple[CType, ...], bool]:
        """The parameters, and whether any number of others may follow."""
        self.take("(")
        found: list[CType] = []
        if self.next() == "void" and self.next(1) == ")":
            self.take()
        while self.next() != ")":
            if found:
                self.take(",")
            if self.next() == "...":
                self.take()
                self.take(")")
                return tuple(found), True
            found.append(_as_parameter(self.declarator(self.specifiers())))
        self.take(")")
        return tuple(found), False


def _is_word(token: str) -> bool:
    return token[:1].isalpha() or token[:1] == "_"


def _typeof(name: str) -> Any:
    try:
        return ffi.typeof(name)
    except (ffi.error, ValueError):
        return None


def _as_parameter(ctype: CType) -> CType:
    """Arrays and functions are passed as pointers, and what is copied need not be const."""
    if ctype.kind == "function":
        return pointer_to(ctype)
    if ctype.kind == "array" and ctype.pointee is not None:
        return pointer_to(ctype.pointee)
    return replace(ctype, const=None)
