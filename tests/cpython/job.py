"""One thing to run: a module of CPython's test package, or the tests of another package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """What to run, by which program, and for how long.

    Attributes:
        name: the module of the test package; of another package, its tests as pytest takes them.
        only: patterns of the names of the tests to run; all when empty.
        leave_out: patterns of the names of tests that are not run, but get the outcome "expected".
        child: the program that runs it and reports each test, child.py or pytest_child.py.
        folder: the working directory; one of its own when None.
        limit: seconds for one run.
        test_limit: seconds for one test.
    """

    name: str
    only: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    child: Path = HERE / "child.py"
    folder: Path | None = None
    limit: float = 300
    test_limit: float = 60
