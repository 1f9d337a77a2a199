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
"""Virtual views: between panoramas, ahead of and behind each along the street, by its coarse depth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.streetview.panorama import Panorama, PanoramaPixels
from scene_geo_loc.traversals.streetview.rectified import RectifiedView, Rectifier
from scene_geo_loc.traversals.streetview.warp import Facets, Warp

MARGIN_M = 1.0
"""Least distance from a virtual camera ahead to the next thing; nearer ones stand inside of something."""
RADIUS_M = 0.5
"""Radius in metres of the way from a panorama to its virtual camera that has to be free."""
_LARGEST_GAP_M = 60.0
"""Panoramas before and after in time that are farther apart are of another street."""
_LEAST_TURN = math.cos(math.radians(120.0))
"""Largest cosine between the street's directions ahead and behind."""


@dataclass(frozen=True)
class VirtualPosition:
    """Position of a virtual panorama, which has the orientation of the real one.

    Attributes:
        distance_m: along the street from the real one; negative behind it.
        shift: (3,) metres from the real one along its axes.
    """

    distance_m: float
    shift: NDArray[np.float64]

    @property
    def label(self) -> str:
        """Distance as part of a name, such as +4m."""
        return f"{self.distance_m:+g}m"


@dataclass(frozen=True)
class VirtualSummary:
    """Numbers of virtual views at one distance, as the slides print them.

    Attributes:
        distance_m: distance ahead and behind.
        positions: number of positions, two for each panorama whose depth could be read.
        inside: those that stand inside of something, which are left out.
        nearer: those nearer to another panorama than to their own, which are left out.
        views: number of virtual views at the others.
        with_empty_pixels: share of these views with pixels that show nothing; NaN without views.
        empty_pixels: share of such pixels; NaN without views.
    """

    distance_m: float
    positions: int
    inside: int
    nearer: int
    views: int
    with_empty_pixels: float
    empty_pixels: float


def distances_of(value: float | str | Sequence[float] | None) -> tuple[float, ...]:
    """Returns distances in metres, nearest first, of a number, of several, or of a text such as "2,4".

    Raises TraversalError where they are no distances.
    """
    if value is None:
        return ()
    given: Iterable[object]
    if isinstance(value, str):
        given = value.split(",")
    else:
        given = [value] if isinstance(value, (int, float)) else value
    try:
        distances = sorted({float(word) for word in given})  # type: ignore[arg-type]
    except (ValueError, TypeError):
        distances = [math.nan]
    if not all(0 < distance < math.inf for distance in distances):
        raise TraversalError(
            f"{value!r} are no distances of virtual views: give metres, several separated by commas, such as "
            "2,4."
        )
    return tuple(distances)


def virtual_positions(
    panoramas: Sequence[Panorama], distances_m: Sequence[float], skipped: Skipped
) -> list[list[VirtualPosition]]:
    """Returns the positions ahead of and behind each panorama with depth, nearest first.

    Those nearer to another panorama than to their own are left out, and counted.
    """
    if not distances_m:
        return [[] for _ in panoramas]
    places = np.stack([panorama.T_map_panorama[:3, 3] for panorama in panoramas])
    positions: list[list[VirtualPosition]] = []
    for number, panorama in enumerate(panoramas):
        positions.append([])
        if panorama.depth is None:
            skipped.add(SkipReason.PANORAMA_WITHOUT_DEPTH)
            continue
        ahead, behind = street_directions(panoramas, number)
        for distance in distances_m:
            for signed, direction in ((distance, ahead), (-distance, behind)):
                place = places[number] + distance * direction
                others = np.linalg.norm(np.delete(places, number, axis=0)[:, :2] - place[:2], axis=1)
                if others.min(initial=np.inf) < distance * (1 - 1e-6):
                    skipped.add(SkipReason.VIRTUAL_POSITION_NEARER)
                    continue
                shift = panorama.T_map_panorama[:3, :3].T @ (distance * direction)
                positions[-1].append(VirtualPosition(signed, shift))
    return positions


