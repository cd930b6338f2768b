"""Sphinx configuration: `sphinx-build -n -W docs docs/_build`."""

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
# Exceptions of the standard library's modules, whose documentation is not read here.
nitpick_ignore = [
    ("py:exc", "subprocess.TimeoutExpired"),
    ("py:exc", "concurrent.futures.CancelledError"),
    ("py:exc", "queue.Full"),
]
