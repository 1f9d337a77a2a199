"""Builds a reference map while the robot drives.

ros2 launch scene_geo_loc map_builder.launch.py out:=/path/to/map points_topic:=/lidar/points
ros2 service call /map_builder_node/save std_srvs/srv/Trigger
"""

from pathlib import Path

from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from scene_geo_loc.ros.common.settings import MapBuilderNodeSettings
from scene_geo_loc.ros.launch_arguments import managed_node, node_arguments

SHARE = Path(__file__).resolve().parents[1]


def generate_launch_description() -> LaunchDescription:
    """The node."""
    arguments = node_arguments(MapBuilderNodeSettings, SHARE / "config" / "map_builder.yaml")
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Node]:
    """The actions, once the arguments are known."""
    return [managed_node(context, "map_builder_node", MapBuilderNodeSettings)]
