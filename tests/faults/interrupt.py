"""Interrupts placed at every instruction: what a signal handler that raises may do to the code under test.

The handler of a signal may raise between any two instructions of Python code: after a call into C has returned, say, and
before its result is stored. A storm of signals finds such a place once in a million runs; this finds each of them::

    def test_an_interrupted_start_leaves_no_child_behind():
        at_every_opcode(lambda: Process(["true"]).wait(), check=no_child_is_left)
"""

from __future__ import annotations

import dis
import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from free_threading import FREE_THREADED
from share import SHARE, SHARES

import kthreads

_PACKAGE = str(Path(kthreads.__file__).parent) + os.sep

Places = Callable[[CodeType], bool] | Iterable[ModuleType | FunctionType]


def of_the_package(code: CodeType) -> bool:
    """Whether it is code of kthreads."""
    return code.co_filename.startswith(_PACKAGE)


def at_every_opcode(
    call: Callable[..., Any],
    in_functions_of: Places = of_the_package,
    *,
    exception: Callable[[], BaseException] = KeyboardInterrupt,
    handler: Callable[..., Any] | None = None,
    prepare: Callable[[], Any] | None = None,
    check: Callable[..., Any] | None = None,
    visits: int = 2,
    only_after_calls: bool = SHARES > 1,
    share: tuple[int, int] = (SHARE, SHARES),
    spare: Iterable[FunctionType] = (),
    may_raise: tuple[type[BaseException], ...] = (),
    may_return: bool = False,
    limit: int = 50_000,
) -> int:
    """Runs `call` again and again, the n-th time with an interrupt at the n-th instruction, until a run has none.

    The exception is raised on the calling thread before the instruction is executed, or as a function is entered. From
    then on the run is left alone, its clean-up too. Children that the run forks are not interrupted. Passed
    over is where no handler runs and code cannot be safe, as CPython looks at signals as a function begins, a loop goes
    round or a call has returned (CHECK_EVAL_BREAKER of Python/ceval.c): the instructions that leave a `with` block, up to
    the call of ``__exit__``, and the NOP that begins a `try` block, which its handlers do not cover.

    Args:
        call: what to run. What it returned, or raised, is gone when `check` is called.
        in_functions_of: whose instructions: what a predicate of code objects says, or the functions given and those of
            the modules given.
        exception: a class, or what makes an exception.
        handler: called instead of raising: what a signal handler or a finalizer does that returns.
        prepare: called before each run and left alone; what it returns is passed to `call`, `handler` and `check`.
        check: called after each run. When it raises, a note says where the interrupt was.
        visits: how often an instruction is interrupted at most. A loop comes by it many times in one run.
        only_after_calls: whether to leave out all instructions but those where CPython does look at signals: as a function
            begins, after a call and as a loop goes round. For clean-up code, which has instructions that nothing covers; and
            where several runs share the work.
        share: k and n, to have an interrupt at each n-th instruction alone, from the k-th on.
        spare: functions that are left alone, with what they call. Say where you use it why it cannot be otherwise.
        may_raise: what else an interrupted run may raise.
        may_return: whether an interrupted run may return as if nothing had been. It always may where the interrupt came
            in a finalizer, as nobody gets the exceptions of those.
        limit: how many runs are too many.

    Returns:
        The number of interrupts there are to place; with `share` to within n.
    """
    counts, spared = _predicate(in_functions_of), {function.__code__ for function in spare}
    gc.collect()
    gc.freeze()  # so that the collection after each run is short; not undone, as the collections of later tests are, too
    for number in range(share[0], limit, share[1]):
        arguments = () if prepare is None else (prepare(),)
        strike = _raiser(exception) if handler is None else partial(handler, *arguments)
        interrupt = _Interrupt(number, counts, spared, strike, visits, only_after_calls)
        try:
            interrupt.judge(interrupt.during(call, arguments), may_raise, may_return)
            _check(check, arguments)
        except BaseException as error:
            error.add_note(f"The interrupt, number {number}, was {interrupt.place or 'nowhere'}.")
            raise
        if interrupt.place is None:
            return number
    raise AssertionError(f"{limit} runs were interrupted, and there is no end of them")


