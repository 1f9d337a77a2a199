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

"""Frames as another camera would have taken them: rolled about the optical axis, or through a longer lens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.traversals.frame import (
    Frame,
    PassOver,
    PassOverScan,
    Scan,
    Traversal,
    read_all,
)
from scene_geo_loc.traversals.skipped import Skipped

ZOOM = 2
"""Factor between the two focal lengths."""


class ChangedFrames:
    """A traversal whose frames are changed one by one; see `Traversal`."""

    def __init__(self, original: Traversal, change: Callable[[Frame], Frame]) -> None:
        """Takes the frames as they were taken, and a function that returns a changed one."""
        self.name, self.map_frame = original.name, original.map_frame
        self._original, self._change = original, change

    @property
    def skipped(self) -> Skipped:
        """Counts of the original."""
        return self._original.skipped

    def __len__(self) -> int:
        return len(self._original)

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the changed frames; see `Traversal.frames`."""
        return map(self._change, self._original.frames(pass_over))

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the original's scans."""
        return self._original.scans(pass_over)


@dataclass(frozen=True)
class Rolled:
    """Rolls frames about the optical axis, clockwise as the image is seen.

    The intrinsics are kept; corners that the camera did not see are black, and the depth is left out.  The
    camera must be free of distortion.
    """

    degrees: float

    def __call__(self, frame: Frame) -> Frame:
        """Returns the rolled frame."""
        cos, sin = np.cos(np.radians(self.degrees)), np.sin(np.radians(self.degrees))
        R_rolled_camera = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        K = frame.camera.K
        H = K @ R_rolled_camera @ np.linalg.inv(K)
        image = cv2.warpPerspective(frame.image, H, frame.image.shape[1::-1])
        pose = frame.T_map_camera
        if pose is not None:
            pose = pose @ inverse(make_pose(R_rolled_camera, np.zeros(3)))
        return replace(frame, image=np.asarray(image, np.uint8), T_map_camera=pose, depth=None)


def zoomed(frame: Frame) -> Frame:
    """Returns the frame through a lens of `ZOOM` times the focal length: the image's centre at full size."""
    height, width = frame.image.shape[:2]
    part = (width // ZOOM, height // ZOOM)
    x, y = (width - part[0]) // 2, (height - part[1]) // 2
    window = (slice(y, y + part[1]), slice(x, x + part[0]))
    image = cv2.resize(frame.image[window], (width, height), interpolation=cv2.INTER_LINEAR)
    depth = frame.depth
    if depth is not None:
        depth = np.asarray(
            cv2.resize(depth[window], (width, height), interpolation=cv2.INTER_NEAREST), np.float32
        )
    camera = frame.camera.cropped(x, y, *part).resized(width, height)
    return replace(frame, image=np.asarray(image, np.uint8), camera=camera, depth=depth)
