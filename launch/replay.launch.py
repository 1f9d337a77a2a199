"""Plays a recording, localizes its camera, and records the answers.

ros2 launch scene_geo_loc replay.launch.py map:=/path/to/map bag:=/path/to/bag out:=/path/to/result
"""

from pathlib import Path

from launch.actions import EmitEvent, IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.launch_arguments import declare, given_value, resolved_value

SHARE = Path(__file__).resolve().parents[1]
PASSED_ON = {
    "map": "folder of the reference map",
    "image_topic": "the camera's images; for compressed ones without the suffix",
    "image_transport": "raw or compressed",
    "camera_info_topic": "the camera's intrinsics",
    "publish_tf": "map_to_odom, map_to_base or none",
}
"""Arguments of localization.launch.py that override its parameter file where they are given."""
RECORDED = [
    "/localization/pose",
    "/localization/pose_with_covariance",
    "/localization/state",
    "/diagnostics",
    "/tf",
    "/tf_static",
]


def generate_launch_description() -> LaunchDescription:
    """Localization, a recorder where one is asked for, and a player whose end ends everything."""
    params_file = str(SHARE / "config" / "localization.yaml")
    own = [
        declare("bag", "the ROS 1 or ROS 2 recording to play", None),
        declare("out", "folder of the recording to write; empty: none"),
        declare("rate", "speed, times real time", "1.0"),
        declare("rviz", "whether to open RViz", "false"),
        declare("params_file", "file of the localization node's parameters", params_file),
        *(declare(name, description) for name, description in PASSED_ON.items()),
    ]
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "localization.launch.py")),
        launch_arguments={
            **{name: LaunchConfiguration(name) for name in (*PASSED_ON, "params_file", "rviz")},
            "use_sim_time": "true",
        }.items(),
    )
    return LaunchDescription([*own, localization, OpaqueFunction(function=play)])


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The player and the recorder, once the arguments are known."""
    topic, transport = (
        resolved_value(context, "localization_node", LocalizationNodeSettings, name)
        for name in ("image_topic", "image_transport")
    )
    player = Node(
        package="scene_geo_loc",
        executable="bag_player",
        name="bag_player",
        parameters=[
            {
                "bag": ParameterValue(LaunchConfiguration("bag"), value_type=str),
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "wait_for": [f"{topic}/compressed" if transport == "compressed" else topic],
            }
        ],
        output="screen",
    )
    end = RegisterEventHandler(
        OnProcessExit(
            target_action=player, on_exit=[EmitEvent(event=Shutdown(reason="the recording is over"))]
        )
    )
    if not given_value(context, "out"):
        return [player, end]
    recorder = Node(
        package="scene_geo_loc",
        executable="bag_recorder",
        name="bag_recorder",
        parameters=[
            {
                "out": ParameterValue(LaunchConfiguration("out"), value_type=str),
                "topics": RECORDED,
                "use_sim_time": True,
            }
        ],
        output="screen",
    )
    return [recorder, player, end]
