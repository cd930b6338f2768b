"""Which capabilities a container's program keeps: --cap-add and --cap-drop, with docker's meaning."""

from __future__ import annotations

import argparse

from kthreads.processes.capabilities import CAPABILITIES

__all__ = ["add_capability_options", "kept_capabilities"]

_ALL = "ALL"


def _names(text: str) -> list[str]:
    names = [name.strip().upper().removeprefix("CAP_") for name in text.split(",")]
    for name in names:
        if name != _ALL and name not in CAPABILITIES:
            raise argparse.ArgumentTypeError(f"there is no capability {name!r} (capabilities(7)), and it is not all")
    return names


def kept_capabilities(options: argparse.Namespace) -> list[str]:
    """The names of those to keep. Their order on the command line does not count."""
    added = {name for names in options.cap_add for name in names}
    dropped = {name for names in options.cap_drop for name in names}
    if _ALL not in added:
        return sorted(added)  # none is kept that was not asked for
    return [name for name in CAPABILITIES if name not in dropped]


def add_capability_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options."""
    for words, does in (
        (["--cap-add", "--keep-capability"], "capabilities that the program keeps, or all; none by default"),
        (["--cap-drop"], "capabilities that it does not keep, though --cap-add says all"),
    ):
        parser.add_argument(*words, type=_names, action="append", default=[], metavar="NAME[,NAME…]", help=does)
