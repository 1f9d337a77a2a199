"""Launch arguments of a node's parameters.

Every parameter that is declared at the top of a node's settings is an argument of its launch file, too.  Only
arguments that are given override the parameter file: its values win over defaults, which are the node's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from scene_geo_loc.ros.common.parameters import Parameter, parameters_of

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext
    from pydantic import BaseModel

UNSET = ""
"""The value of an argument that is not given."""


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
        declare("log_level", "debug, info, warn, error", "info"),
    ]


def managed_node(context: LaunchContext, executable: str, settings: type[BaseModel]) -> Node:
    """Returns the node with its parameter file, and above it the arguments that are given."""
    types: dict[str, Any] = {p.name: p.kind for p in _arguments(settings)} | {"use_sim_time": bool}
    given = {name: kind for name, kind in types.items() if given_value(context, name) != UNSET}
    return Node(
        package="scene_geo_loc",
        executable=executable,
        name=executable,
        namespace=given_value(context, "namespace"),
        parameters=[
            given_value(context, "params_file"),
            {n: ParameterValue(LaunchConfiguration(n), value_type=kind) for n, kind in given.items()},
        ],
        arguments=["--ros-args", "--log-level", given_value(context, "log_level")],
        output="screen",
        emulate_tty=True,
    )


def given_value(context: LaunchContext, name: str) -> str:
    """Returns the value of a launch argument, UNSET where it is not given."""
    return str(LaunchConfiguration(name).perform(context))


def resolved_value(context: LaunchContext, node: str, settings: type[BaseModel], name: str) -> str:
    """Returns the value that a parameter will have: given, of the parameter file, or the node's default."""
    value = given_value(context, name)
    if value != UNSET:
        return value
    content = yaml.safe_load(Path(given_value(context, "params_file")).read_text()) or {}
    default = next(p.default for p in parameters_of(settings) if p.name == name)
    for pattern in ("/**", f"/{node}", node):
        default = (content.get(pattern) or {}).get("ros__parameters", {}).get(name, default)
    return str(default)


def _arguments(settings: type[BaseModel]) -> list[Parameter]:
    return [parameter for parameter in parameters_of(settings) if "." not in parameter.name]


def _description(parameter: Parameter) -> str:
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    default = "" if parameter.default in ("", []) else f" Default: {str(parameter.default).lower()}."
    return f"{parameter.description}{unit}{default}"
