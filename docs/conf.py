"""The documentation: sphinx-build -W docs docs/_build."""

import nnjpeg

project = "nnjpeg"
author = "The nnjpeg developers"
version = release = nnjpeg.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"nnjpeg {version}"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False
myst_heading_anchors = 3
