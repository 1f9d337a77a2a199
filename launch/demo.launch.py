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

"""Shows in RViz how a drive of `make demo` is localized.

ros2 launch scene_geo_loc demo.launch.py drive:=snow
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution

from launch import LaunchDescription

SHARE = Path(__file__).resolve().parents[1]
ARGUMENTS = {
    "demo": ("demo", "output folder of `make demo`"),
    "drive": ("sunny", "sunny, snow or night"),
    "image_transport": ("compressed", "images of the drive: raw or compressed"),
    "out": ("", "folder of the recording to write; empty: none"),
    "rate": ("1.0", "speed, times real time"),
    "rviz": ("true", "whether to open RViz"),
}


def generate_launch_description() -> LaunchDescription:
    """replay.launch.py with the demo's map and one of its drives."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    passed_on = {name: value[name] for name in ("image_transport", "out", "rate", "rviz")}
    replay = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "replay.launch.py")),
        launch_arguments={
            "map": PathJoinSubstitution([value["demo"], "map"]),
            "bag": PathJoinSubstitution([value["demo"], "bags", value["drive"]]),
            **passed_on,
        }.items(),
    )
    return LaunchDescription([*declared, replay])
