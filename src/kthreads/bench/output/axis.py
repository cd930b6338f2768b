"""An axis of a plot: from values to pixels, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` to pixels from `begin` to `end`.

    Attributes:
        log: whether the scale is logarithmic.
        format: the text of a tick.
    """

    low: float
    high: float
    begin: float
    end: float
    log: bool = True
    label: str = ""
    format: Callable[[float], str] = "{:g}".format

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        begin: float,
        end: float,
        *,
        log: bool = True,
        label: str = "",
        format: Callable[[float], str] = "{:g}".format,
    ) -> Axis:
        """An axis that has all values, with some room at its ends."""
        found = [value for value in values if value > 0 or not log] or [1.0]
        low, high = min(found), max(found)
        if log:
            low, high = low / 1.12, high * 1.12
            if high / low < 4:  # a decade's ticks need room
                middle = math.sqrt(low * high)
                low, high = middle / 2, middle * 2
        else:
            low, high = min(0.0, low), high * 1.05 or 1.0
        return cls(low, high, begin, end, log, label, format)

    def at(self, value: float) -> float:
        """The pixel of a value. Values beyond the axis are at its ends."""
        value = min(max(value, self.low), self.high)
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        fraction = (value - low) / (high - low)
        return self.begin + fraction * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values, some seven at most."""
        if not self.log:
            rough = (self.high - self.low) / 6
            power = 10 ** math.floor(math.log10(rough))
            step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
            return [number * step for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**decade for decade in decades for step in steps]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= 7:
                break
        return found[:: len(found) // 8 + 1]
