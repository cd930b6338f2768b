"""The environment of a container's program: the options that set variables, and what they make together."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

__all__ = ["add_environment_options", "environment_of"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BLANKS = " \t"
_LARGEST_FILE = 8 << 20  # bytes: execve(2) takes 6 MiB of arguments and variables

Variable = tuple[str, str | None]
"""A name and a value; None for a variable that the program is not to have."""


def environment_of(options: argparse.Namespace, home: str | None) -> dict[str, str]:
    """The environment of the program. It inherits this process's variables only without --root.

    Args:
        options: of the command.
        home: the home folder of the program's user, if it is known.
    """
    if options.clear_env:
        variables = {}
    elif options.root is None:
        variables = dict(os.environ)
    else:
        variables = {"PATH": _PATH, "HOME": home or "/root", "TERM": os.environ.get("TERM", "dumb")}
    for name, value in [*(each for file in options.env_file for each in file), *options.env]:
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    return variables


def _variable(text: str) -> Variable:
    name, has_value, value = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"not NAME=VALUE or NAME: {text!r}")
    return name, value if has_value else os.environ.get(name)


def _file(path: str) -> list[Variable]:
    """The variables of a file, as docker reads it: one a line, without quotes."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path!r} cannot be read: {getattr(error, 'strerror', error)}") from None
    if len(data) > _LARGEST_FILE:
        raise argparse.ArgumentTypeError(f"{path!r} has more than {_LARGEST_FILE >> 20} MiB, which no program can get")
    return list(_lines(path, os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))))


def _lines(path: str, text: str) -> Iterator[Variable]:
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r").lstrip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        name, has_value, value = line.partition("=")
        if not name or set(name) & set(_BLANKS) or "\0" in line:
            raise argparse.ArgumentTypeError(f"{path!r}, line {number}: not NAME=VALUE or NAME: {line!r}")
        if has_value or name in os.environ:
            yield name, value if has_value else os.environ[name]


def add_environment_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument_group("environment").add_argument
    add(
        "-e",
        "--env",
        type=_variable,
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="set a variable, or pass on the caller's; a variable that the caller does not have is unset",
    )
    add(
        "--env-file",
        type=_file,
        action="append",
        default=[],
        metavar="FILE",
        help="set the variables of a file: NAME=VALUE, or NAME to pass one on, in each line; # begins a comment",
    )
    add("--clear-env", "--clearenv", action="store_true", help="set no other variables than these")