def street_directions(
    panoramas: Sequence[Panorama], number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the level unit directions (3,) of the street ahead of and behind a panorama, in the map.

    They point to its links or, where it has none, to the panoramas before and after it in time; ahead is the
    one nearest to its heading.  Without either the street goes along the heading.
    """
    pose = panoramas[number].T_map_panorama
    by_name = {panorama.name: panorama for panorama in panoramas}
    neighbours = [by_name[name] for name in panoramas[number].links if name in by_name]
    if not neighbours:
        neighbours = [panoramas[other] for other in (number - 1, number + 1) if 0 <= other < len(panoramas)]
    heading = _level(pose[:3, 2])
    ways = []
    for neighbour in neighbours:
        away = neighbour.T_map_panorama[:3, 3] - pose[:3, 3]
        if 0 < np.hypot(away[0], away[1]) <= _LARGEST_GAP_M:
            ways.append(_level(away))
    if not ways:
        return heading, -heading
    ahead = max(ways, key=lambda way: float(way @ heading))
    behind = min(ways, key=lambda way: float(way @ ahead))
    if behind @ ahead > _LEAST_TURN:  # the end of a street
        if ahead @ heading < 0:
            return -ahead, ahead
        return ahead, -ahead
    return ahead, behind


def usable_positions(
    facets: Facets, positions: Sequence[VirtualPosition], skipped: Skipped
) -> list[VirtualPosition]:
    """Returns the positions that do not stand inside of something; the others are counted.

    On the way to the virtual camera, and `MARGIN_M` beyond it, nothing may be nearer than `RADIUS_M`.
    """
    usable = []
    for position in positions:
        length = float(np.linalg.norm(position.shift))
        if facets.nearest_m(position.shift, RADIUS_M) < length + MARGIN_M:
            skipped.add(SkipReason.VIRTUAL_POSITION_INSIDE)
        else:
            usable.append(position)
    return usable


class Viewer:
    """Makes the views of one panorama, and its virtual views. Not thread-safe.

    Args:
        pixels: image and depth of the panorama.
        rectifier: makes the views.
        skipped: counts the positions inside of something.
    """

    def __init__(self, pixels: PanoramaPixels, rectifier: Rectifier, skipped: Skipped) -> None:
        self._pixels, self._rectifier, self._skipped = pixels, rectifier, skipped
        self._facets: Facets | None = None
        self._warps: dict[float, Warp | None] = {}

    def view(
        self, R_panorama_view: NDArray[np.float64], position: VirtualPosition | None = None
    ) -> RectifiedView | None:
        """Returns the view with a rotation (3, 3) to the panorama's axes; None where it cannot be taken."""
        if position is None:
            return self._rectifier.view(self._pixels, R_panorama_view)
        if self._pixels.distance is None:  # cannot be read, which is counted
            return None
        if self._facets is None:
            self._facets = Facets(self._pixels.distance)
        if position.distance_m not in self._warps:
            usable = usable_positions(self._facets, [position], self._skipped)
            self._warps[position.distance_m] = Warp.of(self._facets, position.shift) if usable else None
        warp = self._warps[position.distance_m]
        return None if warp is None else self._rectifier.warped(self._pixels, warp, R_panorama_view)


def summarize_virtual_views(
    panoramas: Sequence[tuple[Panorama, NDArray[np.float32] | None]],
    rectifier: Rectifier,
    rotations: Sequence[NDArray[np.float64]],
    distances_m: Sequence[float],
) -> list[VirtualSummary]:
    """Returns the numbers of virtual views for each distance; no image is read.

    Args:
        panoramas: the panoramas of a set, each with distances (h, w) along its rays, metres, or None.
        rectifier: makes the views.
        rotations: (3, 3) from the optical axes of the views to their panorama's.
    """
    facets = [None if distance is None else Facets(distance) for _, distance in panoramas]
    summaries = []
    for distance_m in distances_m:
        skipped, empty = Skipped(), []
        planned = virtual_positions([panorama for panorama, _ in panoramas], [distance_m], skipped)
        for around, positions in zip(facets, planned, strict=True):
            if around is None:
                continue
            for position in usable_positions(around, positions, skipped):
                warp = Warp.of(around, position.shift)
                empty += [1 - rectifier.visible(warp, R).mean() for R in rotations]
        inside, nearer = (
            skipped.counts.get(reason.value, 0)
            for reason in (SkipReason.VIRTUAL_POSITION_INSIDE, SkipReason.VIRTUAL_POSITION_NEARER)
        )
        shares = np.array(empty) if empty else np.array([np.nan])
        summaries.append(
            VirtualSummary(
                distance_m,
                2 * sum(around is not None for around in facets),
                inside,
                nearer,
                len(empty),
                float((shares > 0).mean()) if empty else math.nan,
                float(shares.mean()),
            )
        )
    return summaries


def _level(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the unit direction (3,) along the ground; north where it is vertical."""
    level = np.array([direction[0], direction[1], 0.0])
    length = np.linalg.norm(level)
    return level / length if length > 1e-6 else np.array([0.0, 1.0, 0.0])
