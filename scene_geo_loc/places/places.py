"""Places along a run, and the views that its cameras have of them."""

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
"""How far apart in time the frames of two cameras may be to show one place; RobotCar's slowest has 11 Hz."""

_STANDING = 0.1
"""A move of less than this share of the distance between places is that of a pose that shakes at a stop."""


def along_way(
    stamps_ns: NDArray[np.int64], positions: NDArray[np.float64], distance_m: float
) -> NDArray[np.intp]:
    """Which of the positions (N, 2 or 3) along a run are places: one every `distance_m` of way.

    The way is measured along the road, so that a street driven twice gives its places twice, and a
    stop none.  A jump of the pose is no way.
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
            # What is too far is taken off the next stretch, so that the mean distance stays.
            way = (way - distance_m) % distance_m
    return np.array(chosen, np.intp)


def nearest_in_time(
    stamps_ns: NDArray[np.int64], wanted_ns: NDArray[np.int64], limit_ns: int = MAX_TIME_APART_NS
) -> NDArray[np.intp]:
    """Which of the increasing stamps (N,) is nearest to each of those wanted (M,); -1 beyond the limit."""
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
    """The places of a run inside an area, each with one view of every camera.

    Places are chosen along the way of the first camera; a view is the frame of a camera that is
    nearest in time.  A place that not every camera sees, or not from within the area, is left out.

    Args:
        run: its name.
        cameras: at least one.
        distance_m: way from one place to the next.
        area: where to take places.
        skipped: counts what was left out.
    """
    views = {camera: _posed(run, camera, cameras, skipped) for camera in cameras}
    stamps = {camera: _stamps(of) for camera, of in views.items()}
    leading = next(iter(cameras))
    # The leading one's only: bad rows of the poses were counted for each camera.
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
    # Views outlive the run: with all its files they would hold a hundred thousand of them.
    reader = replace(traversal, frame_files=(), scan_files=())
    views = [
        View(run, camera, files, reader) for files in traversal.frame_files if files.T_map_camera is not None
    ]
    if without := len(traversal.frame_files) - len(views):
        skipped.add(SkipReason.IMAGE_WITHOUT_POSE, without)
    return views


def _stamps(views: Sequence[View]) -> NDArray[np.int64]:
    return np.array([view.files.stamp_ns for view in views], np.int64)
