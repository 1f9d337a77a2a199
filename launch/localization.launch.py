"""Localizes a camera in a reference map.

ros2 launch scene_geo_loc localization.launch.py map:=/path/to/map
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
ARGUMENTS = {
    "map": (None, "folder of the reference map"),
    "params_file": (str(SHARE / "config" / "localization.yaml"), "the node's parameters"),
    "image_topic": ("camera/image_raw", "the camera's images; for compressed ones without the suffix"),
    "image_transport": ("raw", "raw or compressed"),
    "camera_info_topic": ("camera/camera_info", "the camera's intrinsics"),
    "publish_tf": ("map_to_odom", "map_to_odom, map_to_base or none"),
    "use_sim_time": ("false", "whether time comes from /clock, as when a bag is played"),
    "autostart": ("true", "false under a lifecycle manager"),
    "namespace": ("", "namespace of the node"),
    "log_level": ("info", "debug, info, warn, error"),
    "rviz": ("false", "whether to open RViz"),
}


def generate_launch_description() -> LaunchDescription:
    """The node, and RViz where asked for."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    own = {
        name: ParameterValue(value[name], value_type=str)
        for name in ("map", "image_topic", "image_transport", "camera_info_topic", "publish_tf")
    }
    flags = {name: ParameterValue(value[name], value_type=bool) for name in ("use_sim_time", "autostart")}
    node = Node(
        package="scene_geo_loc",
        executable="localization_node",
        name="localization_node",
        namespace=value["namespace"],
        parameters=[value["params_file"], own | flags],
        arguments=["--ros-args", "--log-level", value["log_level"]],
        output="screen",
        emulate_tty=True,
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(SHARE / "config" / "localization.rviz")],
        parameters=[{"use_sim_time": flags["use_sim_time"]}],
        condition=IfCondition(value["rviz"]),
    )
    return LaunchDescription([*declared, node, rviz])
