"""One picture of a run with its place in the map, and the cameras of a run."""

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
"""The cameras of RobotCar that give the four views of a place, the leading one first."""

Cameras = Mapping[str, FolderTraversal]
"""A run as its cameras see it, by the camera's name; the first one leads."""


@dataclass(frozen=True, eq=False)
class View:
    """A picture of known pose, not read yet.

    Attributes:
        run: name of the run's folder.
        camera: one of `VIEWS`.
        files: stamp, file of the image, camera, and pose in the map, which is always there.
        traversal: what reads the image; of its files it need not know any.
    """

    run: str
    camera: str
    files: FrameFiles
    traversal: FolderTraversal = field(repr=False)

    @property
    def T_map_camera(self) -> Pose:
        """The pose of the camera."""
        assert self.files.T_map_camera is not None
        return self.files.T_map_camera

    @property
    def position(self) -> NDArray[np.float64]:
        """Where the camera is, (2,) metres in the map: x east, y north."""
        return self.T_map_camera[:2, 3]

    @property
    def heading_rad(self) -> float:
        """Where the camera looks: the angle of its optical axis from x to y, within [-pi, pi]."""
        forward = self.T_map_camera[:3, 2]
        return float(np.arctan2(forward[1], forward[0]))

    def read(self) -> NDArray[np.uint8]:
        """The picture as RGB (H, W, 3). Raises TraversalError where it is missing or damaged."""
        return self.traversal.read_image(self.files.image)


def open_cameras(root: Path, run: str) -> Cameras:
    """The cameras of `VIEWS` that a RobotCar run has; none where the run is not there.

    Poses are RTK's or else those of inertial navigation: visual odometry has a map of its own in each run.

    Raises:
        TraversalError: a camera's folder is there and cannot be read, or the run has no such poses.
    """
    folder = root / run
    poses = "rtk" if rtk_file(folder) else "ins"
    return {
        camera: cast(FolderTraversal, open_traversal(folder, "robotcar", camera=camera, poses=poses))
        for camera in VIEWS
        if (folder / camera).is_dir()
    }
