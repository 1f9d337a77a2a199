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

"""The policy for SROS2 allows all that the nodes use, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from camera_robot import FakeLocalizer, FakeMap
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros.test_map_builder_node import FakeBuilder

from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.ros.localization.node import LocalizationNode
from scene_geo_loc.ros.map_builder.node import MapBuilderNode

POLICY = Path(__file__).parents[2] / "config" / "security.policy.xml"
KINDS = {"publish": "topic", "subscribe": "topic", "reply": "service"}
OF_OTHERS = {
    "publish": {"bond", "localization/geo_pose"},
    "reply": {"set_initial_pose", "~/load_map", "~/save"},
}
"""Names that a node uses where the packages of nav2, or geographic_msgs, are installed, or with `mapping`."""
BELOW_RCLPY = {"publish": {"/rosout", "~/transition_event"}}
"""Topics of publishers that rclpy does not list."""


def allowed(node: str) -> dict[str, set[str]]:
    """Names that the policy allows a node, by what it may do."""
    profile = ElementTree.parse(POLICY).find(f".//enclave[@path='/{node}']//profile[@node='{node}']")
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for part in profile:
        for kind, tag in KINDS.items():
            if part.get(kind) == "ALLOW":
                found[kind] |= {resolved(element.text, node) for element in part.iter(tag)}
    return found


def resolved(name: str, node: str) -> str:
    return name if name.startswith("/") else f"/{node}{name[1:]}" if name.startswith("~") else f"/{name}"


def used(node: Any) -> dict[str, set[str]]:
    """Names that a node uses, by what it does."""
    return {
        "publish": {publisher.topic_name for publisher in node.publishers},
        "subscribe": {subscription.topic_name for subscription in node.subscriptions},
        "reply": {node.resolve_service_name(service.srv_name) for service in node.services},
    }


def used_by(make: Callable[..., Any], **parameters: Any) -> tuple[str, dict[str, set[str]]]:
    """Name of an active node, and the names that it uses."""
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = make(parameter_overrides=[Parameter("use_sim_time", value=True), *overrides])
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return node.get_name(), used(node)
    finally:
        node.destroy_node()


def localization_node(**options: Any) -> LocalizationNode:
    placed = FakeMap()
    placed.georeference = Georeference(Datum(52.0, 5.0, 0.0))
    return LocalizationNode(lambda settings: (FakeLocalizer(), placed), **options)  # type: ignore[arg-type,return-value]


def map_builder_node(**options: Any) -> MapBuilderNode:
    return MapBuilderNode(lambda *_: FakeBuilder(), **options)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("make", "ways"),
    [
        (localization_node, [{"earth_tf": "ecef"}, {"image_transport": "compressed", "tracking": True}]),
        (
            map_builder_node,
            [
                {"out": "map"},
                {"out": "map", "image_transport": "compressed"},
                {"out": "map", "pose_source": "odometry"},
            ],
        ),
    ],
)
def test_the_policy_allows_what_a_node_uses_in_one_of_its_ways_and_no_more(
    context: None, make: Callable[..., Any], ways: list[dict[str, Any]]
) -> None:
    found = [used_by(make, **parameters) for parameters in ways]
    node = found[0][0]
    for doing, names in allowed(node).items():
        below = {resolved(name, node) for name in BELOW_RCLPY.get(doing, ())}
        of_others = {resolved(name, node) for name in OF_OTHERS.get(doing, ())}
        in_use = set().union(*(uses[doing] for _, uses in found)) | below
        assert in_use - of_others == names - of_others, doing
