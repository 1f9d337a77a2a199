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

"""Plays a recording, localizes its camera, and records the answers.

ros2 launch scene_geo_loc replay.launch.py map:=/path/to/map bag:=/path/to/bag out:=/path/to/result
"""

from pathlib import Path

from launch.action import Action
from launch.actions import IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.launch_arguments import (
    TF_REMAPPINGS,
    declare,
    exit_code_1_if_it_fails,
    given_value,
    is_true,
    node_arguments,
    resolved_value,
    tf_remappings,
)

SHARE = Path(__file__).resolve().parents[1]
RECORDED = [
    "localization/pose",
    "localization/pose_with_covariance",
    "localization/tracked/pose",
    "localization/tracked/pose_with_covariance",
    "localization/nav_sat_fix",
    "localization/geo_pose",
    "localization/state",
    "localization/status",
    "/diagnostics",
    "/tf",
    "/tf_static",
]
"""Topics of the node, in its namespace."""


def generate_launch_description() -> LaunchDescription:
    """Localization, a recorder where one is asked for, and a player whose end ends everything."""
    own = [
        declare("bag", "the ROS 1 or ROS 2 recording to play", None),
        declare("out", "folder of the recording to write; empty: none"),
        declare("rate", "speed, times real time", "1.0"),
        declare("rviz", "whether to open RViz", "false"),
    ]
    arguments = [
        argument
        for argument in node_arguments(LocalizationNodeSettings, SHARE / "config" / "localization.yaml")
        if argument.name != "use_sim_time"
    ]
    passed_on = (*(argument.name for argument in arguments), "rviz")
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "localization.launch.py")),
        launch_arguments={
            **{name: LaunchConfiguration(name) for name in passed_on},
            "use_sim_time": "true",
        }.items(),
    )
    return LaunchDescription([*own, *arguments, OpaqueFunction(function=play), localization])


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player and the recorder, once the arguments are known."""
    namespace = given_value(context, "namespace")
    topic, transport = (
        resolved_value(context, "localization_node", LocalizationNodeSettings, name)
        for name in ("image_topic", "image_transport")
    )
    # Images with a relative name: a recording of one robot, played for the one in the namespace.
    in_namespace = bool(namespace) and not topic.startswith("/")
    namespaced_tf = is_true(context, "namespaced_tf")
    player = Node(
        package="scene_geo_loc",
        executable="bag_player",
        name="bag_player",
        namespace=namespace if in_namespace else "",
        parameters=[
            {
                "bag": ParameterValue(LaunchConfiguration("bag"), value_type=str),
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "in_namespace": in_namespace,
                "wait_for": [f"{topic}/compressed" if transport == "compressed" else topic],
            }
        ],
        remappings=[] if namespaced_tf else [(relative, absolute) for absolute, relative in TF_REMAPPINGS],
        output="screen",
    )
    actions = [
        exit_code_1_if_it_fails(_is_localization, ends_launch=True, respawns=is_true(context, "respawn")),
        exit_code_1_if_it_fails(player, ends_launch=True),
    ]
    if not given_value(context, "out"):
        return [*actions, player]
    recorder = Node(
        package="scene_geo_loc",
        executable="bag_recorder",
        name="bag_recorder",
        namespace=namespace,
        parameters=[
            {
                "out": ParameterValue(LaunchConfiguration("out"), value_type=str),
                "topics": RECORDED,
                "use_sim_time": True,
            }
        ],
        remappings=tf_remappings(context),
        output="screen",
    )
    return [*actions, exit_code_1_if_it_fails(recorder, ends_launch=True), recorder, player]


def _is_localization(action: Action) -> bool:
    return isinstance(action, Node) and action.node_executable == "localization_node"
