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

"""Localizes a camera in a map, and fuses its poses with odometry in two filters of robot_localization.

ros2 launch scene_geo_loc robot_localization.launch.py map:=/path/to/map odom_topic:=/odom
"""

from pathlib import Path

from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
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
    node_arguments,
    tf_remappings,
)

SHARE = Path(__file__).resolve().parents[1]
FILTERS = ("ekf_odom", "ekf_map")


def generate_launch_description() -> LaunchDescription:
    """The filters, and localization_node, which leaves map -> odom to them."""
    own = [
        declare(
            "ekf_params_file", "parameters of the filters", str(SHARE / "config" / "robot_localization.yaml")
        ),
        declare("odom_topic", "odometry that both filters fuse", "odom"),
        declare("rviz", "whether to open RViz", "false"),
    ]
    arguments = node_arguments(LocalizationNodeSettings, SHARE / "config" / "localization.yaml")
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "localization.launch.py")),
        launch_arguments={
            **{argument.name: LaunchConfiguration(argument.name) for argument in arguments},
            "rviz": LaunchConfiguration("rviz"),
        }.items(),
    )
    return LaunchDescription([*own, *arguments, OpaqueFunction(function=start), localization])


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The filters, once the arguments are known."""
    by_node = given_value(context, "publish_tf") == "map_to_odom"
    if not by_node:
        context.launch_configurations["publish_tf"] = "none"
    frames = {
        parameter: given_value(context, argument)
        for parameter, argument in (
            ("map_frame", "map_frame"),
            ("odom_frame", "odom_frame"),
            ("base_link_frame", "base_frame"),
        )
        if given_value(context, argument)
    }
    actions: list[LaunchDescriptionEntity] = []
    for name in FILTERS:
        world = frames.get("odom_frame" if name == "ekf_odom" else "map_frame")
        node = Node(
            package="robot_localization",
            executable="ekf_node",
            name=name,
            namespace=given_value(context, "namespace"),
            parameters=[
                resolve_path(given_value(context, "ekf_params_file")),
                {
                    **frames,
                    **({"world_frame": world} if world else {}),
                    **({"publish_tf": False} if by_node and name == "ekf_map" else {}),
                    "use_sim_time": is_true(context, "use_sim_time"),
                },
            ],
            remappings=[
                *tf_remappings(context),
                ("odom", given_value(context, "odom_topic")),
                ("odometry/filtered", f"odometry/{name.removeprefix('ekf_')}"),
            ],
            respawn=is_true(context, "respawn"),
            respawn_delay=RESPAWN_DELAY_S,
            output="screen",
        )
        actions += [exit_code_1_if_it_fails(node, respawns=is_true(context, "respawn")), node]
    return actions
