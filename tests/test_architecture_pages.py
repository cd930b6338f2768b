"""The pages on the architecture tell the truth: the drawing has the layers' order, and the files and functions exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from layers import layers

ROOT = Path(__file__).parents[1]
EXPLANATION = ROOT / "docs" / "explanation"
PAGES = sorted((EXPLANATION / "calls").glob("*.md"))
NAMED = re.compile(r"`([\w/]+\.(?:py|c)): ([\w.]+)`")


def defined_in_python(path: Path) -> set[str]:
    """The names of functions, classes and methods, the latter with their class."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = {node.name for node in tree.body if isinstance(node, kinds)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, kinds)}
    return found


def defined_in_c(path: Path) -> set[str]:
    return set(re.findall(r"^\w[\w *]*?\b(\w+)\([^;]*\)\n\{", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_function_that_a_page_names_is_in_its_file(page):
    named = NAMED.findall(page.read_text())
    assert len(named) > 8
    for file, name in named:
        if file.endswith(".py"):
            assert name in defined_in_python(ROOT / "src" / "kthreads" / file), f"{file} has no {name}"
        else:
            assert name in defined_in_c(ROOT / "csrc" / file), f"{file} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_is_at_most_a_screen(page):
    assert len(page.read_text().splitlines()) <= 45


def test_the_drawing_has_the_layers_in_their_order():
    drawing = ElementTree.parse(EXPLANATION / "layers.svg")
    boxes = {
        text.text: float(text.get("y"))
        for text in drawing.iter("{http://www.w3.org/2000/svg}text")
        if text.get("class") != "note"
    }
    of_python = {unit.partition("/")[0]: level for level, units in enumerate(layers("python")) for unit in units}
    of_c = {unit: level for level, units in enumerate(layers("c")) for unit in units}
    assert set(boxes) <= set(of_python) | set(of_c)
    folders = {unit for unit in of_python if (ROOT / "src" / "kthreads" / unit).is_dir()}
    assert folders, "the list of layers names folders"
    assert folders <= set(boxes), f"not drawn: {sorted(folders - set(boxes))}"
    for levels in (of_python, of_c):
        drawn = [name for name in boxes if name in levels and name != "_native"]
        for name in drawn:
            for other in drawn:
                if boxes[name] > boxes[other]:
                    assert levels[name] <= levels[other], f"{name} is drawn below {other}"
    assert {
        unit for level in layers("c") for unit in level if unit not in ("arch", "lab", "bench", "python", "call")
    } <= set(boxes)
