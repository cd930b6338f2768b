"""A stage for children that take steps: their memory, their scripts, and the run.

A script is a list of system calls that a child makes, whatever it shares; `csrc/lab/lab.c` runs it. All that a script
points to lies on the stage, a piece of memory that every child sees, so that the results of all of them can be
read when the play is over.
"""

from __future__ import annotations

import errno
import mmap
import signal
from types import TracebackType
from typing import Any, NamedTuple

from kthreads._native import ffi, lib
from kthreads.flags.clone_flags import CloneFlags

__all__ = ["PATIENCE", "Content", "Place", "Script", "Stage", "Step"]

PATIENCE = 10.0
"""Seconds after which a play that does not end is ended."""

_SIZE = 1 << 20
_STACK = 8192
_ALIGNMENT = 64  # a TLS and a stack want more than a word


class Place:
    """A piece of the stage: a word, a buffer, a structure."""

    def __init__(self, memory: mmap.mmap, start: int, size: int, address: int) -> None:
        self._memory, self._start, self._size = memory, start, size
        self.address = address

    @property
    def raw(self) -> bytes:
        """What lies there."""
        return self._memory[self._start : self._start + self._size]

    @property
    def number(self) -> int:
        """The 32-bit number that lies there, with its sign."""
        return int.from_bytes(self.raw[:4], "little", signed=True)

    @property
    def seconds(self) -> int:
        """The seconds of a struct timespec that lies there."""
        return int.from_bytes(self.raw[:8], "little", signed=True)

    @property
    def text(self) -> str:
        """The text up to the first zero byte."""
        return self.raw.split(b"\0", 1)[0].decode(errors="replace")


class Content(NamedTuple):
    """As an argument: not the address of a place but the word that lies there when the step is taken."""

    place: Place


class Step:
    """One step of a script; its result is there after the run."""

    def __init__(self, cdata: Any) -> None:
        self._cdata = cdata

    @property
    def result(self) -> int:
        """What the system call returned, which is a negative errno value for failure."""
        return int(self._cdata.result)

    @property
    def address(self) -> int:
        """Where the result is put."""
        return int(ffi.cast("uintptr_t", ffi.addressof(self._cdata, "result")))

    @property
    def outcome(self) -> str:
        """The result as people read it, a number or the name of an error."""
        return errno.errorcode.get(-self.result, str(self.result)) if self.result < 0 else str(self.result)


Argument = int | str | bytes | Place | Step | Content


class Script:
    """What one child does, step by step."""

    def __init__(self, stage: Stage, room: int) -> None:
        self._stage, self._room = stage, room
        self.place, self._steps = stage.array("kt_lab_step", room)
        self.count = 0

    def __call__(self, call: str, *arguments: Argument) -> Step:
        """Adds a step.

        Args:
            call: the name of a system call that csrc/lab/lab.h has, or of a step on memory.
            arguments: numbers as they are; texts, bytes and places: their addresses; a step: its
                result; a `Content`: what lies at its place.
        """
        if self.count == self._room:
            raise ValueError(f"this script has room for {self._room} steps")
        step = self._steps[self.count]
        step.call = getattr(lib, f"KT_LAB_{call.upper()}")
        for index, argument in enumerate(arguments):
            if isinstance(argument, (Step, Content)):
                step.indirect |= 1 << index
            step.arguments[index] = self._stage.word_of(argument)
        self.count += 1
        return Step(step)

    def clone(self, child: Script, flags: CloneFlags | int, exit_signal: int = 0, **places: Any) -> Step:
        """Adds a step that makes a child, which takes the steps of `child`; its result is the child's id.

        Args:
            child: what it does.
            flags: of `CloneFlags`.
            exit_signal: what tells the parent of its end.
            places: `child_tid`, `parent_tid`, `pidfd`, `tls`, `cgroup`, as in clone3(2); `by_clone=1` for clone(2).
        """
        return self("clone", self._stage.child(child, flags, exit_signal, **places))


class Stage:
    """The memory of one play. A context manager: it goes away at the end."""

    def __init__(self, size: int = _SIZE) -> None:
        self._memory = mmap.mmap(-1, size)  # anonymous and shared
        self._view = ffi.from_buffer(self._memory)
        self._base = int(ffi.cast("uintptr_t", self._view))
        self._used = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        ffi.release(self._view)

    def place(self, size: int = 8, content: bytes = b"") -> Place:
        """Room for `size` bytes, zero but for what it begins with."""
        start = (self._used + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
        size = max(size, len(content))
        if start + size > len(self._memory):
            raise MemoryError("the stage is full")
        self._used = start + size
        self._memory[start : start + len(content)] = content
        return Place(self._memory, start, size, self._base + start)

    def array(self, kind: str, count: int) -> tuple[Place, Any]:
        """Room for some C structures, as a place and as cffi sees it."""
        place = self.place(int(ffi.sizeof(kind)) * count)
        return place, ffi.cast(f"{kind} *", place.address)

    def word_of(self, argument: Argument) -> int:
        """An argument as the kernel takes it."""
        if isinstance(argument, Content):
            return argument.place.address
        if isinstance(argument, (Place, Step)):
            return argument.address
        if isinstance(argument, str):
            argument = argument.encode()
        if isinstance(argument, bytes):
            return self.place(content=argument + b"\0").address
        return argument & 0xFFFF_FFFF_FFFF_FFFF

    def script(self, room: int = 32) -> Script:
        """A new script, empty, with room for so many steps."""
        return Script(self, room)

    def child(self, script: Script, flags: CloneFlags | int, exit_signal: int = 0, **places: Any) -> Place:
        """A kt_lab_child that takes the steps of a script."""
        place, cdata = self.array("kt_lab_child", 1)
        stack = self.place(_STACK)
        child = cdata[0]
        child.flags, child.exit_signal = int(flags), exit_signal
        child.stack, child.stack_size = stack.address, _STACK
        child.steps, child.count = script.place.address, script.count
        for name, value in places.items():
            setattr(child, name, value if isinstance(value, int) else value.address)
        return place

    def play(self, script: Script, flags: CloneFlags | int = 0, *, patience: float = PATIENCE) -> int:
        """Has the script run by a process of its own, and waits for its end.

        Returns:
            its exit status, 0 for one that took all its steps.

        Raises:
            OSError: the process could not be made, or was killed as the time was over.
        """
        child = self.child(script, flags, signal.SIGCHLD)
        status = int(lib.kt_lab_run(ffi.cast("kt_lab_child *", child.address), int(patience * 1e9)))
        if status < 0:
            raise OSError(-status, "the laboratory's process did not come to its end")
        return status
