"""Localizes a camera in a reference map.

ros2 launch scene_geo_loc localization.launch.py map:=/path/to/map
"""

from pathlib import Path

from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.launch_arguments import declare, given_value, managed_node, node_arguments

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


def start(context: LaunchContext) -> list[Node]:
    """The actions, once the arguments are known."""
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(SHARE / "config" / "localization.rviz")],
        parameters=[{"use_sim_time": given_value(context, "use_sim_time").lower() == "true"}],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return [managed_node(context, "localization_node", LocalizationNodeSettings), rviz]
