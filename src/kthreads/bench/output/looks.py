"""How each peer is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from kthreads.bench.model.suites import SUITES


@dataclass(frozen=True)
class Look:
    """A colour of the page by its number, a pattern of dashes, and whether the peer is kthreads'."""

    color: int
    dash: str = ""
    ours: bool = False

    @property
    def stroke(self) -> str:
        """The attributes of a line in SVG."""
        dash = f' stroke-dasharray="{self.dash}"' if self.dash else ""
        return f'stroke="var(--c{self.color})"{dash} stroke-width="{2.6 if self.ours else 1.5}"'

    @property
    def fill(self) -> str:
        """The attribute of a filled shape in SVG."""
        return f'fill="var(--c{self.color})"'


LOOKS: dict[str, Look] = {
    "clone": Look(0, ours=True),
    "clone3": Look(0, "5 3", ours=True),
    "reuse": Look(1, ours=True),
    "kthreads": Look(0, ours=True),
    "kthreads-reuse": Look(1, ours=True),
    "kthreads-prepared": Look(1, ours=True),
    "kthreads-executor": Look(1, "5 3", ours=True),
    "kthreads-python": Look(0, "5 3", ours=True),
    "pthread": Look(2),
    "pthread-default": Look(2, "6 3"),
    "pthread-fresh": Look(2, "2 2"),
    "thrd": Look(3),
    "std-thread": Look(4),
    "bare": Look(6),
    "bare3": Look(6, "5 3"),
    "fork": Look(5),
    "vfork-exec": Look(5, "5 3"),
    "libgomp": Look(3),
    "libomp": Look(4),
    "pthreadpool": Look(7),
    "tbb": Look(5),
    "condvar": Look(6),
    "threading": Look(2),
    "_thread": Look(2, "5 3"),
    "ThreadPoolExecutor": Look(2),
    "ThreadPool": Look(3),
    "joblib": Look(4),
    "numba": Look(7),
    "loop": Look(6),
    "numpy": Look(6, "5 3"),
    "scipy": Look(6, "2 2"),
    "processes": Look(5),
    "openmp": Look(3, "5 3"),
}


def look_of(suite: str, peer: str) -> Look:
    """How a peer is drawn in a suite. Where kthreads is a pool, its threads without a pool have a look of their own."""
    return Look(1, "5 3", ours=True) if SUITES[suite].ours == "kthreads" and peer == "clone" else LOOKS[peer]
