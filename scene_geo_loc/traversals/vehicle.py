"""What a dataset's vehicle recorded beside the frames of one camera, for those who write it as a bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.skipped import Skipped

if TYPE_CHECKING:
    from scene_geo_loc.traversals.rosbag.writer import BagWriter


@dataclass(frozen=True)
class Record:
    """One measurement.

    Attributes:
        stamp_ns: when it was made.
        write: writes its messages to a bag.  Raises ValueError or OSError where it is of no use.
        of: what it is, in the plural, for messages: "scans", "GPS fixes", ...
    """

    stamp_ns: int
    write: Callable[[BagWriter], None]
    of: str


@dataclass(frozen=True)
class Recording:
    """The vehicle: where its sensors are, and their measurements.

    Attributes:
        camera_frame: the id of the optical frame of the camera whose frames the traversal has.
        T_base: the poses of the sensors' frames, that one among them, in base_link.
        between: the records from one stamp to another, both included, in order of time; counts what
            is of no use.
    """

    camera_frame: str
    T_base: Mapping[str, Pose]
    between: Callable[[int, int, Skipped], Iterator[Record]]
