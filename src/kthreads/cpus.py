"""The numbers of CPUs that a thread or process is to run on."""

from __future__ import annotations

from collections.abc import Iterable

from kthreads.integers import integer

__all__ = ["check_cpus"]


def check_cpus(cpus: Iterable[int]) -> set[int]:
    """The set of these numbers of CPUs. Raises TypeError and ValueError where one is not the number of a CPU."""
    if not isinstance(cpus, Iterable):
        raise TypeError(f"cpus must be the numbers of CPUs, not {type(cpus).__name__}")
    chosen = {integer("each of cpus", cpu) for cpu in cpus}
    if not chosen:
        raise ValueError("cpus must name at least one CPU")
    if not all(0 <= cpu < 1 << 16 for cpu in chosen):
        raise ValueError(f"cpus must be CPU numbers, not {sorted(chosen)}")
    return chosen
