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

"""Chooses the lidar among the clouds of a recording, by what the clouds of a lidar are like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.messages.transforms import frame_name
from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.index import LASER_SCAN, POINT_CLOUDS
from scene_geo_loc.traversals.rosbag.poses.frame_names import is_odometry, is_world
from scene_geo_loc.traversals.sources import Reason

MIN_POINTS, MIN_SHARE = 1000, 0.25
"""Clouds with fewer points than both, a number and a share of the densest cloud's, are not a lidar's."""
_SAMPLED = 1000
"""Messages that are read until each topic has shown one."""

_DERIVED = {
    *("map", "filtered", "downsampled", "voxel", "voxels", "cropped", "ground", "obstacle", "obstacles"),
    *("cluster", "clusters", "segmented", "local", "global", "registered", "accumulated", "aggregated"),
    *("costmap", "submap", "keyframe", "features", "edge", "surface", "planar", "corner", "nonground"),
}
"""Words of topics with clouds that were made of others."""
_COLOURS = {"rgb", "rgba", "r"}
_RADAR = {"doppler", "velocity", "rcs", "snr", "v_doppler_mps", "range_rate"}


@dataclass(frozen=True)
class LidarChoice:
    """The topic of the lidar, and why others are passed over.

    Attributes:
        topic: None where there are no clouds and no scans.
        reasons: phrase of a `Reason` for each other topic.
    """

    topic: str | None
    reasons: dict[str, str]


def choose_lidar(bag: Bag, wanted: str | None = None) -> LidarChoice:
    """Returns the wanted topic, else the best cloud, or without any the scan with the most messages.

    A lidar's cloud is in the frame of a sensor, dense, without colours, and not made of other clouds; of
    several that one with most messages is taken.

    Raises:
        TraversalError: there are no clouds and no scans on the wanted topic.
    """
    clouds, scans = bag.of_kind(*POINT_CLOUDS), bag.of_kind(LASER_SCAN)
    if wanted is not None:
        if wanted not in (*clouds, *scans):
            there = ", ".join((*clouds, *scans)) or "none"
            raise TraversalError(
                f"{bag.path}: no point clouds or laser scans on {wanted}; topics with them are: {there}."
            )
        return LidarChoice(wanted, {})
    topics = clouds or scans
    doubts = _doubts(bag, clouds) if len(clouds) > 1 else {}
    best = min(topics, key=lambda topic: (topic in doubts, -bag.counts[topic], topic), default=None)
    reasons = {topic: doubts.get(topic, Reason.FEWER_MESSAGES.of()) for topic in topics if topic != best}
    if clouds:
        reasons |= dict.fromkeys(scans, Reason.PLANAR.of())
    return LidarChoice(best, reasons)


def _doubts(bag: Bag, topics: list[str]) -> dict[str, str]:
    """Returns why clouds are not a lidar's, by the first message of each; nothing for those that may be."""
    doubts: dict[str, str] = {}
    counts: dict[str, int] = {}
    missing = {topic for topic in topics if bag.counts[topic]}
    for number, message in enumerate(bag.messages(missing)):
        if message.topic in missing:
            try:
                decoded = message.decode()
            except ValueError:
                continue  # the next one may be undamaged
            missing.remove(message.topic)
            counts[message.topic] = _point_count(decoded)
            if doubt := _doubt(message.topic, decoded):
                doubts[message.topic] = doubt
        if not missing or number >= _SAMPLED:
            break
    most = max(counts.values(), default=0)
    for topic, count in counts.items():
        if count < MIN_POINTS and count < MIN_SHARE * most:
            doubts.setdefault(topic, Reason.FEW_POINTS.of(count=count, most=most))
    return doubts


def _doubt(topic: str, cloud: Any) -> str:
    frame = frame_name(cloud.header.frame_id)
    fields = {field.name.lower() for field in getattr(cloud, "fields", ())}
    word = next((word for word in re.split(r"[/_]", topic.lower()) if word in _DERIVED), "")
    if is_world(frame) or is_odometry(frame):
        return Reason.NOT_SENSOR.of(frame=frame)
    if fields & _COLOURS or "optical" in frame:
        return Reason.DEPTH_CAMERA.of()
    if fields & _RADAR:
        return Reason.RADAR.of()
    return Reason.DERIVED.of(word=word) if word else ""


def _point_count(cloud: Any) -> int:
    return len(cloud.points) if hasattr(cloud, "points") else cloud.width * cloud.height
