"""Text for people, with parts that come from outside: names of files, command lines, messages of other programs."""

from __future__ import annotations

import sys

__all__ = ["complain", "visible"]


def visible(text: str) -> str:
    """A text in which each character that would control a terminal, or be invisible, is written as its escape sequence."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def complain(command: str, message: object) -> None:
    """Prints an error of a command, in one line."""
    print(f"{command}: {visible(str(message))}", file=sys.stderr, flush=True)
