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

"""Record of what a live build takes, and of what else there is, as the reader of a bag keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scene_geo_loc.traversals.messages.images import ImageKind, kind_of
from scene_geo_loc.traversals.messages.transforms import frame_name
from scene_geo_loc.traversals.sources import PassedOver, Reason, Role, SensorSource

if TYPE_CHECKING:
    from rclpy.node import Node

    from scene_geo_loc.ros.common.settings import MapBuilderNodeSettings

TF = "TF"
"""Name of the transforms as a source of poses, as of a bag."""

_KINDS: dict[Role, tuple[str, ...]] = {
    Role.IMAGES: ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"),
    Role.CAMERA: ("sensor_msgs/msg/CameraInfo",),
    Role.POSES: (
        "nav_msgs/msg/Odometry",
        "geometry_msgs/msg/PoseStamped",
        "geometry_msgs/msg/PoseWithCovarianceStamped",
        "geometry_msgs/msg/TransformStamped",
    ),
    Role.LIDAR: ("sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/LaserScan"),
    Role.SATELLITE: ("sensor_msgs/msg/NavSatFix",),
}
"""Types of the messages that can serve a role."""


@dataclass
class _Topic:
    """Messages that arrived on a topic.

    Attributes:
        messages: their number.
        kind: message type, with the encoding of images.
        frame: frame of the first message.
    """

    role: Role
    parameter: str
    messages: int = 0
    kind: str = ""
    frame: str = ""


class LiveSources:
    """Counts what arrives on the topics of a build since the node was configured."""

    def __init__(self, node: Node, settings: MapBuilderNodeSettings) -> None:
        self._node, self._settings = node, settings
        self._topics: dict[str, _Topic] = {}
        self._transforms: Counter[tuple[str, str]] = Counter()
        self._chain: tuple[str, ...] = ()
        self._moving: list[tuple[str, str]] = []

    def expect(self, role: Role, topic: str, parameter: str) -> None:
        """Begins to count the messages of a topic, or goes on.

        Args:
            parameter: the parameter that names it.
        """
        self._topics.setdefault(self._node.resolve_topic_name(topic), _Topic(role, parameter))

    def add(self, topic: str, message: Any) -> None:
        """Counts a message."""
        found = self._topics[self._node.resolve_topic_name(topic)]
        found.messages += 1
        if found.messages == 1:
            encoding = getattr(message, "encoding", "") or getattr(message, "format", "")
            found.kind = f"{_type_of(message)}, {encoding.strip()}".rstrip(", ")
            found.frame = frame_name(message.header.frame_id)

    def add_transform(self, parent: str, child: str) -> None:
        """Counts a transform."""
        self._transforms[parent, child] += 1

    def place_camera(self, chain: Sequence[str], moving: Iterable[tuple[str, str]]) -> bool:
        """Keeps the frames from the map's to the camera's; returns whether they are the first.

        Args:
            moving: the transforms between them that move, as (parent, child).
        """
        is_first = not self._chain
        self._chain, self._moving = tuple(chain), list(moving)
        return is_first

    def sources(self) -> list[SensorSource]:
        """Returns what was taken for each role, with what else is published now."""
        others = self._published()
        records = [
            SensorSource(
                topic.role,
                name,
                topic.kind,
                topic.messages,
                topic.frame,
                reason=Reason.PARAMETER.of(name=topic.parameter),
                passed_over=tuple(others.pop(topic.role, ())),
            )
            for name, topic in self._topics.items()
            if topic.role is not Role.POSES
        ]
        if self._settings.calibration_file:
            records.append(
                SensorSource(
                    Role.CAMERA,
                    self._settings.calibration_file,
                    reason=Reason.PARAMETER.of(name="calibration_file"),
                    passed_over=tuple(others.pop(Role.CAMERA, ())),
                )
            )
        records.append(self._poses(others.pop(Role.POSES, [])))
        taken = {record.role for record in records}
        records += [
            SensorSource(role, passed_over=tuple(others.pop(role, ())))
            for role in (Role.DEPTH, Role.LIDAR)
            if role not in taken
        ]
        order = list(Role)
        return sorted(records, key=lambda record: order.index(Role(record.role)))

    def _poses(self, others: list[PassedOver]) -> SensorSource:
        chain, settings = self._chain, self._settings
        topic = next((item for item in self._topics.items() if item[1].role is Role.POSES), None)
        if topic is None:
            return SensorSource(
                Role.POSES,
                TF,
                messages=min((self._transforms[edge] for edge in self._moving), default=0),
                frame=chain[0] if chain else "",
                of_frame=chain[-1] if chain else "",
                chain=chain,
                reason=Reason.PARAMETER.of(name="pose_source"),
                passed_over=tuple(others),
            )
        name, found = topic
        return SensorSource(
            Role.POSES,
            name,
            found.kind,
            found.messages,
            found.frame,
            settings.base_frame,
            chain,
            Reason.PARAMETER.of(name=found.parameter),
            tuple(others),
        )

    def _published(self) -> dict[Role, list[PassedOver]]:
        """Returns the topics that others publish, and that could serve a role."""
        found: dict[Role, list[PassedOver]] = {}
        for topic, kinds in sorted(self._node.get_topic_names_and_types()):
            role = next((role for role, known in _KINDS.items() if kinds[0] in known), None)
            if role is None or topic in self._topics or not self._node.count_publishers(topic):
                continue
            if role is Role.IMAGES and kind_of(topic, "png") is ImageKind.DEPTH:
                role = Role.DEPTH
            found.setdefault(role, []).append(PassedOver(topic, 0, Reason.NOT_SUBSCRIBED.of()))
        return found


def _type_of(message: Any) -> str:
    package, kind, *_ = type(message).__module__.split(".")
    return f"{package}/{kind}/{type(message).__name__}"