def _check(check: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    """Checks what a run has left, without its garbage."""
    if FREE_THREADED:  # nothing is frozen there: a collection takes longer than a run, and few runs need one
        try:
            if check is not None:
                check(*arguments)
        except (Exception, pytest.fail.Exception):
            pass  # perhaps because of garbage
        else:
            return
    gc.collect()
    if check is not None:
        check(*arguments)


def _raiser(exception: Callable[[], BaseException]) -> Callable[[], Any]:
    def strike() -> None:
        raise exception()

    return strike


def _predicate(places: Places) -> Callable[[CodeType], bool]:
    if callable(places):
        return places
    every = list(places)
    files = {each.__file__ for each in every if isinstance(each, ModuleType)}
    codes = {each.__code__ for each in every if isinstance(each, FunctionType)}
    return lambda code: code.co_filename in files or code in codes


class _Interrupt:
    """The interrupt of one run.

    Attributes:
        place: where it was, for a message; None as long as it was nowhere.
    """

    def __init__(
        self,
        number: int,
        counts: Callable[[CodeType], bool],
        spared: set[CodeType],
        strike: Callable[[], Any],
        visits: int,
        only_after_calls: bool,
    ) -> None:
        self.place: str | None = None
        self._left, self._counts, self._spared, self._strike = number, counts, spared, strike
        self._visits, self._visited = visits, Counter[tuple[int, int, str]]()
        self._only_after_calls, self._before = only_after_calls, dict[int, str]()
        self._raised: BaseException | None = None
        self._in_finalizer = False
        self._process = os.getpid()

    def during(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> BaseException | None:
        """Runs, and returns what was raised."""
        trace, hook = sys.gettrace(), sys.unraisablehook

        def unraisable(unraisable: Any) -> None:
            if unraisable.exc_value is self._raised:
                self._in_finalizer = True
            else:
                hook(unraisable)

        sys.unraisablehook = unraisable
        # CPython 3.12 has events of opcodes from a settrace on that comes after some frame has wanted them.
        sys._getframe().f_trace_opcodes = True
        try:
            sys.settrace(self._trace)
            call(*arguments)
        except BaseException as error:
            return error
        finally:
            sys.settrace(trace)
            sys.unraisablehook = hook
        return None

    def judge(self, ended: BaseException | None, may_raise: tuple[type[BaseException], ...], may_return: bool) -> None:
        """Raises what is not as it should be in the end of a run. Lets go of the exceptions, and so of the frames."""
        raised, self._raised = self._raised, None
        if ended is None:
            if raised is not None and not self._in_finalizer and not may_return:
                raise AssertionError("the run has returned, although it was interrupted")
        elif raised is None:
            raise ended
        elif not isinstance(ended, (type(raised), *may_raise)):
            raise AssertionError(f"the run was interrupted and raised another exception: {ended!r}") from ended

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if os.getpid() != self._process:
            sys.settrace(None)
            return None
        if event == "call":
            if not self._counts(frame.f_code) or self._is_spared(frame):
                return None
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
            frame.f_trace = self._trace  # in this order: CPython 3.13 looks at the one as it gets the other
        before = self._before.get(id(frame), "")
        if event == "opcode":
            self._before[id(frame)] = _names(frame)[0]
        if event == "call" or (event == "opcode" and not _in_bookkeeping(frame)):
            self._visit(frame, event, before)
        return self._trace

    def _is_spared(self, frame: FrameType | None) -> bool:
        while self._spared and frame is not None:
            if frame.f_code in self._spared:
                return True
            frame = frame.f_back
        return False

    def _visit(self, frame: FrameType, event: str, before: str) -> None:
        if event == "opcode":
            if frame.f_lasti in _unguarded(frame.f_code):
                return
            if self._only_after_calls and not before.startswith(("CALL", "JUMP_BACKWARD", "RESUME")):
                return
        at = id(frame.f_code), frame.f_lasti, event
        self._visited[at] += 1
        if self.place is not None or self._visited[at] > self._visits:
            return
        if self._left == 0:
            self.place = _describe(frame, event)
            try:
                self._strike()
            except BaseException as error:
                self._raised = error
                raise
            return
        self._left -= 1


@cache
def _unguarded(code: CodeType) -> frozenset[int]:
    """The offsets of NOPs, and of what a `with` block that is left without an exception calls ``__exit__`` by: three times
    None, and the call."""
    instructions = [each for each in dis.get_instructions(code) if each.opname != "CACHE"]
    found = [each.offset for each in instructions if each.opname == "NOP"]
    for at in range(len(instructions) - 4):
        nones, calls = instructions[at : at + 3], instructions[at + 3 : at + 5]
        if all(each.opname.startswith("LOAD_CONST") and each.argval is None for each in nones):
            names = [each.opname for each in calls]
            if names[0] == "PRECALL" or names[0].startswith("CALL"):
                found += [each.offset for each in nones + calls[: 2 if names[0] == "PRECALL" else 1]]
    return frozenset(found)


def _names(frame: FrameType) -> list[str]:
    """Of the instruction that comes, and of the next."""
    at = frame.f_lasti
    return [dis.opname[opcode] for opcode in frame.f_code.co_code[at : at + 4 : 2]]


def _in_bookkeeping(frame: FrameType) -> bool:
    """Whether the instruction begins or ends the handling of an exception. The interpreter handles no signals there, and
    would lose count of its exceptions if another was raised."""
    names = _names(frame)
    return names[0] in ("PUSH_EXC_INFO", "POP_EXCEPT") or names == ["COPY", "POP_EXCEPT"]


def _describe(frame: FrameType, event: str) -> str:
    code = frame.f_code
    name = "its entry" if event == "call" else _names(frame)[0]
    line = f"{code.co_filename}:{frame.f_lineno}"
    return f"before {name} in {code.co_qualname}, {line}, offset {frame.f_lasti}"
