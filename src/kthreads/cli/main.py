"""The command `kthreads`."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence

from kthreads import __version__
from kthreads.cli.output import Streams, WriteError
from kthreads.cli.parser import Parser

# The module of each command, which is imported when the command is asked for, and what it does.
COMMANDS = {
    "demo": ("kthreads.cli.demo", "checksum files on one kernel thread per CPU"),
    "doctor": ("kthreads.cli.doctor", "report what was found of the kernel, the libc and the limits"),
    "bench": ("kthreads.cli.bench", "measure threads, regions and tasks beside their peers"),
    "explain": ("kthreads.cli.explain", "explain flags of clone, and why the kernel would refuse them"),
    "lab": ("kthreads.cli.lab", "show what a flag of clone does, by an experiment"),
    "config": ("kthreads.cli.config", "print what a compiler needs for a C or C++ program that uses kthreads"),
    "exec": ("kthreads.cli.exec", "run a program with its threads made by clone"),
    "compare": ("kthreads.cli.compare", "run a program on libc's threads and on ours, and say what differs"),
    "unshare": ("kthreads.cli.unshare", "run a program in namespaces of its own"),
    "nsenter": ("kthreads.cli.nsenter", "run a program in the namespaces of another process"),
    "run": ("kthreads.cli.run", "run a program in a small container"),
    "ps": ("kthreads.cli.ps", "show the tree of namespaces and the processes in them"),
}


def _parser(words: list[str], asked: str | None) -> Parser:
    """The parser of a command line. It knows the other commands only where the first word is none: each takes a millisecond."""
    parser = Parser(prog="kthreads", description="Linux kernel threads for native functions.")
    parser.add_argument("--version", action="version", version=f"kthreads {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    known = {asked: COMMANDS[asked]} if asked in COMMANDS and words[0] == asked else COMMANDS
    for name, (module, does) in known.items():
        command = commands.add_parser(name, help=does)
        if name == asked:
            importlib.import_module(module).add_arguments(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 when a command failed or its output could not be written, 2 for
    bad usage, 130 after Ctrl-C.

    Commands that run a program end as that program ends.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = next((word for word in words if not word.startswith("-")), None)
    is_program = arguments is None
    if is_program:
        # A parent may have set it to be ignored, and then the exit statuses of our children would be lost.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with Streams(own_process=is_program):
        try:
            return _run(words, asked)
        except KeyboardInterrupt:
            return 130
        except WriteError as error:
            if error.is_told:
                print(f"kthreads {asked or ''}".rstrip() + f": {error}", file=sys.stderr)
            return 1


def _run(words: list[str], asked: str | None) -> int:
    try:
        options = _parser(words, asked).parse_args(words)
        return int(options.run(options))
    finally:
        sys.stdout.flush()
