"""Times as text."""

from __future__ import annotations


def time_of(ns: float) -> str:
    """Nanoseconds with three digits and the unit that suits them."""
    units = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
    unit, name = next((each for each in units if abs(ns) >= each[0]), units[-1])
    value = ns / unit
    return f"{value:.0f} {name}" if abs(value) >= 100 or unit == 1 else f"{value:.3g} {name}"
