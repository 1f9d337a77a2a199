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

"""Tells whether the images of a recording are in an optical frame or in a body frame."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.traversals.formats import ImageFrame
from scene_geo_loc.traversals.messages.optical_frame import T_BODY_OPTICAL, UPRIGHT, is_optical_name
from scene_geo_loc.traversals.rosbag.index import BagIndex
from scene_geo_loc.traversals.rosbag.poses.bag_poses import BagPoses
from scene_geo_loc.traversals.rosbag.poses.frame_names import is_base
from scene_geo_loc.traversals.rosbag.poses.visual_motion import VisualMotion

logger = logging.getLogger(__name__)

MIN_SEEN = 0.3
"""Least share of matches that fit the motion of the body frame."""
SEEN_RATIO = 0.7
"""The other axes must fit less than this, times that share."""


def axes_by_motion(
    index: BagIndex, frame: str, stamps_ns: NDArray[np.int64], poses: BagPoses | None, seen: VisualMotion
) -> ImageFrame:
    """Returns the axes of the images' frame, by how it is mounted and by how the images move.

    Where it is mounted on the vehicle with y down it is optical.  Else the motion between images decides
    between both; where that shows nothing it is optical, with a warning if it is mounted with z up.

    Args:
        frame: of the images, without an optical child.
        poses: of the frame in the map.
    """
    mounted = _mounting(index, frame)
    if mounted is not None and mounted[2, 1] < -UPRIGHT:
        return ImageFrame.OPTICAL
    if poses is not None and mounted is None and _is_upright(poses, frame, stamps_ns):
        return ImageFrame.OPTICAL
    if poses is not None and (not is_optical_name(frame) or mounted is not None):
        known = poses

        def of_body(stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            T_map_body, there = known.of(frame, stamps_ns)
            return T_map_body @ T_BODY_OPTICAL, there

        shares = seen.inlier_shares([lambda stamps_ns: known.of(frame, stamps_ns), of_body])
        if shares is not None:
            optical, body = np.median(shares, axis=0)
            if body >= MIN_SEEN and optical < SEEN_RATIO * body:
                logger.warning(
                    "%s: the images in the frame %s move as if its x axis were forward: %.0f %% of the "
                    "matches fit, %.0f %% as an optical frame; it is taken as a body frame",
                    index.bag.path,
                    frame,
                    100 * body,
                    100 * optical,
                )
                return ImageFrame.BODY
            if optical >= MIN_SEEN and body < SEEN_RATIO * optical:
                return ImageFrame.OPTICAL
    if mounted is not None and mounted[2, 2] > UPRIGHT:
        logger.warning(
            "%s: the images are in the frame %s, whose z axis points up: as an optical frame the camera "
            "looks up; if its x axis is forward, give the frame of the images as body",
            index.bag.path,
            frame,
        )
    return ImageFrame.OPTICAL


def _mounting(index: BagIndex, frame: str) -> NDArray[np.float64] | None:
    """Returns the rotation (3, 3) of a frame in that of the vehicle, by its mounting; None where unknown."""
    bases = [base for base in index.tree.frames() if is_base(base) and index.tree.is_static(base, frame)]
    if not bases or frame in bases:
        return None
    T_base_frame = index.tree.static_pose(min(bases), frame)
    return None if T_base_frame is None else T_base_frame[:3, :3]


def _is_upright(poses: BagPoses, frame: str, stamps_ns: NDArray[np.int64]) -> bool:
    """Returns whether the frame's y axis points down in a map with z up, as that of a level camera."""
    some = stamps_ns[np.unique(np.linspace(0, len(stamps_ns) - 1, 50).round().astype(int))]
    T_map_frame, known = poses.of(frame, some)
    return bool(known.any() and np.median(T_map_frame[known, 2, 1]) < -UPRIGHT)
