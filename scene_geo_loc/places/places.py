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

"""Places along a run, and the views of its cameras at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.places.areas import Area
from scene_geo_loc.places.views import Cameras, View
from scene_geo_loc.traversals.robotcar.rows import FASTEST_M_S
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

MAX_TIME_APART_NS = 100_000_000
"""Largest time between frames of two cameras at one place; RobotCar's slowest camera has 11 Hz."""

_STANDING = 0.1
"""Fraction of the distance between places below which a move is noise of the pose at a stop."""


def along_way(
    stamps_ns: NDArray[np.int64], positions: NDArray[np.float64], distance_m: float
) -> NDArray[np.intp]:
    """Selects places among the positions (N, 2 or 3) along a run: one every `distance_m` travelled.

    The distance is measured along the road: a street driven twice gives its places twice, a stop none.  A
    jump of the pose does not count.
    """
    chosen: list[int] = []
    way = distance_m
    last: int | None = None
    for i in range(len(positions)):
        if last is not None:
            step = float(np.linalg.norm(positions[i] - positions[last]))
            if step < _STANDING * distance_m:
                continue
            if step <= FASTEST_M_S * (int(stamps_ns[i]) - int(stamps_ns[last])) / 1e9:
                way += step
        last = i
        if way >= distance_m:
            chosen.append(i)
            # The excess counts towards the next place, so that the mean distance is right.
            way = (way - distance_m) % distance_m
    return np.array(chosen, np.intp)


def nearest_in_time(
    stamps_ns: NDArray[np.int64], wanted_ns: NDArray[np.int64], limit_ns: int = MAX_TIME_APART_NS
) -> NDArray[np.intp]:
    """Returns the index of the increasing stamps (N,) nearest to each wanted stamp (M,); -1 beyond the
    limit.
    """
    if len(stamps_ns) == 0:
        return np.full(len(wanted_ns), -1, np.intp)
    after = np.searchsorted(stamps_ns, wanted_ns).clip(0, len(stamps_ns) - 1)
    before = (after - 1).clip(0)
    nearest = np.where(
        np.abs(stamps_ns[before] - wanted_ns) <= np.abs(stamps_ns[after] - wanted_ns), before, after
    )
    return np.where(np.abs(stamps_ns[nearest] - wanted_ns) <= limit_ns, nearest, -1)


def places_of(
    run: str, cameras: Cameras, distance_m: float, area: Area, skipped: Skipped
) -> list[Sequence[View]]:
    """Returns the places of a run inside an area, each with one view of every camera.

    Places are chosen along the positions of the first camera; the view of another camera is its frame nearest
    in time. A place without a view of each camera, or with a view from outside the area, is left out.

    Args:
        run: name of the run.
        cameras: at least one.
        distance_m: distance travelled between places.
        area: in which places are taken.
        skipped: counts what was left out.
    """
    views = {camera: _posed(run, camera, cameras, skipped) for camera in cameras}
    stamps = {camera: _stamps(of) for camera, of in views.items()}
    leading = next(iter(cameras))
    # Only those of the leading camera, since bad rows of the poses are counted for each camera.
    skipped.add_all(cameras[leading].left_out)
    positions = np.array([view.position for view in views[leading]]).reshape(-1, 2)
    chosen = along_way(stamps[leading], positions, distance_m)
    chosen = chosen[area.contains(positions[chosen])]
    paired = {camera: nearest_in_time(stamps[camera], stamps[leading][chosen]) for camera in cameras}
    places: list[Sequence[View]] = []
    for i in range(len(chosen)):
        if any(paired[camera][i] < 0 for camera in cameras):
            skipped.add("places that not every camera sees")
            continue
        place = [views[camera][paired[camera][i]] for camera in cameras]
        if area.contains(np.array([view.position for view in place])).all():
            places.append(place)
    return places


def _posed(run: str, camera: str, cameras: Cameras, skipped: Skipped) -> list[View]:
    traversal = cameras[camera]
    # Views outlive the traversal, whose lists of files may be long.
    reader = replace(traversal, frame_files=(), scan_files=())
    views = [
        View(run, camera, files, reader) for files in traversal.frame_files if files.T_map_camera is not None
    ]
    if without := len(traversal.frame_files) - len(views):
        skipped.add(SkipReason.IMAGE_WITHOUT_POSE, without)
    return views


def _stamps(views: Sequence[View]) -> NDArray[np.int64]:
    return np.array([view.files.stamp_ns for view in views], np.int64)
