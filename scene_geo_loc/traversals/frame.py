"""What a traversal is made of: frames and lidar scans, with their poses in the map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.skipped import Skipped
from scene_geo_loc.traversals.subset import Subset


@dataclass(frozen=True)
class Frame:
    """One image of a traversal and what is known about it.

    Attributes:
        stamp_ns: time of the image in integer nanoseconds.
        image: (H, W, 3) uint8 RGB, as the camera took it (not undistorted).
        camera: its intrinsics; the size is the image's.
        T_map_camera: pose of the optical frame in the map, or None where unknown.
        depth: (H, W) float32 metres along the optical axis, NaN where unknown, or None where no
            sensor measured it together with the image.
        name: what the source calls it, for messages.
        T_odom_camera: pose of the optical frame by odometry alone, in a frame that drifts, or None
            where the source has none.
    """

    stamp_ns: int
    image: NDArray[np.uint8]
    camera: Camera
    T_map_camera: Pose | None = None
    depth: NDArray[np.float32] | None = None
    name: str = ""
    T_odom_camera: Pose | None = None


@dataclass(frozen=True)
class Scan:
    """One sweep of a lidar, its points already taken to the map by the pose at each point's time.

    Attributes:
        stamp_ns: time of the sweep.
        points_map: (N, 3) float64 metres in the map; all finite.
    """

    stamp_ns: int
    points_map: NDArray[np.float64]


class Traversal(Protocol):
    """A run through a place that can be read again and again, in order of time.

    Attributes:
        name: the source, for messages and provenance.
        map_frame: id of the frame that the poses are given in.
    """

    name: str
    map_frame: str

    @property
    def skipped(self) -> Skipped:
        """What the last iteration left out, and why."""
        ...

    def __len__(self) -> int:
        """How many frames there are, before any is left out."""
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames in order of time, decoded one at a time."""
        ...

    def scans(self) -> Iterator[Scan]:
        """The lidar's scans in order of time; nothing where there is no lidar."""
        ...


class SubsettableTraversal(Traversal, Protocol):
    """A traversal that can be reduced to some of its frames."""

    def subset(self, subset: Subset) -> SubsettableTraversal:
        """This traversal with only some of its frames, and the scans around them."""
        ...
