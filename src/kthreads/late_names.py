"""Names of a package that are imported from its modules when one of them is first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

__all__ = ["late_names"]


def late_names(
    package: str, places: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: its name.
        places: each module, and the names that the package has from it; the module itself is meant by its own last part.
    """
    place_of = {name: place for place, names in places.items() for name in names}

    def find(name: str) -> object:
        if name not in place_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        if place_of[name] == f"{package}.{name}":
            return import_module(place_of[name])
        found = getattr(import_module(place_of[name]), name)
        return vars(sys.modules[package]).setdefault(name, found)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *place_of})

    return find, names
