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

"""Starts localization_node under the names that Autoware's localization has for a pose estimator.

ros2 launch scene_geo_loc autoware.launch.py map:=/path/to/map image_topic:=/sensing/camera/front/image_raw
"""

from pathlib import Path

from launch.actions import OpaqueFunction

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.launch_arguments import (
    exit_code_1_if_it_fails,
    is_true,
    managed_node,
    node_arguments,
)

SHARE = Path(__file__).resolve().parents[1]
ESTIMATOR = "/localization/pose_estimator"
REMAPPINGS = [
    ("localization/pose", f"{ESTIMATOR}/pose"),
    ("localization/pose_with_covariance", f"{ESTIMATOR}/pose_with_covariance"),
    ("localization/latest_pose", "/sensing/gnss/pose_with_covariance"),
    ("trigger_node", f"{ESTIMATOR}/trigger_node"),
]
"""Autoware's ekf_localizer fuses the pose, and pose_initializer starts from the latest one."""


def generate_launch_description() -> LaunchDescription:
    """The node, which leaves map -> base_link to Autoware's filter."""
    arguments = node_arguments(LocalizationNodeSettings, SHARE / "config" / "localization.yaml")
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The actions, once the arguments are known."""
    context.launch_configurations["publish_tf"] = "none"
    node = managed_node(context, "localization_node", LocalizationNodeSettings, REMAPPINGS)
    return [exit_code_1_if_it_fails(node, respawns=is_true(context, "respawn")), node]
