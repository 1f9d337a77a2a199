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

"""Records which topics of images, intrinsics, depth and lidar were taken, and which were not."""

from __future__ import annotations

from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.index import CAMERA_INFO, LASER_SCAN, POINT_CLOUDS, BagIndex, ImageTopic
from scene_geo_loc.traversals.rosbag.topics.lidars import LidarChoice
from scene_geo_loc.traversals.sources import PassedOver, Reason, Role, SensorSource


def image_source(index: BagIndex, taken: ImageTopic, without_camera: set[str], named: bool) -> SensorSource:
    """Returns the record of the images.

    Args:
        without_camera: topics of images without usable intrinsics.
        named: whether the user named the topic.
    """
    others = [topic for topic in index.images.values() if topic.topic != taken.topic and not topic.is_depth]

    def why_not(topic: ImageTopic) -> str:
        if topic.topic in without_camera:
            return Reason.NO_CAMERA_INFO.of()
        if topic.is_grey and not taken.is_grey:
            return Reason.GREY.of()
        if topic.compressed and not taken.compressed:
            return Reason.COMPRESSED.of()
        return Reason.LATER_NAME.of()

    reason = Reason.NAMED if named else Reason.PREFERRED_IMAGES if others else Reason.ONLY
    return SensorSource(
        Role.IMAGES,
        taken.topic,
        _kind(index, taken),
        len(taken.stamps_ns),
        taken.frame_id,
        reason=reason.of(),
        passed_over=tuple(
            PassedOver(
                topic.topic, len(topic.stamps_ns), Reason.OTHER_CAMERA.of() if named else why_not(topic)
            )
            for topic in sorted(others, key=lambda topic: topic.topic)
        ),
    )


def camera_source(bag: Bag, taken: str, named: bool) -> SensorSource:
    """Returns the record of the intrinsics: a topic of camera_info, or a file."""
    others = [topic for topic in bag.of_kind(CAMERA_INFO) if topic != taken]
    reason = Reason.NAMED if named else Reason.BESIDE_IMAGES if others else Reason.ONLY
    return SensorSource(
        Role.CAMERA,
        taken,
        bag.topics.get(taken, ""),
        bag.counts.get(taken, 0),
        reason=reason.of(),
        passed_over=tuple(PassedOver(topic, bag.counts[topic], Reason.OTHER_CAMERA.of()) for topic in others),
    )


def depth_source(index: BagIndex, image: ImageTopic, taken: ImageTopic | None, named: bool) -> SensorSource:
    """Returns the record of the depth images."""
    others = [topic for topic in index.images.values() if topic.is_depth and topic is not taken]

    def why_not(topic: ImageTopic) -> str:
        if topic.frame_id != image.frame_id:
            return Reason.OTHER_FRAME.of(frame=topic.frame_id)
        if topic.compressed and taken is not None and not taken.compressed:
            return Reason.COMPRESSED.of()
        return Reason.LATER_NAME.of()

    passed_over = tuple(PassedOver(topic.topic, len(topic.stamps_ns), why_not(topic)) for topic in others)
    if taken is None:
        return SensorSource(Role.DEPTH, passed_over=passed_over)
    return SensorSource(
        Role.DEPTH,
        taken.topic,
        _kind(index, taken),
        len(taken.stamps_ns),
        taken.frame_id,
        reason=(
            Reason.NAMED
            if named
            else Reason.SAME_FRAME
            if taken.frame_id == image.frame_id
            else Reason.REGISTERED
        ).of(),
        passed_over=passed_over,
    )


def lidar_source(bag: Bag, choice: LidarChoice, named: bool) -> SensorSource:
    """Returns the record of the lidar."""
    taken = choice.topic
    if taken is None:
        return SensorSource(Role.LIDAR)
    others = [topic for topic in bag.of_kind(*POINT_CLOUDS, LASER_SCAN) if topic != taken]
    return SensorSource(
        Role.LIDAR,
        taken,
        bag.topics[taken],
        bag.counts[taken],
        reason=(Reason.NAMED if named else Reason.LIDAR if others else Reason.ONLY).of(),
        passed_over=tuple(
            PassedOver(topic, bag.counts[topic], choice.reasons.get(topic, "")) for topic in others
        ),
    )


def _kind(index: BagIndex, topic: ImageTopic) -> str:
    """Returns the message type of a topic, with the encoding where it is known."""
    return f"{index.bag.topics[topic.topic]}, {topic.encoding.strip()}".rstrip(", ")
