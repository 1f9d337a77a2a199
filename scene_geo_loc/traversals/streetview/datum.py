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
"""Datum of a set of panoramas: place on the Earth of the map frame that poses are expressed in."""

from __future__ import annotations

import json
from pathlib import Path

from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.traversals.text import read_text

DATUM_NAME = "datum.json"


def write_datum(folder: Path, datum: Datum) -> None:
    """Writes the datum of a set. Raises SceneGeoLocError where it cannot be written."""
    values = {"latitude": datum.latitude_deg, "longitude": datum.longitude_deg, "altitude": datum.altitude_m}
    write_json(folder / DATUM_NAME, values | {"yaw": datum.yaw_deg})


def read_datum(folder: Path) -> Datum | None:
    """Returns the datum that a set states; None where it states none.

    Raises TraversalError where the file is damaged.
    """
    path = folder / DATUM_NAME
    if not path.is_file():
        return None
    try:
        values = json.loads(read_text(path, "datum of the panoramas"))
        latitude, longitude, altitude = (
            float(values[name]) for name in ("latitude", "longitude", "altitude")
        )
        return Datum(latitude, longitude, altitude, float(values.get("yaw", 0.0)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TraversalError(
            f"{path}: expected latitude, longitude (degrees), altitude (m) and yaw (degrees) by name "
            f"({reason_of(error)}); correct or remove the file."
        ) from error
