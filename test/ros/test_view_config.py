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

"""The configuration of RViz and the layout of Foxglove show topics that the node has, with their types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from camera_robot import FakeLocalizer, FakeMap
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosbags.typesys import Stores, get_typestore

from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.localization.view.messages import LATCHED
from scene_geo_loc.localization.view.recording import OTHER_TOPICS
from scene_geo_loc.ros.localization.node import LocalizationNode

CONFIG = Path(__file__).parents[2] / "config"
RVIZ: dict[str, Any] = yaml.safe_load((CONFIG / "localization.rviz").read_text())["Visualization Manager"]
LAYOUT: dict[str, Any] = json.loads((CONFIG / "foxglove_layout.json").read_text())
TYPES = get_typestore(Stores.ROS2_JAZZY)

FROM_THE_ROBOT = {
    "/odom": "nav_msgs/msg/Odometry",
    "/lidar/points": "sensor_msgs/msg/PointCloud2",
    "/ground_truth/pose": OTHER_TOPICS["ground_truth/pose"],
}
"""Topics that the robot or a recording publishes."""
SHOWN_BY_RVIZ = {
    "Image": "sensor_msgs/msg/Image",
    "Marker": "visualization_msgs/msg/Marker",
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "Odometry": "nav_msgs/msg/Odometry",
    "Path": "nav_msgs/msg/Path",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Pose": "geometry_msgs/msg/PoseStamped",
    "PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
}
"""Displays of rviz_default_plugins with a topic, and the type that each subscribes to."""
SENT_BY_RVIZ = {
    "SetInitialPose": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "PublishPoint": "geometry_msgs/msg/PointStamped",
}
"""Tools with a topic, and the type that each publishes."""
IN_3D = set(SHOWN_BY_RVIZ.values()) - {"nav_msgs/msg/Odometry"}
"""Types that the 3D panel of Foxglove and Lichtblick shows."""
SETTINGS_IN_3D = {
    "sensor_msgs/msg/PointCloud2": {
        "colorMode",
        "colorField",
        "flatColor",
        "explicitAlpha",
        "pointSize",
        "pointShape",
    },
    "nav_msgs/msg/Path": {"type", "lineWidth", "gradient"},
    "geometry_msgs/msg/PoseStamped": {"type", "axisScale", "arrowScale", "color"},
    "geometry_msgs/msg/PoseWithCovarianceStamped": {
        "type",
        "axisScale",
        "arrowScale",
        "color",
        "showCovariance",
    },
}
PANELS = {"3D", "Image", "Plot", "StateTransitions", "DiagnosticSummary", "Tab", "map"}


class PlacedMap(FakeMap):
    """A map with a datum, so that the node publishes where it is on the Earth."""

    georeference = Georeference(Datum(52.0, 5.0, 0.0, 90.0))


@pytest.fixture(scope="module")
def node() -> Iterator[LocalizationNode]:
    import rclpy

    rclpy.init()
    node = LocalizationNode(
        lambda settings: (FakeLocalizer(), PlacedMap()),  # type: ignore[arg-type,return-value]
        parameter_overrides=[Parameter("tracking", value=True)],
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def kinds_of(endpoints: Any) -> dict[str, str]:
    return {
        endpoint.topic_name: f"{endpoint.msg_type.__module__.split('.')[0]}/msg/{endpoint.msg_type.__name__}"
        for endpoint in endpoints
    }


@pytest.fixture(scope="module")
def published(node: LocalizationNode) -> dict[str, str]:
    """Type of each topic that the node publishes, and of those of the robot."""
    return kinds_of(node.publishers) | FROM_THE_ROBOT


def displays() -> list[dict[str, Any]]:
    return [display for display in RVIZ["Displays"] if "Topic" in display]


def test_each_display_of_rviz_shows_a_topic_of_the_type_that_is_published(published: dict[str, str]) -> None:
    found = {display["Topic"]["Value"]: display["Class"].split("/")[1] for display in displays()}
    assert len(found) == len(displays())
    assert {topic: SHOWN_BY_RVIZ[kind] for topic, kind in found.items()} == {
        topic: published.get(topic) for topic in found
    }


def test_rviz_subscribes_to_latched_topics_as_they_are_published() -> None:
    for display in displays():
        topic = display["Topic"]
        latched = topic["Value"].removeprefix("/") in LATCHED
        assert topic["Durability Policy"] == ("Transient Local" if latched else "Volatile"), topic
        assert topic["Reliability Policy"] == "Reliable"


def test_each_tool_of_rviz_sends_what_the_node_subscribes_to(node: LocalizationNode) -> None:
    subscribed = kinds_of(node.subscriptions)
    tools = {tool["Class"].split("/")[1]: tool["Topic"]["Value"] for tool in RVIZ["Tools"] if "Topic" in tool}
    assert set(tools) == set(SENT_BY_RVIZ)
    assert {name: subscribed[topic] for name, topic in tools.items()} == SENT_BY_RVIZ


def test_everything_that_is_made_to_look_at_is_in_both(published: dict[str, str]) -> None:
    views = {topic for topic in published if topic.removeprefix("/") in LATCHED or "/candidates" in topic}
    in_rviz = {display["Topic"]["Value"] for display in displays()}
    in_foxglove = set(LAYOUT["configById"]["3D!map"]["topics"])
    assert views <= in_rviz & in_foxglove


def leaves(layout: Any) -> list[str]:
    """Panels of a layout: a tree of rows and columns."""
    if isinstance(layout, str):
        return [layout]
    assert layout["direction"] in ("row", "column")
    assert 0 < layout["splitPercentage"] < 100
    return leaves(layout["first"]) + leaves(layout["second"])


def test_the_layout_of_foxglove_places_each_of_its_panels_once() -> None:
    placed = leaves(LAYOUT["layout"])
    for name in [name for name in placed if name.startswith("Tab!")]:
        tabs = LAYOUT["configById"][name]["tabs"]
        assert 0 <= LAYOUT["configById"][name]["activeTabIdx"] < len(tabs)
        for tab in tabs:
            assert tab["title"]
            placed += leaves(tab["layout"])
    assert sorted(placed) == sorted(LAYOUT["configById"])
    assert {panel.split("!")[0] for panel in placed} <= PANELS


def test_the_3d_panel_shows_topics_of_types_that_it_knows(
    published: dict[str, str], node: LocalizationNode
) -> None:
    panel = LAYOUT["configById"]["3D!map"]
    for topic, settings in panel["topics"].items():
        kind = published[topic]
        assert kind in IN_3D, topic
        assert set(settings) - {"visible"} <= SETTINGS_IN_3D.get(kind, set()), topic
    subscribed = kinds_of(node.subscriptions)
    assert subscribed[panel["publish"]["pointTopic"]] == "geometry_msgs/msg/PointStamped"
    assert subscribed[panel["publish"]["poseEstimateTopic"]] == SENT_BY_RVIZ["SetInitialPose"]


def test_image_panels_show_images(published: dict[str, str]) -> None:
    panels = [config for name, config in LAYOUT["configById"].items() if name.startswith("Image!")]
    assert panels
    for panel in panels:
        assert published[panel["imageMode"]["imageTopic"]] in (
            "sensor_msgs/msg/Image",
            "sensor_msgs/msg/CompressedImage",
        )


def test_the_geographic_map_follows_the_position_of_the_robot(published: dict[str, str]) -> None:
    panel = LAYOUT["configById"]["map!place"]
    assert published[panel["followTopic"]] == "sensor_msgs/msg/NavSatFix"
    assert list(panel["topicColors"]) == [panel["followTopic"]]


def message_paths() -> list[str]:
    return [
        path["value"]
        for name, panel in LAYOUT["configById"].items()
        if name.split("!")[0] in ("Plot", "StateTransitions")
        for path in panel["paths"]
    ]


def type_at(path: str, published: dict[str, str]) -> str:
    """Type of the value that a message path leads to, `/topic.field.field[index].@function`."""
    topic, *fields = path.split(".")
    kind = published[topic]
    for field in fields:
        if field == "@sqrt":
            assert kind in ("float64", "float32"), path
            continue
        name, index = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", field).groups()
        definitions: dict[str, Any] = dict(TYPES.fielddefs[kind][1])
        node, value = definitions[name]
        if node.name in ("ARRAY", "SEQUENCE"):
            (node, value), length = value
            assert int(index) < length, path
        kind = value[0] if node.name == "BASE" else value
    return kind


@pytest.mark.parametrize("path", message_paths())
def test_message_paths_lead_to_numbers_or_texts(path: str, published: dict[str, str]) -> None:
    assert type_at(path, published) in ("float64", "uint32", "string")


def test_the_diagnostics_panel_reads_the_topic_of_the_node(published: dict[str, str]) -> None:
    panel = LAYOUT["configById"]["DiagnosticSummary!health"]
    assert published[panel["topicToRender"]] == "diagnostic_msgs/msg/DiagnosticArray"
