"""The commands of docs/howto/exec.md print what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_python

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "howto" / "exec.md").read_text()
SESSIONS = re.findall(r"^```\n(\$ .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The programs of the page, compiled."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(DOCS / "examples" / "exec", folder, dirs_exist_ok=True)
    for command in re.findall(r"^\$ (cc .*)$", PAGE, re.MULTILINE):
        subprocess.run(command, shell=True, cwd=folder, check=True)
    return folder


def commands_of(session: str) -> list[str]:
    return re.findall(r"^\$ (.*)$", session, re.MULTILINE)


def output_of(session: str) -> list[str]:
    """What the page shows of the last command, but for the table on the standard error."""
    shown = session.rpartition("\n$ ")[2].splitlines()[1:]
    return shown[: shown.index("")] if "" in shown else shown


def shape_of(table: str) -> list[str]:
    """The names of a table's rows, with the counts that do not depend on the scheduler."""
    rows = re.findall(r"^(\S.*?)  +(.*?) *$", table, re.MULTILINE)
    varies = re.compile("p99|alive|reused")
    return [name if varies.search(name) else f"{name}: {value}" for name, value in rows]


@pytest.mark.parametrize("session", [session for session in SESSIONS if "kthreads exec" in session])
def test_a_session_goes_as_shown(session, folder):
    for command in commands_of(session):
        if "xz" in command and shutil.which("xz") is None:
            pytest.skip("no xz")
        words = command.replace("python3", sys.executable)
        words = re.sub("^kthreads", f"{sys.executable} -m kthreads", words)
        variables = {**os.environ, "COLUMNS": "100"}
        done = subprocess.run(words, shell=True, cwd=folder, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == output_of(session)
    there, shown = (shape_of(text) for text in (done.stderr, session.partition("\n\n")[2]))
    assert there == shown
    assert len(there) > 8


def test_the_page_has_a_session_of_each_kind():
    assert sum("kthreads exec" in session for session in SESSIONS) == 5
    assert sum("kthreads compare" in session for session in SESSIONS) == 1
