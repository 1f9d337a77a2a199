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

"""Chooses a recording's topics of the camera and of depth images."""

from __future__ import annotations

import logging

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.messages.camera_info import camera_info_beside
from scene_geo_loc.traversals.rosbag.index import BagIndex, ImageTopic
from scene_geo_loc.traversals.rosbag.topics.depth import unusable_depth

logger = logging.getLogger(__name__)


def choose_image(index: BagIndex, wanted: str | None) -> ImageTopic:
    """Returns the wanted topic of images, else the best: with camera_info, in colour, raw, first by name.

    Raises:
        TraversalError: there are no images, or none on the wanted topic.
    """
    pictures = {name: topic for name, topic in sorted(index.images.items()) if not topic.is_depth}
    if wanted is not None:
        if wanted not in pictures:
            there = ", ".join(pictures) or "none"
            raise TraversalError(f"{index.bag.path}: no images on {wanted}; topics with images are: {there}.")
        return pictures[wanted]
    if not pictures:
        there = ", ".join(sorted(index.bag.topics)) or "none"
        raise TraversalError(f"{index.bag.path}: the bag has no camera images; its topics are: {there}.")

    def order(topic: ImageTopic) -> tuple[bool, bool, bool, bool, str]:
        is_video = bool(topic.video)
        return not has_camera(index, topic), is_video, topic.is_grey, topic.compressed, topic.topic

    return min(pictures.values(), key=order)


def camera_topic(index: BagIndex, image: ImageTopic) -> str:
    """Returns the camera_info topic of an image topic, see `camera_info_beside`.

    Raises:
        TraversalError: there is none.
    """
    frames = {topic: series.frame_id for topic, series in index.camera_infos.items() if len(series)}
    images = [name for name, topic in index.images.items() if not topic.is_depth]
    found = camera_info_beside(image.topic, image.frame_id, frames, images)
    if found is None:
        others = f"; those of other images are: {', '.join(sorted(frames))}" if frames else ""
        raise TraversalError(
            f"{index.bag.path}: {len(image.stamps_ns)} images on {image.topic} but no camera_info beside "
            f"them{others}, so the camera's intrinsics are unknown; record camera_info too, or give a "
            "calibration file."
        )
    return found


def has_camera(index: BagIndex, image: ImageTopic) -> bool:
    """Returns whether an image topic has usable intrinsics."""
    try:
        series = index.camera_infos[camera_topic(index, image)]
        series.camera_at(image.stamps_ns[0], rectified=image.is_rectified, size=image.size)
    except (TraversalError, ValueError):
        return False
    return True


def choose_depth(
    index: BagIndex, image: ImageTopic, camera_frame: str, wanted: str | None = None
) -> ImageTopic | None:
    """Returns the wanted depth images, else the best: in the frame of the images, raw, first by name.

    Those of another camera are taken where their camera_info and the mounting of both are known.

    Args:
        camera_frame: optical frame of the images.

    Raises:
        TraversalError: there are no images on the wanted topic, or they cannot be registered.
    """
    found = [topic for topic in index.images.values() if topic.is_depth]
    if wanted is not None:
        if wanted not in index.images or wanted == image.topic:
            there = ", ".join(sorted(topic.topic for topic in found)) or "none"
            raise TraversalError(
                f"{index.bag.path}: no depth images on {wanted}; topics with depth images are: {there}."
            )
        if reason := unusable_depth(index, index.images[wanted], image.frame_id, camera_frame):
            raise TraversalError(f"{index.bag.path}: the depth images on {wanted} are not usable: {reason}.")
        return index.images[wanted]
    reasons = {topic.topic: unusable_depth(index, topic, image.frame_id, camera_frame) for topic in found}
    usable = [topic for topic in found if not reasons[topic.topic]]
    if found and not usable:
        listed = "; ".join(f"{topic}: {reason}" for topic, reason in sorted(reasons.items()))
        logger.warning("%s: no depth images are used (%s)", index.bag.path, listed)
    frames = (image.frame_id, camera_frame)
    return min(
        usable, key=lambda topic: (topic.frame_id not in frames, topic.compressed, topic.topic), default=None
    )
