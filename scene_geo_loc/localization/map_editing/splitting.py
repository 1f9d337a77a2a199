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

"""Makes a map of each drive of a map, or of each part of its area."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.editing.splitting import rows_of_drives, rows_of_tiles
from scene_geo_loc.mapping.reference_map import ReferenceMap


def split_map(
    reference_map: ReferenceMap, out: Path | str, *, tile_m: float | None = None
) -> list[ReferenceMap]:
    """Makes a map of each drive of a map, or of each square of its area, and opens them.

    Args:
        reference_map: the map.
        out: folder of the new maps, which gets its name when all of them are complete.
        tile_m: side of the squares, metres; None: by drives.

    Raises MapError where `out` exists or cannot be written; nothing is left of it then.
    """
    out = Path(out)
    parts = rows_of_drives(reference_map) if tile_m is None else rows_of_tiles(reference_map, tile_m)
    if out.exists():
        raise MapError(f"{out} exists already: name another folder.")
    output = PartialFolder(out, "folder of maps", error=MapError)
    try:
        folder = output.begin()
        output.restart()
        for name, rows in parts.items():
            write_combination([MapPart(reference_map, rows)], folder / name, measure=measure_map)
        output.publish()
    finally:
        output.discard()
    return [ReferenceMap.open(out / name) for name in parts]
