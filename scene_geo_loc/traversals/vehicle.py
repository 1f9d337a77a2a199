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

"""Measurements of a dataset's vehicle besides the frames of one camera, to be written to a bag."""

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
        stamp_ns: time of the measurement.
        write: writes its messages to a bag.  Raises ValueError or OSError where it is unusable.
        kind: kind of the measurement in the plural, for messages: "scans", "GPS fixes", ...
    """

    stamp_ns: int
    write: Callable[[BagWriter], None]
    kind: str


@dataclass(frozen=True)
class Recording:
    """Mountings of a vehicle's sensors, and their measurements.

    Attributes:
        camera_frame: id of the optical frame of the traversal's camera.
        T_base: poses of the sensors' frames, including `camera_frame`, in base_link.
        between: gives the records between two stamps, both included, in order of time; counts
            unusable ones.
    """

    camera_frame: str
    T_base: Mapping[str, Pose]
    between: Callable[[int, int, Skipped], Iterator[Record]]
