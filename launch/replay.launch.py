"""Plays a recording, localizes its camera, and records what was found.

ros2 launch scene_geo_loc replay.launch.py map:=/path/to/map bag:=/path/to/bag out:=/path/to/result
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
ARGUMENTS = {
    "map": (None, "folder of the reference map"),
    "bag": (None, "the ROS 1 or ROS 2 recording to play"),
    "out": ("", "folder of the recording to write; empty: none"),
    "rate": ("1.0", "speed, times real time"),
    "image_topic": ("/camera/image_raw", "the camera's images; for compressed ones without the suffix"),
    "image_transport": ("raw", "raw or compressed"),
    "camera_info_topic": ("/camera/camera_info", "the camera's intrinsics"),
    "publish_tf": ("map_to_odom", "map_to_odom, map_to_base or none"),
    "rviz": ("false", "whether to open RViz"),
}
PASSED_ON = ("map", "image_topic", "image_transport", "camera_info_topic", "publish_tf", "rviz")
"""The arguments of localization.launch.py."""
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
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    localization = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "localization.launch.py")),
        launch_arguments={**{name: value[name] for name in PASSED_ON}, "use_sim_time": "true"}.items(),
    )
    suffix = PythonExpression(["'/compressed' if '", value["image_transport"], "' == 'compressed' else ''"])
    player = Node(
        package="scene_geo_loc",
        executable="bag_player",
        name="bag_player",
        parameters=[
            {
                "bag": ParameterValue(value["bag"], value_type=str),
                "rate": ParameterValue(value["rate"], value_type=float),
                "wait_for": [[value["image_topic"], suffix]],
            }
        ],
        output="screen",
    )
    recorder = Node(
        package="scene_geo_loc",
        executable="bag_recorder",
        name="bag_recorder",
        parameters=[
            {
                "out": ParameterValue(value["out"], value_type=str),
                "topics": RECORDED,
                "use_sim_time": True,
            }
        ],
        output="screen",
        condition=IfCondition(PythonExpression(["'", value["out"], "' != ''"])),
    )
    end = RegisterEventHandler(
        OnProcessExit(
            target_action=player, on_exit=[EmitEvent(event=Shutdown(reason="the recording is over"))]
        )
    )
    return LaunchDescription([*declared, localization, recorder, player, end])
