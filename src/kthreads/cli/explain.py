"""`kthreads explain`: what flags do, and whether the kernel would accept them."""

from __future__ import annotations

import argparse
import signal

from kthreads.cli.message import complain
from kthreads.cli.parser import Parser
from kthreads.flags.explanation import explain
from kthreads.flags.rule_model import APIS
from kthreads.flags.text import CALLERS, parse

__all__ = ["add_arguments"]


def _signal_number(word: str) -> int:
    name = f"SIG{word.upper().removeprefix('SIG')}"
    if not word.isdigit() and name not in signal.Signals.__members__:
        raise argparse.ArgumentTypeError(f"no signal: {word}")
    return int(word) if word.isdigit() else int(signal.Signals[name])


def _likely_api(words: str) -> str:
    """The system call of the named caller; clone if the low byte holds an exit signal, as strace prints it."""
    number, _, named = parse(words)
    return named or ("clone" if number & 0x7F else "clone3")


def _run(options: argparse.Namespace) -> int:
    words = "|".join(options.flags)
    try:
        api = options.api or _likely_api(words)
        explanation = explain(words, api, exit_signal=options.exit_signal)
    except ValueError as error:
        complain("kthreads explain", error)
        return 2
    print(explanation)
    return 0 if explanation.valid else 1


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `explain`."""
    parser.description = (
        "Exit status: 0 if the kernel would accept the flags from the caller, 1 if not, 2 for a usage error."
    )
    parser.add_argument(
        "flags",
        nargs="+",
        metavar="FLAGS",
        help=f"CLONE_VM|CLONE_FILES, vm files, 0x3d0f00, SIGCHLD, or a caller: {', '.join(CALLERS)}",
    )
    parser.add_argument("--api", choices=APIS, help="the system call (default: guessed from FLAGS)")
    parser.add_argument("--exit-signal", type=_signal_number, metavar="SIGNAL", help="a name or number from signal(7)")
    parser.set_defaults(run=_run)
