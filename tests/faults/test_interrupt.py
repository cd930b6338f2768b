"""The helper that places interrupts: that it misses no instruction, and what it tells."""

from __future__ import annotations

import contextlib
import dis
import functools
import os
import sys

import interrupt
import pytest

at_every_opcode = functools.partial(interrupt.at_every_opcode, share=(0, 1), only_after_calls=False)
SELF = [sys.modules[__name__]]


def straight(log):
    log.append("begun")
    value = len(log)
    log.append("done")
    return value


def looped(log):
    for number in range(100):
        log.append(number)


def guarded(log):
    try:
        log.append("made")
    finally:
        log.append("clean")


class Finalized:
    def __del__(self):
        self.value = 1


def drops(log):
    Finalized()
    log.append("done")


def test_every_instruction_of_a_function_is_interrupted_once():
    instructions = [each for each in dis.get_instructions(straight) if each.opname != "CACHE"]
    runs = []
    count = at_every_opcode(straight, [straight], prepare=list, check=runs.append)
    assert count == len(instructions)  # RESUME for the entry
    assert runs[0] == []
    assert runs[-1] == ["begun", "done"]
    assert ["begun"] in runs


def test_a_loop_is_interrupted_in_as_many_rounds_as_asked_for():
    seen = []
    once = at_every_opcode(looped, [looped], prepare=list, visits=1)
    thrice = at_every_opcode(looped, [looped], prepare=list, visits=3, check=lambda log: seen.append(len(log)))
    assert once < thrice < 3 * once
    assert sorted(set(seen)) == [0, 1, 2, 3, 100]


def test_clean_up_after_an_interrupt_is_left_alone():
    def check(log):
        assert "made" not in log or "clean" in log

    # The instructions of the clean-up itself are interrupted where they are come by without an interrupt.
    with pytest.raises(AssertionError) as caught:
        at_every_opcode(guarded, [guarded], prepare=list, check=check)
    assert "in guarded" in caught.value.__notes__[0]
    assert __file__ in caught.value.__notes__[0]


def test_an_interrupt_in_a_finalizer_goes_nowhere():
    through = []
    at_every_opcode(drops, SELF, prepare=list, check=lambda log: through.append(log == ["done"]))
    assert through.count(True) > 2


def test_functions_can_be_spared_with_what_they_call():
    def outer(log):
        straight(log)

    assert at_every_opcode(outer, SELF, prepare=list, spare=[outer]) == 0
    assert at_every_opcode(outer, SELF, prepare=list, spare=[straight]) < at_every_opcode(outer, SELF, prepare=list)


def test_what_swallows_an_interrupt_is_found():
    def swallows():
        with contextlib.suppress(KeyboardInterrupt):
            straight([])

    with pytest.raises(AssertionError, match="has returned, although"):
        at_every_opcode(swallows, [straight])
    assert at_every_opcode(swallows, [straight], may_return=True) > 0


def test_what_hides_an_interrupt_behind_another_exception_is_found():
    def hides():
        try:
            straight([])
        except KeyboardInterrupt:
            raise LookupError from None

    with pytest.raises(AssertionError, match="LookupError"):
        at_every_opcode(hides, [straight])
    assert at_every_opcode(hides, [straight], may_raise=(LookupError,)) > 0


def test_an_exception_of_the_run_itself_comes_out_as_it_is():
    def fails(log):
        return log[0]

    with pytest.raises(IndexError):
        at_every_opcode(fails, SELF, prepare=list)


def test_forked_children_are_not_interrupted():
    def forks():
        pid = os.fork()
        if pid == 0:
            try:
                straight([])
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0

    assert at_every_opcode(forks, [straight]) == 0


def test_the_trace_function_of_before_is_restored():
    before = sys.gettrace()
    at_every_opcode(straight, [straight], prepare=list)
    assert sys.gettrace() is before


def test_shares_of_the_interrupts_make_up_the_whole():
    def interrupted(*share):
        logs = []
        interrupt.at_every_opcode(
            straight, [straight], prepare=list, check=logs.append, share=share, only_after_calls=False
        )
        return logs[:-1]  # the last run has no interrupt

    assert sorted([*interrupted(0, 3), *interrupted(1, 3), *interrupted(2, 3)]) == sorted(interrupted(0, 1))
