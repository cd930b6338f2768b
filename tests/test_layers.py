"""Arrows run one way: every file uses only what lies in a lower layer, and no file uses itself by way of others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from layers import arrows_that_run_up, circles, layers

PACKAGE = Path(__file__).parents[1] / "src" / "kthreads"
FILES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): path
    for path in PACKAGE.rglob("*.py*")
    if path.suffix != ".pyc"
}


def names_of(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a file may import, wherever it does so: at its top, in a function, for types alone, or by the
    name of a module in a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_module(node.value):
            yield node.value


def is_module(name: str) -> bool:
    return name.startswith("kthreads.") and name.removeprefix("kthreads.").replace(".", "/") in FILES


def file_of(name: str) -> str | None:
    """The file that a dotted name is imported from: a module, a folder's __init__, or the one that a name of theirs is in."""
    if name != "kthreads" and not name.startswith("kthreads."):
        return None
    path = name.removeprefix("kthreads").removeprefix(".").replace(".", "/")
    while path not in FILES and f"{path}/__init__".removeprefix("/") not in FILES:
        path = path.rpartition("/")[0]
    return path if path in FILES else f"{path}/__init__".removeprefix("/")


def uses_of_python() -> dict[str, set[str]]:
    uses = {}
    for file, path in FILES.items():
        found = {file_of(name) for name in names_of(ast.parse(path.read_text()))}
        uses[file] = {used for used in found if used is not None} - {file}
    return uses


def test_python_uses_lower_layers_alone():
    assert arrows_that_run_up(uses_of_python(), layers("python")) == []


def test_python_has_no_circles():
    assert circles(uses_of_python()) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from kthreads.pools import pool", "kthreads.pools.pool"),
        ("def f():\n    import kthreads.cli", "kthreads.cli"),
        ("if TYPE_CHECKING:\n    from kthreads.errors import FlagError", "kthreads.errors.FlagError"),
        ("importlib.import_module('kthreads.cli.demo')", "kthreads.cli.demo"),
    ],
)
def test_every_form_of_an_import_is_seen(text, name):
    assert name in set(names_of(ast.parse(text)))


def test_a_name_of_a_module_is_imported_from_the_module():
    assert file_of("kthreads.pools.pool.Pool") == "pools/pool"
    assert file_of("kthreads.flags.text") == "flags/text"
    assert file_of("kthreads.flags") == "flags/__init__"
    assert file_of("kthreads.Pool") == "__init__"
    assert file_of("os.path") is None


def test_an_arrow_that_runs_up_names_both_files():
    uses = {"low/a": {"high/b"}, "high/b": set()}
    assert arrows_that_run_up(uses, [{"low"}, {"high"}]) == ["low/a uses high/b, which is in no lower layer"]


def test_a_file_of_no_layer_is_named():
    assert arrows_that_run_up({"new": set()}, [{"low"}]) == ["new belongs to no layer"]


def test_a_circle_names_its_files():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a uses b uses c uses a"]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
