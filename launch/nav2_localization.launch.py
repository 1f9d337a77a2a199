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

"""Starts localization_node in place of AMCL: with nav2's map_server and lifecycle manager.

ros2 launch scene_geo_loc nav2_localization.launch.py map:=/path/to/map grid:=/path/to/grid.yaml
"""

from pathlib import Path

from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from scene_geo_loc.ros.common.paths import resolve_path
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.launch_arguments import (
    RESPAWN_DELAY_S,
    declare,
    exit_code_1_if_it_fails,
    given_value,
    is_true,
    managed_node,
    node_arguments,
    tf_remappings,
)

SHARE = Path(__file__).resolve().parents[1]
RECIPE = SHARE / "config" / "nav2_localization.yaml"
AMCL_POSE = ("localization/latest_pose", "amcl_pose")


def generate_launch_description() -> LaunchDescription:
    """The node, the server of the occupancy grid, and the manager of both."""
    arguments = [
        declare("autostart", "whether the lifecycle manager starts both at once", "true")
        if argument.name == "autostart"
        else argument
        for argument in node_arguments(LocalizationNodeSettings, SHARE / "config" / "localization.yaml")
    ]
    return LaunchDescription(
        [
            *arguments,
            declare("grid", "YAML file of the occupancy grid", None),
            declare("nav2_params_file", "parameters of nav2's nodes; they win over params_file", str(RECIPE)),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The actions, once the arguments are known."""
    params_file = resolve_path(given_value(context, "nav2_params_file"))
    autostart = is_true(context, "autostart")
    # The manager configures and activates the node.
    context.launch_configurations["autostart"] = "false"
    node = managed_node(
        context, "localization_node", LocalizationNodeSettings, [AMCL_POSE], params_files=[params_file]
    )
    common = {
        "namespace": given_value(context, "namespace"),
        "respawn": is_true(context, "respawn"),
        "respawn_delay": RESPAWN_DELAY_S,
        "remappings": tf_remappings(context),
        "output": "screen",
    }
    clock = {"use_sim_time": is_true(context, "use_sim_time")}
    grid = {"yaml_filename": resolve_path(given_value(context, "grid"))}
    server = Node(
        package="nav2_map_server",
        executable="map_server",
        name="map_server",
        parameters=[params_file, clock, grid],
        **common,
    )
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_localization",
        parameters=[params_file, clock, {"autostart": autostart}],
        **common,
    )
    actions: list[LaunchDescriptionEntity] = []
    for process in (node, server, manager):
        actions += [exit_code_1_if_it_fails(process, respawns=is_true(context, "respawn")), process]
    return actions
