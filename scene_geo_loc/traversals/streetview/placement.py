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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.equirectangular import R_enu_panorama
from scene_geo_loc.geometry.geodesy import MAX_HEIGHT_M, enu_axes
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.traversals.folder import FIRST_STAMP_NS
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.streetview.datum import DATUM_NAME, read_datum
from scene_geo_loc.traversals.streetview.index import IndexRow, PanoramaIndex
from scene_geo_loc.traversals.streetview.metadata.gpano import GPano, read_gpano
from scene_geo_loc.traversals.streetview.panorama import Panorama

LEAST_PERIOD_NS = 100_000_000
"""Least time between panoramas; those without times, or with equal ones, are this far apart."""

_SAME_PLACE_M = 0.05
"""Panoramas nearer to each other than this are the same one twice, or the receiver had stopped."""

_FARTHEST_M = 100_000.0
"""Panoramas farther than this from the others have a wrong position."""

_METRES_PER_DEGREE = 111_195.0
"""Length of a degree of latitude, on a sphere."""


@dataclass(frozen=True)
class PlacedPanoramas:
    """Panoramas of a set with poses in its map.

    Attributes:
        panoramas: in order of time.
        georeference: place of the map on the Earth; None where there are no panoramas.
        skipped: counts of the rows and files that are not used.
    """

    panoramas: Sequence[Panorama]
    georeference: Georeference | None
    skipped: Skipped


@dataclass(frozen=True)
class _Row:
    """A row of the index with what its files say."""

    row: IndexRow
    image: Path
    tags: GPano
    heading: float


def place(folder: Path, index: PanoramaIndex) -> PlacedPanoramas:
    """Places the panoramas of an index in a map: its origin is the set's datum, or the first usable one.

    Raises TraversalError where the file with the datum is damaged.
    """
    skipped = Skipped(dict(index.skipped.counts))
    stated = read_datum(folder)
    rows = list(_usable(folder, index, stated, skipped))
    if not rows:
        return PlacedPanoramas((), None, skipped)
    geodetic = np.array([(row.row.latitude, row.row.longitude, np.nan) for row in rows])
    geodetic[:, 2] = _altitudes(rows)
    datum = stated or Datum(*geodetic[0])
    positions = datum.map_of(geodetic)
    angles = np.array([(row.heading, row.row.pitch, row.row.roll) for row in rows], np.float64)
    R_map_enu = datum.T_ecef_map[:3, :3].T @ enu_axes(geodetic[:, 0], geodetic[:, 1])
    rotations = R_map_enu @ R_enu_panorama(*angles.T)
    stamps = _stamps([row.row for row in rows])
    panoramas = []
    for i in _without_twins(positions, skipped):
        row = rows[i].row
        depth = None if row.depth is None else folder / row.depth
        if depth is not None and not is_file(depth):
            skipped.add(SkipReason.DEPTH_MISSING)
            depth = None
        panoramas.append(
            Panorama(
                row.file,
                rows[i].image,
                make_pose(rotations[i], positions[i]),
                stamps[i],
                row.links,
                depth,
                row.position_std,
                row.heading_std,
                rows[i].tags.area,
            )
        )
    panoramas.sort(key=lambda panorama: panorama.stamp_ns)
    return PlacedPanoramas(panoramas, Georeference(datum, DATUM_NAME if stated else index.path.name), skipped)


