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

"""Versions of a file that are read, and errors for all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.versioned import FileFormat

FORMAT = FileFormat("made-up map", 3, oldest=2, again="build it again", error=MapError)


@pytest.mark.parametrize("version", [2, 3])
def test_versions_that_can_be_read_are_returned(version: int) -> None:
    assert FORMAT.check({**FORMAT.header, "format_version": version}, Path("map.json")) == version


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format_version": 4}, r"version 4 .* up to 3: update scene_geo_loc, or build it again"),
        ({"format_version": 1}, r"version 1 .* 2 and newer: build it again"),
        ({"format_version": "3"}, r"does not say the version"),
        ({"format": "grid"}, r"'grid' and not 'made-up map'"),
    ],
)
def test_other_versions_are_refused_with_what_to_do(values: dict[str, Any], words: str) -> None:
    with pytest.raises(MapError, match=f"^map.json .*{words}"):
        FORMAT.check({**FORMAT.header, **values}, Path("map.json"))


@pytest.mark.parametrize("values", [None, [1], "text", {}])
def test_values_of_anything_else_are_refused(values: Any) -> None:
    with pytest.raises(MapError, match="has the format None"):
        FORMAT.check(values, Path("map.json"))
