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

"""Gives an existing map its place on the Earth."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.folder_lock import changing
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.mapping.map_info import MAP_JSON, read_info, write_info


def keep_georeference(folder: Path, georeference: Georeference) -> None:
    """Writes a datum to the `map.json` of a map, in place of one that it may have.

    Raises MapError where the map cannot be read or written.
    """
    with changing(folder, "map georeference", MapError):
        info = read_info(folder).model_copy(update={"georeference": georeference})
        try:
            write_info(folder, info)
        except OSError as error:
            raise MapError(f"{folder / MAP_JSON} cannot be written ({error.strerror or error}).") from error
