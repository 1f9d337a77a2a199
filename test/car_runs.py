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

"""Runs of poses without images, to choose places and views from."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, make_pose
from scene_geo_loc.places.views import VIEWS, Cameras
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles

CAMERA = Camera(8, 6, 10.0, 10.0, 3.5, 2.5)
YAW_DEG = {"stereo/centre": 0.0, "mono_left": 90.0, "mono_rear": 180.0, "mono_right": -90.0}


def look(xy: np.ndarray, heading_deg: float) -> Pose:
    """A camera at a place that looks where a car of that heading would."""
    c, s = np.cos(np.radians(heading_deg)), np.sin(np.radians(heading_deg))
    body = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return make_pose(body @ OPTICAL_FROM_BODY.T, [*xy, 1.6])


Drive = Callable[..., Cameras]


@pytest.fixture(scope="session")
def drive() -> Drive:
    """Drives a car through corners (x, y), an image of each camera every `step` metres at 10 m/s."""

    def run(
        corners: list[tuple[float, float]],
        root: Path = Path("data"),
        name: str = "run",
        step: float = 1.0,
        views: tuple[str, ...] = VIEWS,
    ) -> Cameras:
        points = np.array([corners[0], *(b for a, b in pairwise(corners) if a != b)], np.float64)
        legs = np.linalg.norm(np.diff(points, axis=0), axis=1)
        way = np.arange(0.0, legs.sum(), step)
        leg = np.searchsorted(np.cumsum(legs), way, side="right").clip(0, len(legs) - 1)
        along = (points[1:] - points[:-1]) / legs[:, None]
        xy = points[leg] + (way - (np.cumsum(legs) - legs)[leg])[:, None] * along[leg]
        heading = np.degrees(np.arctan2(along[leg, 1], along[leg, 0]))
        stamps = 10**18 + (way / 10.0 * 1e9).astype(np.int64)
        return {
            camera: FolderTraversal(
                name,
                [
                    FrameFiles(
                        int(stamp) + 1000 * number,
                        root / name / camera / f"{stamp}.png",
                        CAMERA,
                        look(xy[i], heading[i] + YAW_DEG[camera]),
                    )
                    for i, stamp in enumerate(stamps)
                ],
            )
            for number, camera in enumerate(views)
        }

    return run
