"""When to clean up a growing collection, so that cleaning costs little for each object that is added."""

from __future__ import annotations

__all__ = ["DoublingThreshold"]


class DoublingThreshold:
    """The size at which a collection is to be cleaned again: twice the size that it had after the last cleaning.

    A cleaning looks at all objects. As the collection has doubled since the last one, that is at most two objects for each
    one that was added::

        if len(threads) >= threshold.size:
            remove_ended(threads)
            threshold.reset(len(threads))

    Args:
        least: the smallest size; a smaller collection is not worth cleaning.

    Attributes:
        size: clean when the collection has so many objects.
    """

    __slots__ = ("_least", "size")

    def __init__(self, least: int) -> None:
        self._least = least
        self.size = least

    def reset(self, count: int) -> None:
        """The collection was cleaned and has so many objects now."""
        self.size = max(self._least, 2 * count)
