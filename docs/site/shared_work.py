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

"""Sphinx extension: makes what Sphinx would make anew for each page and name once, for half of the time.

The site does not change by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sphinx.domains.python import PythonDomain

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.domains.python import ObjectEntry
    from sphinx.environment import BuildEnvironment


class IndexedPythonDomain(PythonDomain):
    """Domain of Python that compares a name only where an object of the package has its last part.

    Most names are `float`, `Path` and other libraries' types.
    """

    _indexed = 0

    def find_obj(
        self,
        env: BuildEnvironment,
        modname: str,
        classname: str,
        name: str,
        type: str | None,
        searchmode: int = 0,
    ) -> list[tuple[str, ObjectEntry]]:
        """Returns the objects that a name may mean."""
        if len(self.objects) != self._indexed:
            self._indexed = len(self.objects)
            self._last_parts = {known.rpartition(".")[2] for known in self.objects}
        if name.removesuffix("()").rpartition(".")[2] not in self._last_parts:
            return []
        return super().find_obj(env, modname, classname, name, type, searchmode)


def share_contents(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Renders the contents beside pages of source code once for each depth of folders.

    No contents lead to these pages, so only the number of `../` in the links differs.
    """
    if not page.startswith("_modules/"):
        return
    toctree, depth = context["toctree"], page.count("/")

    def rendered(**options: Any) -> str:
        key = (depth, *sorted(options.items()))
        if key not in rendered_contents:
            rendered_contents[key] = toctree(**options)
        return rendered_contents[key]

    context["toctree"] = rendered


rendered_contents: dict[tuple[Any, ...], str] = {}


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.add_domain(IndexedPythonDomain, override=True)
    app.connect("html-page-context", share_contents, priority=100)  # before the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
