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

"""Streets that panoramas were taken along: neighbours, panoramas at a distance, queries on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, Traversal, read_all
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.streetview.panorama import Panorama

STREET_M = 6.0
"""Largest distance of a query from the lines between panoramas, for it to be on their streets."""


class OnStreets:
    """A traversal without the images that were taken off the streets of panoramas; see `Traversal`.

    Attributes:
        outside: number of images that the last iteration left out.
    """

    def __init__(self, original: Traversal, streets: NDArray[np.float64]) -> None:
        """Takes the traversal, and the segments (S, 2, 3) of the streets."""
        self.name, self.map_frame = original.name, original.map_frame
        self.outside = 0
        self._original, self._streets = original, streets

    @property
    def skipped(self) -> Skipped:
        """Counts of the original."""
        return self._original.skipped

    def __len__(self) -> int:
        return len(self._original)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the frames on the streets, and those without a pose."""
        self.outside = 0

        def passes(stamp_ns: int, T_map_camera: Pose | None) -> bool:
            if T_map_camera is not None and distance_to(self._streets, T_map_camera[:3, 3]) > STREET_M:
                self.outside += 1
                return True
            return pass_over(stamp_ns, T_map_camera)

        return self._original.frames(passes)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the original's scans."""
        return self._original.scans(pass_over)


def street_segments(panoramas: Sequence[Panorama]) -> NDArray[np.float64]:
    """Returns the segments (S, 2, 3) between neighbouring panoramas in metres."""
    places = {panorama.name: panorama.T_map_panorama[:3, 3] for panorama in panoramas}
    pairs = {tuple(sorted((a, b))) for a, near in neighbours(panoramas).items() for b in near}
    return np.array([[places[a], places[b]] for a, b in sorted(pairs)]).reshape(-1, 2, 3)


def distance_to(segments: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """Returns the distance of a point (3,) from the nearest of the segments (S, 2, 3), seen from above."""
    ends = segments[:, :, :2]
    along = ends[:, 1] - ends[:, 0]
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((point[:2] - ends[:, 0]) * along).sum(axis=1) / length, 0.0, 1.0)
    away = np.linalg.norm(ends[:, 0] + share[:, None] * along - point[:2], axis=1)
    return float(away.min(initial=np.inf))


def neighbours(panoramas: Sequence[Panorama]) -> dict[str, dict[str, float]]:
    """Returns the distance in metres to each neighbour of each panorama, by their names.

    Neighbours are those that either links to; where there are no links at all, the next in order of time.
    """
    places = {panorama.name: panorama.T_map_panorama[:3, 3] for panorama in panoramas}
    pairs = [(one.name, other) for one in panoramas for other in one.links if other in places]
    if not pairs:
        names = list(places)
        pairs = list(pairwise(names))
    found: dict[str, dict[str, float]] = {name: {} for name in places}
    for a, b in pairs:
        if a != b:
            found[a][b] = found[b][a] = float(np.linalg.norm(places[a] - places[b]))
    return found


def spaced(panoramas: Sequence[Panorama], spacing_m: float) -> list[Panorama]:
    """Returns the panoramas that are nearest to multiples of a distance along the streets, linked anew.

    Each street is followed from a panorama where it begins, or from its first one where it is a loop.
    """
    near = neighbours(panoramas)
    links: dict[str, list[str]] = {}
    visited: dict[str, str] = {}
    begins = sorted(panoramas, key=lambda panorama: len(near[panorama.name]) > 1)
    for begin in begins:
        # Entries: panorama, the last one taken before it, and their distance along the street.
        waiting: list[tuple[str, str | None, float, float]] = [(begin.name, None, 0.0, 0.0)]
        while waiting:
            name, last, way, gap = waiting.pop()
            if name in visited:
                if last is not None and visited[name] == name:
                    _link(links, name, last)
                continue
            is_taken = last is None or way + gap / 2 >= spacing_m
            if is_taken:
                links[name] = []
                if last is not None:
                    _link(links, name, last)
                # The distance beyond the multiple counts for the next one, so that none is lost.
                last, way = name, 0.0 if last is None else way - spacing_m
            assert last is not None
            visited[name] = last
            waiting += [(other, last, way + step, step) for other, step in near[name].items()]
    return [
        replace(panorama, links=tuple(links[panorama.name]))
        for panorama in panoramas
        if panorama.name in links
    ]


def _link(links: dict[str, list[str]], a: str, b: str) -> None:
    if a != b and b not in links[a]:
        links[a].append(b)
        links[b].append(a)
