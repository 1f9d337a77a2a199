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

"""Launch arguments of a node's parameters, and how a launch file starts nodes.

Every parameter that is declared at the top of a node's settings is an argument of its launch file, too.  Only
arguments that are given override the parameter file: its values win over defaults, which are the node's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown, matches_action
from launch.events.process import ShutdownProcess
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common.parameters import Parameter, parameters_of
from scene_geo_loc.ros.common.paths import resolve_path

if TYPE_CHECKING:
    from launch.action import Action
    from launch.events.process import ProcessExited
    from launch.launch_context import LaunchContext
    from launch.launch_description_entity import LaunchDescriptionEntity
    from pydantic import BaseModel

UNSET = ""
"""The value of an argument that is not given."""
RESPAWN_DELAY_S = 2.0
TF_REMAPPINGS = [("/tf", "tf"), ("/tf_static", "tf_static")]
"""The topics of TF in the namespace of a node, as nav2_bringup remaps them."""


def declare(name: str, description: str, default: str | None = UNSET) -> DeclareLaunchArgument:
    """Returns a launch argument; it must be given where the default is None."""
    return DeclareLaunchArgument(name, default_value=default, description=description)


def node_arguments(settings: type[BaseModel], params_file: Path) -> list[DeclareLaunchArgument]:
    """Returns the arguments of a node: its parameters, and how it is started.

    Args:
        params_file: the parameter file where none is given.
    """
    return [
        declare("params_file", "file of the node's parameters", str(params_file)),
        *(declare(p.name, _description(p)) for p in _arguments(settings)),
        declare("use_sim_time", "whether time comes from /clock, as when a bag is played; default: false"),
        declare("namespace", "namespace of the node"),
        declare(
            "namespaced_tf",
            "whether TF is on NAMESPACE/tf, as in nav2_bringup; false: on /tf, for robots whose frames have "
            "different names",
            "true",
        ),
        declare(
            "respawn", f"whether the node is started again {RESPAWN_DELAY_S:g} s after it ended", "false"
        ),
        declare("log_level", "debug, info, warn, error", "info"),
    ]


def managed_node(
    context: LaunchContext,
    executable: str,
    settings: type[BaseModel],
    remappings: Iterable[tuple[str, str]] = (),
    params_files: Iterable[str] = (),
) -> Node:
    """Returns the node with its parameter file, and above it the arguments that are given.

    Args:
        remappings: of its topics and services.
        params_files: further parameter files, which win over the first.

    Raises SceneGeoLocError where there is no such parameter file.
    """
    types: dict[str, Any] = {p.name: p.kind for p in _arguments(settings)} | {"use_sim_time": bool}
    given = {name: kind for name, kind in types.items() if given_value(context, name) != UNSET}
    return Node(
        package="scene_geo_loc",
        executable=executable,
        name=executable,
        namespace=given_value(context, "namespace"),
        parameters=[
            str(_params_file(context)),
            *params_files,
            {n: ParameterValue(LaunchConfiguration(n), value_type=kind) for n, kind in given.items()},
        ],
        remappings=[*tf_remappings(context), *remappings],
        arguments=["--ros-args", "--log-level", given_value(context, "log_level")],
        respawn=is_true(context, "respawn"),
        respawn_delay=RESPAWN_DELAY_S,
        output="screen",
        emulate_tty=True,
    )


def tf_remappings(context: LaunchContext) -> list[tuple[str, str]]:
    """Returns the remappings of TF to the namespace, none with namespaced_tf:=false."""
    return TF_REMAPPINGS if is_true(context, "namespaced_tf") else []


def rviz_node(context: LaunchContext, config: Path) -> Node | None:
    """Returns RViz where it is asked for; None where it is not, or is not installed, which is logged."""
    if not is_true(context, "rviz"):
        return None
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        get_logger("launch").error(
            "RViz is not installed, and the launch goes on without it: install rviz2, or set rviz:=false"
        )
        return None
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=given_value(context, "namespace"),
        arguments=["-d", str(config)],
        parameters=[{"use_sim_time": is_true(context, "use_sim_time")}],
        remappings=tf_remappings(context),
    )


def exit_code_1_if_it_fails(
    node: Node | Callable[[Action], bool],
    closed_with_it: Iterable[Node | None] = (),
    ends_launch: bool = False,
    respawns: bool = False,
) -> RegisterEventHandler:
    """Returns the handler that makes `ros2 launch` end with exit code 1 where a node fails.

    The rest of the launch goes on, which may be the bringup of a whole robot.

    Args:
        node: the node, or whether an action is that node.
        closed_with_it: processes that are of no use without the node.
        ends_launch: whether everything ends once the node has ended, with or without failure.
        respawns: whether the node is started again, and its end has no consequences.
    """

    def handle(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if context.is_shutdown or respawns:
            return []
        name = event.action.node_executable
        if event.returncode:
            # launch has no other way to an exit code than an error in its event loop.
            message = f"{name} ended with exit code {event.returncode}"
            context.asyncio_loop.call_exception_handler({"message": message})
        if ends_launch:
            return [EmitEvent(event=Shutdown(reason=f"{name} ended"))]
        return [
            EmitEvent(event=ShutdownProcess(process_matcher=matches_action(process)))
            for process in closed_with_it
            if process is not None
        ]

    return RegisterEventHandler(OnProcessExit(target_action=node, on_exit=handle))


def given_value(context: LaunchContext, name: str) -> str:
    """Returns the value of a launch argument, UNSET where it is not given."""
    return str(LaunchConfiguration(name).perform(context))


def is_true(context: LaunchContext, name: str) -> bool:
    """Returns a launch argument as a truth value, as launch reads it.

    Raises SceneGeoLocError where it is none.
    """
    value = given_value(context, name).lower()
    if value not in (UNSET, "true", "1", "false", "0"):
        raise SceneGeoLocError(f"The argument {name} is {value!r}; it must be true or false.")
    return value in ("true", "1")


def resolved_value(context: LaunchContext, node: str, settings: type[BaseModel], name: str) -> str:
    """Returns the value that a parameter will have: given, of the parameter file, or the node's default."""
    value = given_value(context, name)
    if value != UNSET:
        return value
    content = yaml.safe_load(_params_file(context).read_text()) or {}
    default = next(p.default for p in parameters_of(settings) if p.name == name)
    for pattern in ("/**", f"/{node}", node):
        default = (content.get(pattern) or {}).get("ros__parameters", {}).get(name, default)
    return str(default)


def _params_file(context: LaunchContext) -> Path:
    path = Path(resolve_path(given_value(context, "params_file")))
    if not path.is_file():
        raise SceneGeoLocError(f"The parameter file {path} does not exist.")
    return path


def _arguments(settings: type[BaseModel]) -> list[Parameter]:
    return [parameter for parameter in parameters_of(settings) if "." not in parameter.name]


def _description(parameter: Parameter) -> str:
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    default = "" if parameter.default in ("", []) else f" Default: {str(parameter.default).lower()}."
    return f"{parameter.description}{unit}{default}"
