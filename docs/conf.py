"""Sphinx configuration: `sphinx-build -n -W docs docs/_build`."""

project = "kthreads"
author = "the kthreads authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"]
html_theme = "furo"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_use_rtype = False
myst_heading_anchors = 3
