"""The pages of the documentation: `nox -s pages` builds them in build/pages."""

import sys
from pathlib import Path

import seqjax

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER / "pages"))

project, author, copyright = "seqjax", "The seqjax authors", "The seqjax authors"
version = release = seqjax.__version__
extensions = [
    *("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.apidoc"),
    *("sphinx.ext.viewcode", "sphinx_copybutton", "myst_nb", "docstrings"),
]
exclude_patterns = ["pages", "tutorials/*.py"]

html_theme, html_title = "furo", "seqjax"
html_static_path, html_css_files = ["pages"], ["pages.css"]

apidoc_modules = [
    {
        "path": "../seqjax",
        "destination": "api",
        "separate_modules": True,
        "module_first": True,
        "automodule_options": {"members"},
    }
]
autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
default_role = "py:obj"  # a link where there is such a name
napoleon_custom_sections = ["Source", "Shapes"]
napoleon_use_rtype, napoleon_use_ivar = False, True
suppress_warnings = [
    "ref.python",  # a name of several modules links to the first
    "myst.xref_missing",  # files outside docs/; a test follows all links
]

nb_execution_mode = "off"  # the notebooks hold their outputs; a test runs them
myst_heading_anchors = 3
