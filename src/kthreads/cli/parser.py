"""Command lines as getopt(3) reads them: what people know from util-linux."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from kthreads.cli.message import visible

__all__ = ["Parser"]

_COLUMNS = 80


class _Formatter(argparse.HelpFormatter):
    """As wide as the terminal. The one of argparse imports shutil to ask for that, which takes longer than all that a command
    does with its options."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"width": _columns() - 2} | options)


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        return int(columns)
    with contextlib.suppress(OSError):
        return os.get_terminal_size(1).columns or _COLUMNS
    return _COLUMNS


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that can stop at the first word that is no option, and leave the rest to `options.program`.

    Values that may be left out are part of their word then: ``--mount=FILE``, not ``--mount FILE``.
    """

    _runs_program = False
    _short_values = False
    _needs_program = False
    _failure = 2

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter} | options)

    def run_program(self, *, short_values: bool, failure: int, required: bool = False) -> None:
        """Makes it the parser of a command that runs a program.

        Args:
            short_values: whether a value that may be left out may follow a short option: ``-mFILE``. Else short options
                without one can be strung together: ``-mun``.
            failure: the exit status for bad usage.
            required: whether there must be a program.
        """
        self._runs_program, self._short_values, self._failure = True, short_values, failure
        self._needs_program = required
        self.usage = f"{self.prog} [OPTION…] [--] " + ("PROGRAM [ARGUMENT…]" if required else "[PROGRAM [ARGUMENT…]]")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if not self._runs_program:
            return super().parse_known_args(args, namespace)
        options, program = self._split(list(args))
        found, unknown = super().parse_known_args(options, namespace)
        if unknown:
            self.error(f"unrecognized option {unknown[0]}")
        if self._needs_program and not program:
            self.error("no program given: name it after the options")
        found.program = program
        return found, unknown

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self._failure, f"{self.prog}: {visible(message)}\n")

    def _split(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """The options, each as one word, and the rest."""
        options: list[str] = []
        rest = list(words)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            word = rest.pop(0)
            if word == "--":
                break
            if word.startswith("--"):
                needs_value = "=" not in word and self._takes(self._complete(word)) == "value"
                options.append(f"{word}={rest.pop(0)}" if needs_value and rest else word)
            else:
                self._split_short(word[1:], rest, options)
        return options, rest

    def _split_short(self, letters: str, rest: list[str], options: list[str]) -> None:
        while letters:
            option, letters = f"-{letters[0]}", letters[1:]
            takes = self._takes(option)
            if takes == "value" and (letters or rest):
                options.append(f"{self._long(option)}={letters or rest.pop(0)}")
                return
            if takes == "value or nothing" and letters and self._short_values:
                options.append(f"{self._long(option)}={letters}")
                return
            options.append(option)

    def _action(self, option: str) -> argparse.Action | None:
        return next((action for action in self._actions if option in action.option_strings), None)

    def _takes(self, option: str) -> str:
        action = self._action(option)
        if action is None or action.nargs == 0:
            return "nothing"
        return "value or nothing" if action.nargs == "?" else "value"

    def _long(self, option: str) -> str:
        action = self._action(option)
        return option if action is None else max(action.option_strings, key=len)

    def _complete(self, option: str) -> str:
        """An option from its beginning, if only one begins so."""
        every = [each for action in self._actions for each in action.option_strings if each.startswith(option)]
        return every[0] if len(every) == 1 and option not in every else option
