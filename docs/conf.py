"""The documentation: sphinx-build -W docs docs/_build."""

import sys
from pathlib import Path

import nnjpeg

sys.path.insert(0, str(Path(__file__).parent))  # for commands.py

project = "nnjpeg"
author = "The nnjpeg developers"
version = release = nnjpeg.__version__
extensions = ["commands", "myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
smartquotes = False  # they would make a dash of the two in --option
html_theme = "furo"
html_title = f"nnjpeg {version}"
html_static_path = ["_static"]
html_css_files = ["nnjpeg.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
numpydoc_show_class_members = False
myst_heading_anchors = 3
