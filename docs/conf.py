"""Settings of the documentation site, built by `tox -e docs-site`."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

import xmcbench

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "xmcbench"
author = "the xmcbench developers"
copyright = author
version = release = xmcbench.__version__
html_title = f"xmcbench {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build", "_ext", "jupyter_execute"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]
highlight_language = "text"

nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True

autodoc_typehints = "none"  # signatures have them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_sidebars = {"**": []}  # the pages are in one flat list, which the header has
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 4,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}


def setup(app: Sphinx) -> None:
    """Write the pages that come from code before Sphinx looks for pages; adapt docstrings."""
    from docstrings import indent_meanings
    from generated_pages import write_pages

    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / "generated"))
    app.connect("autodoc-process-docstring", indent_meanings, priority=400)  # before numpydoc
