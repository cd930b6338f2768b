"""A stage for children that run scripts: their memory, their scripts, and the run.

A script is a list of system calls that a child makes, whatever it shares; `csrc/lab/lab.c` runs it. All memory that a
script points to is on the stage, a mapping that every child shares, so that the results of all children can be read
after the play.
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
"""Seconds after which the parent kills a play that has not ended."""

_SIZE = 1 << 20
_STACK = 8192
_ALIGNMENT = 64  # a TLS block and a stack need more than the alignment of a word


class Place:
    """A piece of the stage: a word, a buffer, a structure."""

    def __init__(self, memory: mmap.mmap, start: int, size: int, address: int) -> None:
        self._memory, self._start, self._size = memory, start, size
        self.address = address

    @property
    def raw(self) -> bytes:
        """The bytes of the place."""
        return self._memory[self._start : self._start + self._size]

    @property
    def number(self) -> int:
        """The place as a signed 32-bit number."""
        return int.from_bytes(self.raw[:4], "little", signed=True)

    @property
    def seconds(self) -> int:
        """The seconds of the struct timespec at the place."""
        return int.from_bytes(self.raw[:8], "little", signed=True)

    @property
    def text(self) -> str:
        """The text up to the first zero byte."""
        return self.raw.split(b"\0", 1)[0].decode(errors="replace")


class Content(NamedTuple):
    """As an argument: not the address of a place but the word that it contains when the step runs."""

    place: Place


class Step:
    """One step of a script. Its result can be read after the run."""

    def __init__(self, cdata: Any) -> None:
        self._cdata = cdata

    @property
    def result(self) -> int:
        """What the system call returned, which is a negative errno value for failure."""
        return int(self._cdata.result)

    @property
    def address(self) -> int:
        """The address of the result."""
        return int(ffi.cast("uintptr_t", ffi.addressof(self._cdata, "result")))

    @property
    def outcome(self) -> str:
        """The result as text, which is a number or the name of an error."""
        return errno.errorcode.get(-self.result, str(self.result)) if self.result < 0 else str(self.result)


Argument = int | str | bytes | Place | Step | Content


class Script:
    """The steps of one child."""

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
        """Adds a step that creates a child, which runs the script `child`; the result of the step is the child's id.

        Args:
            child: the script of the child.
            flags: any of `CloneFlags`.
            exit_signal: the signal that the parent gets when the child ends.
            places: `child_tid`, `parent_tid`, `pidfd`, `tls`, `cgroup`, as in clone3(2); `by_clone=1` for clone(2).
        """
        return self("clone", self._stage.child(child, flags, exit_signal, **places))


class Stage:
    """The memory of one play. A context manager, which releases the memory at its end."""

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
        """Reserves `size` bytes, which start with `content` and are zero otherwise."""
        start = (self._used + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
        size = max(size, len(content))
        if start + size > len(self._memory):
            raise MemoryError("the stage is full")
        self._used = start + size
        self._memory[start : start + len(content)] = content
        return Place(self._memory, start, size, self._base + start)

    def array(self, kind: str, count: int) -> tuple[Place, Any]:
        """Reserves memory for `count` C structures; returns it as a place and as a cffi pointer."""
        place = self.place(int(ffi.sizeof(kind)) * count)
        return place, ffi.cast(f"{kind} *", place.address)

    def word_of(self, argument: Argument) -> int:
        """An argument as the word that is passed to the kernel."""
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
        """A new, empty script with room for `room` steps."""
        return Script(self, room)

    def child(self, script: Script, flags: CloneFlags | int, exit_signal: int = 0, **places: Any) -> Place:
        """A kt_lab_child that runs a script."""
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
        """Runs the script in a new process, and waits for the end of that process.

        Returns:
            The exit status of the process; 0 if it ran all steps.

        Raises:
            OSError: the process could not be created, or was killed after `patience` seconds.
        """
        child = self.child(script, flags, signal.SIGCHLD)
        status = int(lib.kt_lab_run(ffi.cast("kt_lab_child *", child.address), int(patience * 1e9)))
        if status < 0:
            raise OSError(-status, "the laboratory's process did not end normally")
        return status
