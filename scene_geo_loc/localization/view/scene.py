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

"""Points, lines and labels in the map's frame that show a map and the evidence of a pose estimate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, transform
from scene_geo_loc.localization.match_picture import INLIER, OUTLIER

if TYPE_CHECKING:
    from scene_geo_loc.geometry.camera import Camera
    from scene_geo_loc.localization.estimate import Candidate, PoseEstimate
    from scene_geo_loc.mapping.reference_map import AnyMap

Colour = tuple[int, int, int]

KEYFRAME: Colour = (150, 170, 196)
CANDIDATE: Colour = (240, 180, 41)
SELECTED: Colour = (92, 184, 255)
ELLIPSOID: Colour = (92, 184, 255)

MOST_KEYFRAME_POINTS = 100_000
"""Most keyframes that are shown as points."""
MOST_KEYFRAME_VIEWS = 5000
"""Keyframes whose viewing direction is shown; of a larger map every n-th."""
MOST_MATCH_LINES = 300
"""Lines from the camera to matched points, spread evenly over the inliers."""
UNMATCHED_LABELS = 5
"""Candidates that are labelled where none was matched."""
MIN_SIZE_M, MAX_SIZE_M = 0.05, 1.5
"""Smallest and largest length of the pyramid that stands for a camera."""
PATH_STEP_M = 0.2
"""Least distance between poses of a path."""
ELLIPSOID_SIGMAS = 2.7955
"""Radius, in standard deviations, of the ellipsoid that holds 95 % of a normal distribution in 3D."""


@dataclass(frozen=True)
class Points:
    """Points of a cloud.

    Attributes:
        xyz: (N, 3) metres in the map's frame.
        columns: further values (N,) of each point by name, float32 or uint32.
        colours: (N, 3) uint8 RGB, or None where the viewer chooses them.
    """

    xyz: NDArray[np.float64]
    columns: dict[str, NDArray]
    colours: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Lines:
    """Line segments.

    Attributes:
        ends: (N, 2, 3) metres in the map's frame.
        colours: (N, 3) uint8 RGB.
        width_m: width of the lines.
    """

    ends: NDArray[np.float64]
    colours: NDArray[np.uint8]
    width_m: float


@dataclass(frozen=True)
class Label:
    """Text at a point (3,) of the map, `height_m` high."""

    xyz: NDArray[np.float64]
    text: str
    colour: Colour
    height_m: float


@dataclass(frozen=True)
class Ellipsoid:
    """Ellipsoid that holds the position with a probability of 95 %.

    Attributes:
        T_map_axes: its centre, and its main axes as the axes of a frame.
        diameters_m: (3,) along these axes.
    """

    T_map_axes: Pose
    diameters_m: NDArray[np.float64]


class PosePath:
    """The last poses of a track, `PATH_STEP_M` or more apart.

    Attributes:
        poses: stamps in nanoseconds and poses, oldest first.
    """

    def __init__(self, length: int | None = None) -> None:
        """Keeps the last `length` poses, or all of them."""
        self.poses: deque[tuple[int, Pose]] = deque(maxlen=length)

    def add(self, stamp_ns: int, T_map_base: Pose) -> bool:
        """Appends a pose; returns False where it is too near to the last one."""
        if self.poses:
            moved_m = np.linalg.norm(T_map_base[:3, 3] - self.poses[-1][1][:3, 3])
            if moved_m < PATH_STEP_M:
                return False
        self.poses.append((stamp_ns, T_map_base))
        return True


def camera_size(reference_map: AnyMap) -> float:
    """Returns the length in metres of the pyramid that stands for a camera: half the keyframes' spacing."""
    positions = reference_map.T_map_camera[:MOST_KEYFRAME_POINTS, :3, 3]
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    steps = steps[steps > 0]
    return float(np.clip(0.5 * np.median(steps), MIN_SIZE_M, MAX_SIZE_M)) if len(steps) else MIN_SIZE_M


def keyframe_points(reference_map: AnyMap) -> Points:
    """Returns the positions of the keyframes, with their rows in the map and their viewing directions.

    Of a map with more than `MOST_KEYFRAME_POINTS` they are every n-th.
    """
    step = _step(len(reference_map), MOST_KEYFRAME_POINTS)
    poses = reference_map.T_map_camera[::step]
    views = {f"view_{axis}": poses[:, i, 2].astype(np.float32) for i, axis in enumerate("xyz")}
    rows = {"keyframe": step * np.arange(len(poses), dtype=np.uint32)}
    return Points(poses[:, :3, 3], rows | views)


def keyframe_views(reference_map: AnyMap, size: float) -> Lines:
    """Returns a line along the viewing direction of the keyframes, of at most `MOST_KEYFRAME_VIEWS`."""
    poses = reference_map.T_map_camera[:: _step(len(reference_map), MOST_KEYFRAME_VIEWS)]
    starts = poses[:, :3, 3]
    ends = np.stack([starts, starts + size * poses[:, :3, 2]], axis=1)
    return Lines(ends, _colours(KEYFRAME, len(ends)), 0.04 * size)


def pyramid(camera: Camera, T_map_camera: Pose, size: float) -> NDArray[np.float64]:
    """Returns the 8 edges (8, 2, 3) of a camera's field of view in the map, `size` metres long."""
    right, bottom = camera.width - 0.5, camera.height - 0.5
    corners = camera.rays(np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]]))
    # The rays of a fisheye's corners reach far to the side: by their length, not their depth.
    corners *= size / np.linalg.norm(corners, axis=1, keepdims=True)
    apex, corners = T_map_camera[:3, 3], transform(T_map_camera, corners)
    return np.concatenate(
        [
            np.stack([np.broadcast_to(apex, corners.shape), corners], axis=1),
            np.stack([corners, np.roll(corners, -1, axis=0)], axis=1),
        ]
    )


