"""The command `kthreads`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kthreads import __version__, demo, doctor


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kthreads", description="Linux kernel threads for native functions.")
    parser.add_argument("--version", action="version", version=f"kthreads {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (demo, doctor):
        module.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 when a command failed, 2 for bad usage, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
