"""Gives an existing map its place on the Earth."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.datum import Georeference
from scene_geo_loc.mapping.map_info import MAP_JSON, read_info, write_info


def keep_georeference(folder: Path, georeference: Georeference) -> None:
    """Writes a datum to the `map.json` of a map, in place of one that it may have.

    Raises MapError where the map cannot be read or written.
    """
    info = read_info(folder).model_copy(update={"georeference": georeference})
    try:
        write_info(folder, info)
    except OSError as error:
        raise MapError(f"{folder / MAP_JSON} cannot be written ({error.strerror or error}).") from error
