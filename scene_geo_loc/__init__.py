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

"""Localizes a camera in a reference map.

    from scene_geo_loc import Camera, CameraImage, Localizer, ReferenceMap

The names below are imported when they are first used, so that `import scene_geo_loc` stays light.
docs/architecture.md shows the rooms of the package and what each may import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scene_geo_loc.geometry.camera import Camera
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.query import CameraImage
    from scene_geo_loc.mapping.builder import MapBuilder, build_map
    from scene_geo_loc.mapping.reference_map import ReferenceMap
    from scene_geo_loc.traversals.opening import open_traversal

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "CameraImage",
    "Localizer",
    "MapBuilder",
    "ReferenceMap",
    "__version__",
    "build_map",
    "open_traversal",
]

_MODULES = {
    "Camera": "geometry.camera",
    "CameraImage": "localization.query",
    "Localizer": "localization.localizer",
    "MapBuilder": "mapping.builder",
    "build_map": "mapping.builder",
    "ReferenceMap": "mapping.reference_map",
    "open_traversal": "traversals.opening",
}


if not TYPE_CHECKING:  # type checkers know the names from the imports above, and report any other

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
