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

"""Record of what was taken from a source of frames, and of what else there was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable


class Role(str, Enum):
    """Use of a source; the value is its name for the user and in files."""

    RUN = "run"
    IMAGES = "images"
    CAMERA = "camera_info"
    POSES = "poses"
    DEPTH = "depth"
    LIDAR = "lidar"
    ODOMETRY = "odometry"
    SATELLITE = "gps"


class Reason(str, Enum):
    """Reason why something was taken or passed over; the value completes "topic: ..." for the user."""

    NAMED = "named by the user"
    PARAMETER = "by the parameter {name}"
    NOT_SUBSCRIBED = "not subscribed"
    ONLY = "nothing else there"
    MOST_IMAGES = "the longest run"
    OTHER_RUN = "another run, begun where the clock jumps back"
    # images and camera_info
    PREFERRED_IMAGES = "with camera_info, in colour, raw, first by name"
    NO_CAMERA_INFO = "no usable camera_info"
    GREY = "grey"
    COMPRESSED = "compressed"
    LATER_NAME = "later by name"
    BESIDE_IMAGES = "beside the images"
    OTHER_CAMERA = "of other images"
    # depth and lidar
    SAME_FRAME = "in the frame of the images"
    REGISTERED = "registered to the images by the mounting of both cameras"
    OTHER_FRAME = "in the frame {frame}, not that of the images"
    LIDAR = "clouds of a lidar, most messages"
    FEWER_MESSAGES = "fewer messages"
    PLANAR = "planar scans beside clouds"
    NOT_SENSOR = "in the frame {frame}, not that of a sensor"
    DEPTH_CAMERA = "clouds of a depth camera"
    RADAR = "clouds of a radar"
    DERIVED = "made of other clouds, by its name: `{word}`"
    FEW_POINTS = "{count} points, another cloud has {most}"
    # satellite positions
    PRECISE = "the smallest stated errors"
    LESS_PRECISE = "larger stated errors, or fewer positions"
    # poses
    TRUTH = "ground truth by its name"
    GLOBAL_TF = "transforms from {frame} to the camera, complete"
    GLOBAL_TOPIC = "poses in a frame that does not drift"
    ROOT_TF = "transforms from the root {frame} to the camera"
    ODOMETRY = "odometry, which drifts"
    TRAJECTORY_FILE = "trajectory file"
    COMMANDS = "its name says `{word}`, not the vehicle's pose"
    CARRIED = "poses in {frame}, which moves with the camera"
    TOO_FEW = "fewer than two poses"
    UNCONNECTED = "no transform from {frame} to the camera"
    CONFLICTS = "two different poses at {share:.0%} of its times, as of two publishers or runs at once"
    NO_IMAGE_COVERED = "no pose at the time of any image"
    STILL = "does not move while other sources do"
    UNCOVERED = "poses for {share:.0%} of the images < {best:.0%}"
    SPARSE = "sparse: a pose every {seconds:.1f} s"
    AGREES = "moves the same"
    DRIFTS = "drifts: {metres:.2f} m over {length:.0f} m"
    DISAGREES = "moves otherwise: agreement {agreement:.0%} < {limit:.0%} over {seconds:.1f} s"
    APART = "another body: its distance to the camera changes by {metres:.1f} m"
    JUMPS = "steps, not motion: {share:.0%} of the motion in {steps:.0%} of the intervals"
    UNSEEN = "contradicts the images: {inliers:.0%} of the matches fit its motion, {best:.0%} the other"

    def of(self, **values: Any) -> str:
        """Returns the phrase with its numbers and names."""
        return self.value.format(**values)


@dataclass(frozen=True)
class PassedOver:
    """Something that could have been taken and was not.

    Attributes:
        name: topic, "TF from FRAME", or a number of a run.
        messages: number of its messages; 0 where nobody counted them, as those of a running robot.
        reason: phrase of a `Reason`.
    """

    name: str
    messages: int
    reason: str


@dataclass(frozen=True)
class SensorSource:
    """The source taken for one role.

    Attributes:
        role: value of a `Role`.
        name: topic, file, or "TF"; empty where nothing was taken.
        kind: message type, or encoding.
        messages: number of its messages; of TF those of the slowest moving transform.
        frame: frame of the data; for poses and odometry the frame that they are given in.
        of_frame: for poses and odometry the frame whose poses they are.
        chain: frames from `frame` to the camera, through which the pose of the camera is found.
        reason: phrase of a `Reason`.
        passed_over: what else there was.
    """

    role: str
    name: str = ""
    kind: str = ""
    messages: int = 0
    frame: str = ""
    of_frame: str = ""
    chain: tuple[str, ...] = ()
    reason: str = ""
    passed_over: tuple[PassedOver, ...] = ()


@runtime_checkable
class HasSources(Protocol):
    """A traversal that records what it was read from."""

    @property
    def sources(self) -> Sequence[SensorSource]:
        """Sources taken, by role."""
        ...


def sources_of(traversal: object) -> list[SensorSource]:
    """Returns what a traversal takes; empty for formats that have one place for everything."""
    return list(traversal.sources) if isinstance(traversal, HasSources) else []


def summary_of(sources: Sequence[SensorSource]) -> str:
    """Returns one line with the names of what is taken, and the frames from the poses to the camera."""
    return ", ".join(
        f"{Role(source.role).value} {source.name or 'none'}"
        + (f" ({' -> '.join(source.chain)})" if len(source.chain) > 1 else "")
        for source in sources
    )
