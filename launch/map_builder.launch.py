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

"""Builds a reference map while the robot drives.

ros2 launch scene_geo_loc map_builder.launch.py out:=/path/to/map points_topic:=/lidar/points
ros2 service call /map_builder_node/save std_srvs/srv/Trigger
"""

from pathlib import Path

from launch.actions import OpaqueFunction

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from scene_geo_loc.ros.common.settings import MapBuilderNodeSettings
from scene_geo_loc.ros.launch_arguments import exit_code_1_if_it_fails, is_true, managed_node, node_arguments

SHARE = Path(__file__).resolve().parents[1]


def generate_launch_description() -> LaunchDescription:
    """The node."""
    arguments = node_arguments(MapBuilderNodeSettings, SHARE / "config" / "map_builder.yaml")
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The actions, once the arguments are known."""
    node = managed_node(context, "map_builder_node", MapBuilderNodeSettings)
    return [exit_code_1_if_it_fails(node, respawns=is_true(context, "respawn")), node]
