"""Sphinx configuration: `sphinx-build -n -W docs docs/_build`."""

import tomllib
from pathlib import Path

project = "kthreads"
author = "the kthreads authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"]
html_theme = "furo"
exclude_patterns = ["_build", "_flags.md"]
html_extra_path = ["results/report.html"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_mock_imports = ["distributed", "joblib", "threadpoolctl"]
napoleon_use_rtype = False
napoleon_attr_annotations = False
myst_heading_anchors = 3
myst_enable_extensions = ["substitution"]


def differences() -> str:
    """The tests of CPython that are expected to fail with the classes of kthreads, as Markdown."""
    entries = tomllib.loads((Path(__file__).parents[1] / "tests/cpython/expected.toml").read_text())["difference"]
    return "\n\n".join(paragraph(**entry) for entry in entries)


def paragraph(title: str, why: str, tests: list[str], pythons: list[str] | None = None) -> str:
    where = f" On Python {', '.join(pythons)} only." if pythons else ""
    return f"**{title}.** {why.strip()}{where}\n\n" + "\n".join(f"- `{test}`" for test in tests)


myst_substitutions = {"differences": differences()}
# Exceptions of the standard library's modules, whose documentation is not read here.
nitpick_ignore = [
    ("py:exc", "subprocess.TimeoutExpired"),
    ("py:exc", "concurrent.futures.CancelledError"),
    ("py:exc", "queue.Full"),
]
