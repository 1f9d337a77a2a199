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

"""Panoramas in the map: poses in local axes (ENU) at a datum, in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.equirectangular import R_enu_panorama
from scene_geo_loc.geometry.geodesy import enu_axes
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.traversals.folder import FIRST_STAMP_NS
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.streetview.datum import DATUM_NAME, read_datum
from scene_geo_loc.traversals.streetview.index import IndexRow, PanoramaIndex
from scene_geo_loc.traversals.streetview.panorama import Panorama

LEAST_PERIOD_NS = 100_000_000
"""Least time between panoramas; those without times, or with equal ones, are this far apart."""


@dataclass(frozen=True)
class PlacedPanoramas:
    """Panoramas of a set with poses in its map.

    Attributes:
        panoramas: in order of time.
        georeference: place of the map on the Earth.
        skipped: counts of the rows that are not used.
    """

    panoramas: Sequence[Panorama]
    georeference: Georeference | None
    skipped: Skipped


def place(folder: Path, index: PanoramaIndex) -> PlacedPanoramas:
    """Places the panoramas of an index in a map: its origin is the set's datum, or the first usable one.

    Raises GeodesyError, and TraversalError where the file with the datum is damaged.
    """
    skipped = Skipped(dict(index.skipped.counts))
    rows = []
    for row in index.rows:
        if not (folder / row.file).is_file():
            skipped.add(SkipReason.IMAGE_MISSING)
        elif row.heading is None:
            skipped.add(SkipReason.PANORAMA_WITHOUT_HEADING)
        else:
            rows.append(row)
    if not rows:
        return PlacedPanoramas((), None, skipped)
    geodetic = np.array([(row.latitude, row.longitude, np.nan) for row in rows])
    geodetic[:, 2] = _altitudes(rows)
    stated = read_datum(folder)
    datum = stated or Datum(*geodetic[0])
    positions = datum.map_of(geodetic)
    R_map_ecef = datum.T_ecef_map[:3, :3].T
    angles = np.array([(row.heading, row.pitch, row.roll) for row in rows], np.float64)
    rotations = R_map_ecef @ enu_axes(geodetic[:, 0], geodetic[:, 1]) @ R_enu_panorama(*angles.T)
    panoramas = [
        Panorama(
            row.file,
            folder / row.file,
            make_pose(rotation, position),
            stamp_ns,
            row.links,
            None if row.depth is None else folder / row.depth,
            row.position_std,
            row.heading_std,
        )
        for row, rotation, position, stamp_ns in zip(rows, rotations, positions, _stamps(rows), strict=True)
    ]
    panoramas.sort(key=lambda panorama: panorama.stamp_ns)
    return PlacedPanoramas(panoramas, Georeference(datum, DATUM_NAME if stated else index.path.name), skipped)


def _altitudes(rows: Sequence[IndexRow]) -> NDArray[np.float64]:
    """Returns altitudes (N,); one that is unknown is the nearest panorama's, or 0 where none is known."""
    altitudes = np.array([np.nan if row.altitude is None else row.altitude for row in rows], np.float64)
    known = np.isfinite(altitudes)
    if not known.any():
        return np.zeros(len(rows))
    degrees = np.array([(row.latitude, row.longitude) for row in rows])
    degrees[:, 1] *= np.cos(np.radians(degrees[0, 0]))
    for i in np.flatnonzero(~known):
        away = np.linalg.norm(degrees[known] - degrees[i], axis=1)
        altitudes[i] = altitudes[known][away.argmin()]
    return altitudes


def _stamps(rows: Sequence[IndexRow]) -> list[int]:
    """Returns stamps at least `LEAST_PERIOD_NS` apart; a row without a time follows the row before."""
    times, last = [], FIRST_STAMP_NS
    for row in rows:
        last = last if row.time is None else max(row.time, FIRST_STAMP_NS)
        times.append(last)
    stamps, last = [0] * len(rows), 0
    for i in sorted(range(len(rows)), key=times.__getitem__):
        stamps[i] = last = max(times[i], last + LEAST_PERIOD_NS)
    return stamps
