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

"""A view, which is one image of a run with its pose, and the cameras of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.robotcar.poses import rtk_file

VIEWS = ("stereo/centre", "mono_left", "mono_rear", "mono_right")
"""The cameras of RobotCar with the four views of a place, the leading one first."""

Cameras = Mapping[str, FolderTraversal]
"""The traversals of a run by name of the camera; the first one is the leading camera."""


@dataclass(frozen=True, eq=False)
class View:
    """An image of known pose, not read yet.

    Attributes:
        run: name of the folder of the run.
        camera: one of `VIEWS`.
        files: stamp, file of the image, camera, and pose in the map, which is never None.
        traversal: reads the image; it need not list any files.
    """

    run: str
    camera: str
    files: FrameFiles
    traversal: FolderTraversal = field(repr=False)

    @property
    def T_map_camera(self) -> Pose:
        """Pose of the camera."""
        assert self.files.T_map_camera is not None
        return self.files.T_map_camera

    @property
    def position(self) -> NDArray[np.float64]:
        """Returns the position (2,) of the camera in the map, metres east and north."""
        return self.T_map_camera[:2, 3]

    @property
    def heading_rad(self) -> float:
        """Heading of the optical axis, the angle from x to y, within [-pi, pi]."""
        forward = self.T_map_camera[:3, 2]
        return float(np.arctan2(forward[1], forward[0]))

    def read(self) -> NDArray[np.uint8]:
        """Reads the RGB image (H, W, 3). Raises TraversalError if it is missing or damaged."""
        return self.traversal.read_image(self.files.image)


def open_cameras(root: Path, run: str) -> Cameras:
    """Opens the cameras of `VIEWS` of a RobotCar run; empty if the run does not exist.

    Poses are those of RTK, else of inertial navigation: visual odometry has its own map frame in each run.

    Raises:
        TraversalError: the folder of a camera cannot be read, or the run has no such poses.
    """
    folder = root / run
    poses = "rtk" if rtk_file(folder) else "ins"
    return {
        camera: cast(FolderTraversal, open_traversal(folder, "robotcar", camera=camera, poses=poses))
        for camera in VIEWS
        if (folder / camera).is_dir()
    }
