"""Native functions and their calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from kthreads import _call
from kthreads._native import ffi, lib
from kthreads.functions import build_id
from kthreads.functions.call_plan import CallPlan, plan_of
from kthreads.functions.signature import Signature

__all__ = ["Call", "NativeFunction"]

_CALL = ffi.typeof("kt_call *")


class Call:
    """A native function with its arguments, ready to run on any thread.

    The objects that the arguments point to stay alive, and buffers stay locked against resizing, until `finish` or as
    long as the call lives.

    Attributes:
        function: the function to call.
        cdata: the ``kt_call *`` with the arguments, in memory of this object.
    """

    __slots__ = ("_held", "cdata", "function")

    def __init__(self, function: NativeFunction, cdata: Any, held: _call.Held) -> None:
        self.function = function
        self.cdata = cdata
        self._held = held

    def run(self) -> Any:
        """Runs the call on the calling thread, without the GIL, and returns the result."""
        lib.kt_call_run(self.cdata)
        return self.result

    def finish(self) -> None:
        """Releases the arguments. The call must have ended, on this thread or on another."""
        self._held.release()

    @property
    def result(self) -> Any:
        """The result, as the Python value of its C type; meaningless before the call has ended."""
        return self.function.read(self.cdata.result)

    @property
    def errno(self) -> int:
        """errno as the function left it; it was 0 when the function began."""
        return int(self.cdata.error)


class NativeFunction(_call.Function):
    """A C function: its address, its signature, and the object that keeps it loaded. Made by `native` and `symbol`.

    Called, it runs on the calling thread without the GIL. The result is the Python value of the C type: an int, a
    float, a bool, bytes of length 1 for char, None for void, a cffi ``char *`` for that and a ``void *`` for all other
    pointers. `bind` gives a `Call`, which also has errno.

    Attributes:
        address: its address in memory.
        signature: its canonical C text, such as ``double(int, const double *)``.
        name: its name, or its address in hexadecimal where it has none.
        owner: the object that keeps it in memory.
        parsed: the parsed signature.
        plan: how its arguments are converted.
        spares: memory of its parallel loops that later loops use again.
        library: the library that `symbol` found it in; None for this process and for functions of other sources.

    Two functions are equal when their addresses are, and their signatures apart from the spelling of types. A function
    that `symbol` made can be pickled: unpickling looks it up again by library and name. Where the library or the symbol is
    not found, or where the build-id shows another build of the library, each use of the unpickled function raises
    LibraryNotFoundError, SymbolNotFoundError or LibraryMismatchError.
    """

    __slots__ = ()
    plan: CallPlan
    parsed: Signature

    def __init__(
        self,
        address: int,
        signature: Signature,
        *,
        name: str = "",
        owner: Any = None,
        library: str | None = None,
        unpickle: Callable[[str | None, str, str, str], NativeFunction] | None = None,
    ) -> None:
        """
        Args:
            unpickle: makes the function again from its library, name and signature and the build of the library; None
                where the function cannot be pickled.
        """
        if not address:
            raise ValueError(f"NULL function: {name or 'a function'} '{signature}' has address 0")
        self.address = address
        self.parsed = signature
        self.name = name or f"{address:#x}"
        self.owner = owner
        self.library = library
        self._unpickle = unpickle
        super().__init__(address, plan_of(signature))
        self.spares: list[Any] = []

    @property
    def signature(self) -> str:
        return self.parsed.text

    @property
    def __name__(self) -> str:
        return self.name

    def with_signature(self, signature: Signature) -> NativeFunction:
        """The same function with a signature that differs in what is const, or in how types are spelled."""
        return NativeFunction(
            self.address,
            signature,
            name=self.name,
            owner=self.owner,
            library=self.library,
            unpickle=self._unpickle,
        )

    def read(self, word: int) -> Any:
        """The Python value of a result, from the 64 bits of the return register."""
        return self.plan.read(word)

    def bind(self, args: Sequence[Any]) -> Call:
        """A call with these arguments, converted and checked. Each message says which argument is wrong, and why.

        Raises:
            TypeError: the number of arguments is wrong, or the type of one; or an argument is read-only and its
                parameter is not const.
            OverflowError: a number is out of the range of its parameter.
            ValueError: a buffer is not C-contiguous, or was released; or a str has a NUL in it.
        """
        held, cdata = self.call(tuple(args), _CALL)
        return Call(self, cdata, held)

    def convert(self, number: int, value: Any, keep: list[Any], row: int | None = None) -> Any:
        """The word for one argument: what C does not convert itself.

        Args:
            keep: a list to which the objects are added that must stay alive.
            row: the number of the call, of many.

        Raises:
            TypeError, OverflowError, ValueError: the message says which argument it is.
        """
        try:
            return self.plan.strict[number](value, keep)
        except (TypeError, OverflowError, ValueError) as error:
            raise self._refusal(error, number, row) from None

    def _refusal(self, error: Exception, number: int, row: int | None) -> Exception:
        kind = next(kind for kind in (TypeError, OverflowError, ValueError) if isinstance(error, kind))
        refusal = kind(f"{self.name}() argument {number + 1}: {error}")
        if row is not None:
            refusal.add_note(f"in call {row} of those that were submitted")
        return refusal

    def refuse_count(self, count: int) -> NoReturn:
        """Raises TypeError for a call with so many arguments."""
        raise TypeError(f"{self.name} takes {len(self.parsed.parameters)} arguments ({self.signature}), not {count}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NativeFunction):
            return NotImplemented
        return self.address == other.address and self.parsed.abi == other.parsed.abi

    def __hash__(self) -> int:
        return hash((self.address, self.parsed.abi))

    def __repr__(self) -> str:
        origin = f" of {self.library}" if self.library else ""
        return f"<NativeFunction {self.name}{origin}: {self.signature}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._unpickle is None:
            raise TypeError(
                f"{self.name} cannot be pickled: its address is valid in this process only; look it up with symbol()"
            )
        build = build_id.identity(self.address)
        if build is None:
            raise TypeError(
                f"{self.name} cannot be pickled: its library has no build-id, and the file {self.library} cannot be read"
            )
        return self._unpickle, (self.library, self.name, self.signature, build)