def is_file(path: Path) -> bool:
    """Returns whether a path is that of a file; False also where no file can have it, as a name too long."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _usable(folder: Path, index: PanoramaIndex, stated: Datum | None, skipped: Skipped) -> Iterator[_Row]:
    """Yields the rows with a position, a file and a heading; counts the others."""
    known = set()
    for row in _near_each_other(index, stated, skipped):
        image = folder / row.file
        if row.file in known:
            skipped.add(SkipReason.PANORAMA_TWICE)
            continue
        known.add(row.file)
        if not is_file(image):
            skipped.add(SkipReason.IMAGE_MISSING)
            continue
        tags = read_gpano(image)
        heading = tags.heading if row.heading is None else row.heading
        if not tags.is_equirectangular:
            skipped.add(SkipReason.PANORAMA_NOT_SPHERICAL)
        elif not tags.is_complete:
            skipped.add(SkipReason.PANORAMA_INCOMPLETE)
        elif heading is None:
            skipped.add(SkipReason.PANORAMA_WITHOUT_HEADING)
        else:
            yield _Row(row, image, tags, heading)


def _near_each_other(index: PanoramaIndex, stated: Datum | None, skipped: Skipped) -> Iterator[IndexRow]:
    """Yields the rows near to the stated datum or, without one, to the other rows.

    The others are counted by what may be wrong with them.
    """
    positions = np.array([(row.latitude, row.longitude) for row in index.rows]).reshape(-1, 2)
    is_given = (positions != 0).any(axis=1)
    possible = (np.abs(positions[:, 0]) <= 90) & is_given
    middle = None if stated is None else np.array([stated.latitude_deg, stated.longitude_deg])
    if middle is not None or possible.any():
        # Longitudes on both sides of 180° are near to each other.
        first = positions[possible][0, 1] if middle is None else middle[1]
        positions[:, 1] = (positions[:, 1] - first + 180.0) % 360.0 - 180.0 + first
        if middle is None:
            middle = np.median(positions[possible], axis=0)
    for i, row in enumerate(index.rows):
        position, is_possible = positions[i], possible[i]
        has_altitude = row.altitude is None or abs(row.altitude) <= MAX_HEIGHT_M
        if not is_given[i] or not has_altitude:
            skipped.add(SkipReason.ROW_WITHOUT_POSITION, subject=index.path.name)
        elif is_possible and _distance_m(position, middle) <= _FARTHEST_M:
            yield row
        elif abs(position[1]) <= 90 and (
            middle is None or _distance_m(position[::-1], middle) <= _FARTHEST_M
        ):
            skipped.add(SkipReason.ROW_SWAPPED, subject=index.path.name)
        else:
            skipped.add(SkipReason.ROW_FAR, subject=index.path.name)


def _distance_m(position: NDArray[np.float64], middle: NDArray[np.float64] | None) -> float:
    """Returns roughly the distance of two positions in degrees."""
    assert middle is not None
    away = position - middle
    away[1] = (away[1] + 180.0) % 360.0 - 180.0
    return float(_METRES_PER_DEGREE * np.hypot(away[0], away[1] * np.cos(np.radians(middle[0]))))


def _without_twins(positions: NDArray[np.float64], skipped: Skipped) -> Iterator[int]:
    """Yields the numbers of positions (N, 3) that are not within `_SAME_PLACE_M` of an earlier one."""
    taken: dict[tuple[int, ...], list[int]] = {}
    for i, position in enumerate(positions):
        cell = tuple(int(number) for number in np.floor(position / _SAME_PLACE_M))
        around = [
            j
            for x in (-1, 0, 1)
            for y in (-1, 0, 1)
            for z in (-1, 0, 1)
            for j in taken.get((cell[0] + x, cell[1] + y, cell[2] + z), ())
        ]
        if any(np.linalg.norm(positions[j] - position) < _SAME_PLACE_M for j in around):
            skipped.add(SkipReason.PANORAMA_TWICE)
        else:
            taken.setdefault(cell, []).append(i)
            yield i


def _altitudes(rows: Sequence[_Row]) -> NDArray[np.float64]:
    """Returns altitudes (N,); one that is unknown is the nearest panorama's, or 0 where none is known."""
    altitudes = np.array(
        [np.nan if row.row.altitude is None else row.row.altitude for row in rows], np.float64
    )
    known = np.isfinite(altitudes)
    if not known.any():
        return np.zeros(len(rows))
    degrees = np.array([(row.row.latitude, row.row.longitude) for row in rows])
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