def candidate_scene(estimate: PoseEstimate, reference_map: AnyMap, size: float) -> tuple[Lines, list[Label]]:
    """Returns the cameras of the retrieved keyframes, and labels with their ranks and scores.

    `size` is that of `camera_size`, as of the other functions.

    The colour goes from amber to green with the share of a candidate's matches that are inliers.  Labelled
    are the candidates that were matched in full; the first `UNMATCHED_LABELS` where none was.
    """
    edges, colours, labels = [np.zeros((0, 2, 3))], [np.zeros((0, 3), np.uint8)], []
    for camera in estimate.cameras:
        was_matched = any(candidate.matches for candidate in camera.candidates)
        for rank, candidate in enumerate(camera.candidates, 1):
            T_map_keyframe = reference_map.T_map_camera[candidate.keyframe]
            colour = _between(CANDIDATE, INLIER, candidate.inlier_ratio)
            edges.append(pyramid(reference_map.camera_of(candidate.keyframe), T_map_keyframe, size))
            colours.append(_colours(colour, len(edges[-1])))
            if candidate.matches if was_matched else rank <= UNMATCHED_LABELS:
                # Above the camera: the image's y axis points down.
                place = T_map_keyframe[:3, 3] - 1.2 * size * T_map_keyframe[:3, 1]
                labels.append(Label(place, _score(rank, candidate), colour, 0.35 * size))
    return Lines(np.concatenate(edges), np.concatenate(colours), 0.05 * size), labels


def _score(rank: int, candidate: Candidate) -> str:
    counts = f", {candidate.inliers} of {candidate.matches}" if candidate.matches else ""
    return f"{rank}: {candidate.score:.2f}{counts}"


def match_points(estimate: PoseEstimate) -> Points:
    """Returns the matched points of the map: green where the pose explains the match, else red.

    Columns: `inlier` 1 or 0, `keyframe` that the point was lifted from, `sigma` in metres of its depth.
    """
    parts = [camera.matches for camera in estimate.cameras]
    xyz = np.concatenate([np.zeros((0, 3)), *(part.points_map for part in parts)])
    inlier = np.concatenate([np.zeros(0, bool), *(part.inlier for part in parts)])
    keyframe = np.concatenate([np.zeros(0, np.int64), *(part.keyframe for part in parts)])
    sigma = np.concatenate([np.zeros((0, 3)), *(part.points_sigma for part in parts)])
    columns = {
        "inlier": inlier.astype(np.float32),
        "keyframe": keyframe.astype(np.uint32),
        "sigma": np.linalg.norm(sigma, axis=1).astype(np.float32),
    }
    colours = np.where(inlier[:, None], np.array(INLIER, np.uint8), np.array(OUTLIER, np.uint8))
    return Points(xyz, columns, colours)


def match_lines(estimate: PoseEstimate, size: float) -> Lines:
    """Returns lines from the cameras to their inliers; none without a pose."""
    if estimate.T_map_base is None:
        return Lines(np.zeros((0, 2, 3)), np.zeros((0, 3), np.uint8), 0.02 * size)
    ends = [np.zeros((0, 2, 3))]
    for camera in estimate.cameras:
        points = camera.matches.points_map[camera.matches.inlier]
        start = (estimate.T_map_base @ camera.T_base_camera)[:3, 3]
        ends.append(np.stack([np.broadcast_to(start, points.shape), points], axis=1))
    lines = np.concatenate(ends)
    lines = lines[:: _step(len(lines), MOST_MATCH_LINES)]
    return Lines(lines, _colours(INLIER, len(lines)), 0.02 * size)


def position_ellipsoid(T_map_base: Pose, covariance: NDArray[np.float64]) -> Ellipsoid:
    """Returns the ellipsoid of 95 % of a position.

    Args:
        covariance: (6, 6) of the pose along the map's axes, x y z first.
    """
    variances, axes = np.linalg.eigh(covariance[:3, :3])
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = axes, T_map_base[:3, 3]
    return Ellipsoid(T, 2 * ELLIPSOID_SIGMAS * np.sqrt(np.maximum(variances, 1e-12)))


def nearest_keyframe(reference_map: AnyMap, xyz: NDArray[np.float64]) -> int | None:
    """Returns the keyframe nearest to a point (3,); None in an empty map."""
    return reference_map.nearest(xyz)[0]


def selected_scene(keyframe: int, reference_map: AnyMap, size: float) -> tuple[Lines, list[Label]]:
    """Returns the camera of one keyframe, twice as large as candidates, and a label with its row and name."""
    size = 2 * size
    T_map_keyframe = reference_map.T_map_camera[keyframe]
    edges = pyramid(reference_map.camera_of(keyframe), T_map_keyframe, size)
    place = T_map_keyframe[:3, 3] - 0.9 * size * T_map_keyframe[:3, 1]
    label = Label(place, f"{keyframe} {reference_map.name_of(keyframe)}".strip(), SELECTED, 0.2 * size)
    return Lines(edges, _colours(SELECTED, len(edges)), 0.04 * size), [label]


def _step(count: int, most: int) -> int:
    return max(1, -(-count // most))


def _colours(colour: Colour, count: int) -> NDArray[np.uint8]:
    return np.tile(np.array(colour, np.uint8), (count, 1))


def _between(low: Colour, high: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(low, high, strict=True))
    return red, green, blue
