# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Settings of Sphinx, which makes the site of docs/ and of the docstrings: `make docs`."""

from __future__ import annotations

import os
import re
import sys
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

import scene_geo_loc

project = "scene_geo_loc"
author = "The scene_geo_loc authors"
copyright = f"{date.today():%Y}, {author}"
version = release = scene_geo_loc.__version__

root_doc = "README"
exclude_patterns = ["site"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "api_pages",
    "shared_work",
]

html_theme = "furo"
html_title = f"scene_geo_loc {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
smartquotes = False  # dashes of options stay as they are typed
html_theme_options = {
    # The fonts of the reader's machine: the site loads nothing from elsewhere.
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "font-stack--monospace": "monospace"},
}

default_role = "py:obj"  # a name between single backticks is a link where the name is known
autoclass_content = "both"
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "show-inheritance": True,
    "ignore-module-all": True,  # a name is described where it is defined
}
autodoc_typehints_format = "short"
# A whole ROS 2 has these; the wheels that stand in for it have not.
autodoc_mock_imports = [] if find_spec("launch_ros") else ["launch", "launch_ros"]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

REPOSITORY = "https://github.com/scene-geo-loc/scene_geo_loc/blob/main"
LINK = re.compile(r"\]\(((?:\w+/)*\w+)\.md\)")
LINK_OUT = re.compile(r"\]\((\.\./[^)#\s]*)")


def adapt_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Makes a page's links to files outside docs/ links to the repository."""
    folder = (Path(app.srcdir) / page).parent

    def replaced(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link[1]))
        if target.is_relative_to(app.srcdir):
            return link[0]
        return f"]({REPOSITORY}/{target.relative_to(Path(app.srcdir).parent)}"

    source[0] = LINK_OUT.sub(replaced, source[0])


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Makes the contents of the site of the links in each README.md, section by section."""
    if Path(page).name != "README":
        return
    contents = []
    for section in source[0].split("\n## "):
        pages = "\n".join(dict.fromkeys(LINK.findall(section)))
        if pages:
            caption = f":caption: {section.splitlines()[0]}\n" if page == root_doc else ""
            contents.append(f"```{{toctree}}\n:hidden:\n{caption}\n{pages}\n```\n")
    if page == root_doc:
        contents.append("```{toctree}\n:hidden:\n:caption: Reference\n\napi/commands\napi/index\n```\n")
    source[0] += "\n\n" + "\n".join(contents)


def setup(app: Sphinx) -> None:
    """Registers what this file adds to Sphinx."""
    app.connect("source-read", adapt_links)
    app.connect("source-read", add_contents)
