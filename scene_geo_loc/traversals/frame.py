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

"""Frames and lidar scans with their poses in the map, and the traversals that give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.subset import Subset


@dataclass(frozen=True)
class GeoTag:
    """The geo-tag that the pose of a frame is by; frames of one tag share its error.

    Attributes:
        name: name of the tag in its source, such as the panorama's.
        position_std_m: standard deviation of its position along each axis; None where unknown.
        heading_std_deg: standard deviation of its heading; None where unknown.
    """

    name: str
    position_std_m: float | None = None
    heading_std_deg: float | None = None


@dataclass(frozen=True)
class Frame:
    """An image of a traversal with its camera, pose and depth.

    Attributes:
        stamp_ns: time of the image in integer nanoseconds.
        image: (H, W, 3) uint8 RGB, as the camera took it (not undistorted).
        camera: camera of the image; it has the image's size.
        T_map_camera: pose of the optical frame in the map, or None where unknown.
        depth: (H, W) float32 metres along the optical axis, NaN where unknown, or None where no
            sensor measured it together with the image.
        name: name of the image in its source, for messages.
        T_odom_camera: pose of the optical frame by odometry alone, in a frame that drifts, or None
            where the source has none.
        visible: mask (H, W) of the pixels that show the scene, or None where all do.  The others give no
            features and no depth, whatever the image has there.
        geo_tag: tag that the pose is by, or None where each frame has a pose of its own.
        readout_motion: motion of the camera while a rolling shutter read the image out, whose first row has
            the poses above; None for a global shutter, or where the motion is not known.
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    T_map_camera: Pose | None = None
    depth: NDArray[np.float32] | None = None
    name: str = ""
    T_odom_camera: Pose | None = None
    visible: NDArray[np.bool_] | None = None
    geo_tag: GeoTag | None = None
    readout_motion: ReadoutMotion | None = None


@dataclass(frozen=True)
class Scan:
    """A sweep of a lidar in the map, each point transformed by the pose at its own time.

    Attributes:
        stamp_ns: time of the sweep.
        points_map: (N, 3) float64 metres in the map; all finite.
    """

    stamp_ns: int
    points_map: NDArray[np.float64]


PassOver = Callable[[int, Pose | None], bool]
"""Returns whether the frame with a stamp and a pose is not needed; called before its image is read."""


PassOverScan = Callable[[int], bool]
"""Returns whether the scan with a stamp is not needed; called before it is decoded."""


def read_all(stamp_ns: int, T_map_camera: Pose | None = None) -> bool:
    """A `PassOver` and `PassOverScan` that needs everything."""
    return False


class Traversal(Protocol):
    """A run through a place that can be read repeatedly, in order of time.

    Attributes:
        name: name of the source, for messages and provenance.
        map_frame: id of the frame that the poses are given in.
    """

    name: str
    map_frame: str

    @property
    def skipped(self) -> Skipped:
        """Counts of the items that the last iteration left out, by reason."""
        ...

    def __len__(self) -> int:
        """Number of frames, including those that will be left out."""
        ...

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        """Yields the frames in order of time, decoded one at a time.

        Args:
            pass_over: called with each frame in order of time, when the earlier frames have been yielded;
                frames for which it returns True are left out and not decoded.
        """
        ...

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        """Yields the lidar's scans in order of time; nothing where there is no lidar.

        Args:
            pass_over: called with the stamp of each scan in order of time; those for which it returns True
                are left out and not decoded.
        """
        ...


class SubsettableTraversal(Traversal, Protocol):
    """A traversal that can be reduced to some of its frames."""

    def subset(self, subset: Subset) -> SubsettableTraversal:
        """Returns this traversal reduced to some of its frames and the scans around them."""
        ...
