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

"""Localizes a camera in a reference map.

ros2 launch scene_geo_loc localization.launch.py map:=/path/to/map
"""

from pathlib import Path

from launch.actions import OpaqueFunction

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.launch_arguments import (
    declare,
    exit_code_1_if_it_fails,
    is_true,
    managed_node,
    node_arguments,
    rviz_node,
)

SHARE = Path(__file__).resolve().parents[1]


def generate_launch_description() -> LaunchDescription:
    """The node, and RViz where asked for."""
    return LaunchDescription(
        [
            *node_arguments(LocalizationNodeSettings, SHARE / "config" / "localization.yaml"),
            declare("rviz", "whether to open RViz", "false"),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The actions, once the arguments are known."""
    node = managed_node(context, "localization_node", LocalizationNodeSettings)
    rviz = rviz_node(context, SHARE / "config" / "localization.rviz")
    failure = exit_code_1_if_it_fails(node, closed_with_it=[rviz], respawns=is_true(context, "respawn"))
    return [failure, node, *([rviz] if rviz else [])]
