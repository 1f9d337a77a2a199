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

"""Sphinx extension: writes the reference to docs/api/: a page of all commands, and one of each folder.

Commands, folders and modules are found, not listed, so that a new one needs no entry here.
"""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.ext.autodoc.mock import mock
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

import scene_geo_loc

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = Path(scene_geo_loc.__file__).parent
TRAILING_UNDERSCORE = re.compile(r"_\b(?!\w)")
ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[[^\]]*\], ~?numpy\.dtype\[([^\]]*)\]\]")
COLON = "\ue000"  # a character of private use, which no docstring has
CODE_FOLLOWS = re.compile(r"( *)\S.*[^:]:\n\n\1 {4,}\S.*")
FIELD_OF_SEVERAL = re.compile(r":(?:ivar|param) (\w+(?:, \w+)+):")
WHAT_EACH_DOES = {
    "open_traversal": "opens a bag or a dataset",
    "build_map": "builds a reference map of a traversal",
    "MapBuilder": "builds a reference map of frames with known poses, one by one",
    "ReferenceMap": "opens a map that was built",
    "Camera": "the intrinsics of an image",
    "Localizer": "finds the pose of an image in a map",
}


def write_pages(app: Sphinx) -> None:
    """Writes the pages whose content has changed, and removes those of folders that are gone."""
    with mock(app.config.autodoc_mock_imports):
        for path in PACKAGE.rglob("[!_]*.py"):
            # All at once, and before autodoc adds annotations to pydantic's classes that fit no later model.
            import_module(name_of(path))
    out = Path(app.srcdir) / "api"
    out.mkdir(exist_ok=True)
    pages = {name_of(folder): page_of(folder) for folder in folders()}
    rooms = [name for name in pages if name.count(".") == 1]
    pages = {name: with_subfolders(name, text, pages) for name, text in pages.items()}
    pages["index"] = index_of(rooms)
    for stale in {path.stem for path in out.glob("*.rst")} - set(pages):
        (out / f"{stale}.rst").unlink()
    files = {f"{name}.rst": text for name, text in pages.items()} | {"commands.md": commands_page()}
    for name, text in files.items():
        path = out / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def commands_page() -> str:
    """Returns the help of every command as one page in Markdown."""
    command = get_command(import_module("scene_geo_loc.cli.main").app)
    text = get_docs_for_click(obj=command, ctx=Context(command), name="scene-geo-loc", title="Commands")
    assert isinstance(text, str)
    return text


def folders() -> list[Path]:
    """Returns the folders of the package, but for `cli`, whose reference is the help of its commands."""
    found = (path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))
    return sorted(PACKAGE / folder for folder in found if folder.parts and folder.parts[0] != "cli")


def name_of(path: Path) -> str:
    """Returns the dotted name of a folder or file of the package."""
    return ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts))


def heading(text: str, mark: str) -> str:
    """Returns a heading in reStructuredText."""
    return f"{text}\n{mark * len(text)}\n\n"


def page_of(folder: Path) -> str:
    """Returns the page of a folder: the folder's docstring, then each of its modules."""
    name = name_of(folder)
    text = heading(name.removeprefix(f"{PACKAGE.name}."), "=") + f".. automodule:: {name}\n\n"
    for path in sorted(folder.glob("[!_]*.py")):
        text += heading(path.stem, "-") + f".. automodule:: {name_of(path)}\n\n"
    return text


def with_subfolders(name: str, text: str, pages: dict[str, str]) -> str:
    """Returns a folder's page with the contents of the folders in it."""
    children = [child for child in pages if child.rpartition(".")[0] == name]
    return text + toctree(children) if children else text


def index_of(rooms: list[str]) -> str:
    """Returns the first page: the names that `scene_geo_loc` offers, then the folders."""
    text = heading("API reference", "=")
    text += "Import these from the package: ``from scene_geo_loc import Localizer``.\n\n"
    for name, meaning in WHAT_EACH_DOES.items():
        module = scene_geo_loc._MODULES[name]
        role = "class" if name[0].isupper() else "func"
        text += f"* :py:{role}:`{name} <scene_geo_loc.{module}.{name}>`: {meaning}\n"
    text += "\n" + heading("Folders", "-")
    text += "What a robot runs is below ``ros`` in :doc:`the architecture </architecture>`.\n\n"
    for room in rooms:
        docstring = ast.get_docstring(ast.parse((PACKAGE / room.split(".")[1] / "__init__.py").read_text()))
        text += f"* :doc:`{room.split('.')[1]} <{room}>`: {(docstring or '').splitlines()[0]}\n"
    return text + "\n" + toctree(rooms)


def toctree(pages: list[str]) -> str:
    """Returns a hidden table of contents."""
    lines = "".join(f"   {page.rpartition('.')[2]} <{page}>\n" for page in pages)
    return f".. toctree::\n   :hidden:\n\n{lines}\n"


def add_settings(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Lists the fields of settings, which pydantic keeps, with their defaults and meanings."""
    if what != "class" or not (isinstance(obj, type) and issubclass(obj, BaseModel)):
        return
    for field, info in obj.model_fields.items():
        if info.description:
            default = "" if info.default is PydanticUndefined else f" Default: ``{info.default!r}``."
            lines.append(f":ivar {field}: {info.description}.{default}")
    lines.append("")


def hide_colon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keeps napoleon from taking the first half of a constant's "One thing: another." for its type."""
    if what in ("attribute", "data") and lines:
        lines[0] = lines[0].replace(":", COLON)


def escape_lines(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Mends what reads well in a docstring and means something else in reStructuredText.

    Bars are bars, tables and indented code are shown as they stand, several names of one entry stay together,
    and types such as `numpy.str_` are no links.
    """
    escaped = []
    in_table = False
    for line, *following in zip(lines, [*lines[1:], ""], [*lines[2:], "", ""], strict=False):
        if line.startswith("|"):
            if not in_table:
                escaped += ["", "::", ""]
            escaped.append("   " + line)
        else:
            line = line.replace(COLON, ":")
            if CODE_FOLLOWS.fullmatch("\n".join([line, *following])):
                line += ":"
            names = FIELD_OF_SEVERAL.match(line)
            line = line.replace(names[1], names[1].replace(", ", ",")) if names else line
            if line.startswith((":type", ":vartype")):
                line = TRAILING_UNDERSCORE.sub(r"\\_", short_types(line))
            between_backticks = line.split("`")
            between_backticks[::2] = [text.replace("|", "\\|") for text in between_backticks[::2]]
            escaped += [""] * in_table + ["`".join(between_backticks)]
        in_table = line.startswith("|")
    lines[:] = escaped


def short_types(text: str) -> str:
    """Returns types of arrays as they are written in the code: `NDArray[numpy.float64]`."""
    return ARRAY.sub(r"~numpy.typing.NDArray[\1]", text)


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Writes the types of arrays in a signature as the code does."""
    return signature and short_types(signature), returns and short_types(returns)


def skip_member(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out what Python writes for the fields of named tuples: "Alias for field number 0"."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", add_settings)
    app.connect("autodoc-process-docstring", hide_colon, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", escape_lines, priority=900)  # after napoleon
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
