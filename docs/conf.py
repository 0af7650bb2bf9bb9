"""Sphinx configuration. `make docs` builds the site, `make docs-quick` does not run the examples.

Works offline: nothing is fetched. Pages of the reference are written by `generate` before reading.
"""

import os
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("MPLBACKEND", "Agg")

project = "neurofm"
author = "The neurofm authors"
copyright = "The neurofm authors, MIT license"
version = release = metadata.version("neurofm")

extensions = [
    "generate",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "examples", "**/_*.md", "**/GALLERY_HEADER.rst"]
default_role = "literal"  # `name` in docstrings is code
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
nitpick_ignore_regex = [("py:.*", ".*")]  # torch, MNE and numpy are not linked: no fetch

# The examples are numbered scripts plot_NN_NAME.py, each executed once; `-D plot_gallery=0` shows
# them without their output.
if list((HERE / "examples").glob("plot_*.py")):
    extensions.append("sphinx_gallery.gen_gallery")
    sphinx_gallery_conf = {
        "examples_dirs": "examples",
        "gallery_dirs": "auto_examples",
        "filename_pattern": r"plot_\d\d_",
        "within_subsection_order": "FileNameSortKey",
        "download_all_examples": False,
        "capture_repr": ("_repr_html_",),  # not the exit status of `neurofm.command`
        "remove_config_comments": True,
        "reset_modules": ("matplotlib",),
        "show_memory": False,
        "write_computation_times": False,
        "plot_gallery": "True",
    }

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "neurofm"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "neurofm"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "compared": []}


def _skip(app, kind, name, obj, skip, options):
    """scikit-learn's generated `set_…_request` refer to its own pages."""
    return True if name.startswith("set_") and name.endswith("_request") else skip


def _where_there(app, name, source):
    """The front page lists examples and results, which may not have been made."""
    if name == "index":
        for other in ("auto_examples/index", "results/index"):
            if not any((HERE / f"{other}{end}").exists() for end in source_suffix):
                source[0] = source[0].replace(f"\n{other}\n", "\n")


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("source-read", _where_there)
