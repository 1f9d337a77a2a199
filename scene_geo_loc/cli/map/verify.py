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

"""`scene-geo-loc map verify`: checks a reference map for damage."""

from __future__ import annotations

import typer

from scene_geo_loc.cli.options.common import MapFolder


def verify(map_folder: MapFolder) -> None:
    """Compare every file of a map with its checksum.

    Example:  scene-geo-loc map verify street_map
    """
    from scene_geo_loc.mapping.reference_map import AnyMap

    reference_map = AnyMap.open(map_folder)
    reference_map.verify()
    typer.echo(
        f"{map_folder}: all {len(reference_map.info.files)} files match their checksums "
        f"({len(reference_map)} keyframes)."
    )
