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

"""A small synthetic run: a map, a traversal along it, and a localizer with prescribed poses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, make_pose
from scene_geo_loc.localization.estimate import (
    CameraEstimate,
    LocalizerSettings,
    Matches,
    PoseEstimate,
    Status,
)
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.skipped import Skipped

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)


def pose_at(x: float, y: float = 0.0) -> Pose:
    return make_pose(np.eye(3), (x, y, 0.0))


@dataclass
class FakeMap:
    """Keyframes every two metres, all with one grey thumbnail of half the camera's size."""

    T_map_camera: NDArray[np.float64] = field(
        default_factory=lambda: np.stack([pose_at(x, 0.5) for x in range(0, 40, 2)])
    )

    def thumbnail(self, keyframe: int) -> NDArray[np.uint8]:
        return np.full((24, 32, 3), 100, np.uint8)

    def camera_of(self, keyframe: int) -> Camera:
        return CAMERA


@dataclass
class FakeTraversal:
    """Forty frames, one metre and 0.1 s apart; the first pixel of each image is the frame's number."""

    name: str = "walk"
    map_frame: str = "map"
    skipped: Skipped = field(default_factory=Skipped)
    has_truth: bool = True

    def __len__(self) -> int:
        return 40

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for i in range(len(self)):
            image = np.full((48, 64, 3), 60, np.uint8)
            image[0, 0] = i
            truth = pose_at(float(i)) if self.has_truth else None
            yield Frame(i * 10**8, image, CAMERA, truth, name=f"frame {i}")

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return iter(())


class FakeLocalizer:
    """Is off by a centimetre a frame, loses frames 20 to 24, only retrieves 30, and refuses 35."""

    map = FakeMap()
    settings = LocalizerSettings()

    def localize(self, frame: Frame, prior: Any = None, earlier: Any = None) -> PoseEstimate:
        i = int(frame.image[0, 0, 0])
        if i == 35:
            raise SceneGeoLocError("The image is of another size.")
        if 20 <= i < 25:
            return PoseEstimate(Status.LOST, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, 0.0, 0.1))
        pixels = np.array([[5.0, 6.0], [40.0, 20.0], [60.0, 40.0]])
        keyframe = min(i // 2, 19)
        matches = Matches(
            query_pixels=pixels,
            keyframe=np.array([keyframe, keyframe, 0]),
            keyframe_pixels=pixels,
            points_map=np.zeros((3, 3)),
            points_sigma=np.zeros((3, 3)),
            inlier=np.array([True, True, False]),
        )
        if i == 30:
            return PoseEstimate(
                Status.RETRIEVED_ONLY,
                pose_at(0.0),
                rejection=Rejection(RejectionKind.INLIER_RATIO, 0.1, 0.13),
                cameras=[CameraEstimate(matches=matches)],
            )
        timings = {"describe": 3.0, "solve": 1.0, "total": 4.0}
        return PoseEstimate(
            Status.LOCALIZED,
            pose_at(float(i), 0.01 * i),
            np.eye(6),
            inlier_ratio=2 / 3,
            inliers=2,
            cameras=[CameraEstimate(matches=matches)],
            timings_ms=timings,
        )


@pytest.fixture
def fake_map() -> FakeMap:
    return FakeMap()


@pytest.fixture
def traversal() -> FakeTraversal:
    return FakeTraversal()


@pytest.fixture
def localizer() -> FakeLocalizer:
    return FakeLocalizer()
