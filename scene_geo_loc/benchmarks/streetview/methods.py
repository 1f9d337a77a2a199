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

"""Methods of the street-view benchmark as data: the settings of the map, and how queries are localized in it.

A new method is a new `Method`; runs, tables and pages follow from these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scene_geo_loc.core.errors import SceneGeoLocError

PACKAGE = "package"
"""The method that every set is measured with: the package's defaults."""

WORDS = "words"
"""The slides' bags of visual words and SIFT matches, with the panoramas' depth."""


@dataclass(frozen=True)
class Method:
    """Method that localizes queries in a map of panoramas.

    Attributes:
        key: name on the command line and in the results.
        title: name in the tables.
        settings: settings of the builder that differ from the defaults.
        is_tracked: whether the camera is tracked from image to image, or each is localized on its own.
        on_every_set: whether it is measured on every set, or on the set with the slides' spacing alone.
        on_augmented: whether it is also measured with virtual views.
    """

    key: str
    title: str
    settings: dict[str, Any] = field(default_factory=dict)
    is_tracked: bool = False
    on_every_set: bool = False
    on_augmented: bool = True


MAIN = Method(PACKAGE, "package's descriptor + PnlP", on_every_set=True)
_WORDS_SIFT = {"descriptor": "bovw", "matcher": "sift"}
_NO_DEPTH = {"depth": "none"}
METHODS = (
    MAIN,
    Method(WORDS, "BoVW + SIFT + PnlP", _WORDS_SIFT),
    Method(
        "words-no-depth", "BoVW + SIFT, without depth (slides)", _WORDS_SIFT | _NO_DEPTH, on_augmented=False
    ),
    Method("words-package", "BoVW + package's matches + PnlP", {"descriptor": "bovw"}),
    Method(
        "package-no-depth", "package's descriptor and matches, without depth", _NO_DEPTH, on_augmented=False
    ),
    Method("package-tracked", "package's descriptor + PnlP, tracked", is_tracked=True),
)
"""All methods, in the order of the tables."""


def find_methods(keys: list[str] | None) -> list[Method]:
    """Returns the methods with these keys, or all. Raises SceneGeoLocError for an unknown one."""
    by_key = {method.key: method for method in METHODS}
    for key in keys or ():
        if key not in by_key:
            raise SceneGeoLocError(f"There is no method {key!r}; name {', '.join(by_key)}.")
    return [method for method in METHODS if keys is None or method.key in keys]
