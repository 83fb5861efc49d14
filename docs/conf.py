"""How Sphinx builds these pages: ``sphinx-build -W --keep-going -n -b html docs FOLDER``.

The pages are plain markdown that reads as well without Sphinx. Added here are the tree of pages, which is the list of
``index.md``, and the docstrings of ``api.md``; links to markdown outside this folder become words.
"""

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import pages

project = "beyond_chinchilla"
version = release = version_of("beyond-chinchilla")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "beyond_chinchilla"
html_show_copyright = False
html_copy_source = False

# Links to a heading are checked like links to a page.
myst_heading_anchors = 4
suppress_warnings: list[str] = []
# The types of docstrings are words for people ("numeric"), not names to look up.
nitpick_ignore_regex = [("py:.*", ".*")]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

_LINK = re.compile(r"\]\((\w[\w-]*)\.md\)")
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[\w/]+\.md(?:#[\w-]+)?\)")


def _complete(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add to a page what only Sphinx can show, and take away what it cannot."""
    source[0] = _OUTSIDE.sub(r"\1", source[0])
    if page == "index":
        listed = "\n".join(dict.fromkeys(_LINK.findall(source[0])))
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    elif page == "api":
        source[0] += f"\n{pages.docstrings()}\n"


def setup(app: Sphinx) -> None:
    """Connect the additions."""
    app.connect("source-read", _complete)
