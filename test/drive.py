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

"""A short drive as a bag with known poses, pixels and points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.traversals.rosbag.writer import BagWriter

CAMERA = Camera(64, 48, 60.0, 61.0, 31.5, 23.5, "plumb_bob", (-0.1, 0.01, 0.001, -0.001, 0.0))
T_BASE_CAMERA = make_pose(OPTICAL_FROM_BODY.T, [1.5, 0.1, 1.2])
T_BASE_LIDAR = make_pose(Rotation.from_euler("z", 30, degrees=True).as_matrix(), [0.0, 0.0, 1.8])
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000


def stamp(i: float) -> int:
    """The stamp of image number i."""
    return START_NS + round(i * PERIOD_NS)


def base_at(i: float) -> Pose:
    """The vehicle's pose in the map at image number i: a curve to the left."""
    return make_pose(
        Rotation.from_euler("z", 2.0 * i, degrees=True).as_matrix(), [0.8 * i, 0.02 * i * i, 0.0]
    )


def picture(i: int) -> np.ndarray:
    """The image number i: a soft pattern under little noise.

    It has no corners: opening a bag would compare the corners of images, and find no motion in seconds.
    """
    random = np.random.default_rng(i)
    pattern = cv2.resize(random.uniform(10, 245, (3, 4, 3)), (64, 48), interpolation=cv2.INTER_LINEAR)
    return (pattern + random.uniform(-8, 8, pattern.shape)).astype(np.uint8)


def write_drive(
    path: Path,
    *,
    images: Iterable[int] = range(10),
    image_stamp: Callable[[int], int] = stamp,
    compressed: bool = False,
    camera: Camera | None = CAMERA,
    truth: bool = True,
    tf: bool = False,
    odometry: bool = False,
    static: bool = True,
    depth: bool = False,
    extra: Callable[[BagWriter, int], Any] | None = None,
) -> Path:
    """Writes the drive, or the drive without some of its topics."""
    with BagWriter(path) as bag:
        if static:
            mounting = {
                ("base_link", "camera_optical_frame"): T_BASE_CAMERA,
                ("base_link", "lidar_link"): T_BASE_LIDAR,
            }
            bag.static_transforms(START_NS, mounting)
        for number, i in enumerate(images):
            now = image_stamp(number)
            if truth:
                bag.pose("/ground_truth/pose", stamp(number), "map", base_at(number))
            if tf:
                bag.transform(stamp(number), "map", "odom", make_pose(np.eye(3), [100.0, 0.0, 0.0]))
                bag.transform(stamp(number), "odom", "base_link", base_at(number))
            if odometry:
                T = make_pose(np.eye(3), [0.0, 0.0, 7.0]) @ base_at(number)
                bag.odometry(
                    "/odom", stamp(number), "odom", "base_link", T, (0, 0, 0), (0, 0, 0), [0.1] * 6, [0.1] * 6
                )
            if camera is not None:
                bag.camera_info("/camera/camera_info", now, "camera_optical_frame", camera)
            if compressed:
                bag.compressed_image("/camera/image_raw/compressed", now, "camera_optical_frame", picture(i))
            else:
                bag.image("/camera/image_raw", now, "camera_optical_frame", picture(i))
            if depth:
                metres = np.full((48, 64), 1.0 + i, np.float32)
                metres[0, 0] = np.nan
                bag.depth_image("/camera/depth/image_raw", now + 3_000_000, "camera_optical_frame", metres)
            if extra is not None:
                extra(bag, number)
    return path
