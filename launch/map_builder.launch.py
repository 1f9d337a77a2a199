"""Builds a reference map while the robot drives.

ros2 launch scene_geo_loc map_builder.launch.py out:=/path/to/map points_topic:=/lidar/points
ros2 service call /map_builder_node/save std_srvs/srv/Trigger
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
ARGUMENTS = {
    "out": (None, "folder that the map shall have"),
    "bag": ("", "a recording to build from at once, instead of from live topics"),
    "params_file": (str(SHARE / "config" / "map_builder.yaml"), "the node's parameters"),
    "image_topic": ("camera/image_raw", "the camera's images; for compressed ones without the suffix"),
    "image_transport": ("raw", "raw or compressed"),
    "camera_info_topic": ("camera/camera_info", "the camera's intrinsics"),
    "points_topic": ("", "PointCloud2 topic of a lidar"),
    "scan_topic": ("", "LaserScan topic of a lidar"),
    "depth_topic": ("", "depth images registered to the camera"),
    "pose_source": ("tf", "tf, odometry or pose"),
    "pose_topic": ("odom", "topic of the poses, for odometry and pose"),
    "use_sim_time": ("false", "whether time comes from /clock, as when a bag is played"),
    "autostart": ("true", "false under a lifecycle manager"),
    "namespace": ("", "namespace of the node"),
    "log_level": ("info", "debug, info, warn, error"),
}
NODE = ("params_file", "namespace", "log_level", "use_sim_time", "autostart")
"""The arguments that are not parameters of text."""


def generate_launch_description() -> LaunchDescription:
    """The node."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    own = {name: ParameterValue(value[name], value_type=str) for name in ARGUMENTS if name not in NODE}
    flags = {name: ParameterValue(value[name], value_type=bool) for name in ("use_sim_time", "autostart")}
    node = Node(
        package="scene_geo_loc",
        executable="map_builder_node",
        name="map_builder_node",
        namespace=value["namespace"],
        parameters=[value["params_file"], own | flags],
        arguments=["--ros-args", "--log-level", value["log_level"]],
        output="screen",
        emulate_tty=True,
    )
    return LaunchDescription([*declared, node])
