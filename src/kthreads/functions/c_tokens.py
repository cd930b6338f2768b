"""The tokens of C: words, numbers, strings and punctuation, without comments."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Token", "is_word", "tokens_of"]

_TOKEN = re.compile(
    r"""(?P<comment> /\*.*?\*/ | //[^\n]*)
      | (?P<word> [A-Za-z_]\w*)
      | (?P<number> \.?\d (?: [eEpP][+-] | [\w.] | '(?=\w) )*)
      | (?P<string> [\"](?:[^\"\\\n]|\\.)*[\"] | '(?:[^'\\\n]|\\.)*')
      | (?P<punctuation> \.\.\. | << | >> | <= | >= | == | != | && | \|\| | :: | -> | \S)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Token(NamedTuple):
    """A token, and the line that it begins in."""

    text: str
    line: int


def tokens_of(text: str, line: int = 1) -> list[Token]:
    """The tokens of a text whose first line has this number."""
    found = []
    at = 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", at, match.start())
        at = match.start()
        if match.lastgroup != "comment":
            found.append(Token(match[0], line))
    return found


def is_word(token: str) -> bool:
    """Whether it is a name or a keyword."""
    return token[:1].isalpha() or token[:1] == "_"
