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

"""ROS parameters from pydantic settings: each is declared, described and bounded once.

A node's settings are a pydantic model; a nested model, such as the localizer's own settings, becomes
parameters with a dotted name.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common.paths import resolve_path

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node

UNSET = -1.0
"""Value of a numeric parameter that stands for unset; numbers that may be unset are not negative."""

Settings = TypeVar("Settings", bound=BaseModel)

MAX_NUMBER = 1e12
"""Larger values of parameters overflow in squares and products, and none is meant."""


def _check_topic(name: str) -> str:
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_topic_name import validate_topic_name

    try:
        validate_topic_name(name)
    except InvalidTopicNameException as error:
        raise ValueError(str(error).splitlines()[0].rstrip(":").lower()) from error
    return name


TopicName = Annotated[str, AfterValidator(_check_topic)]
"""The name of a topic."""
OptionalTopicName = Annotated[str, AfterValidator(lambda name: _check_topic(name) if name else name)]
"""The name of a topic, or "" for none."""


def setting(
    default: Any,
    description: str,
    unit: str = "",
    live: bool = False,
    is_path: bool = False,
    **bounds: Any,
) -> Any:
    """Returns a field of a node's settings.

    Args:
        default: value of a parameter that is not set.
        description: one sentence for `ros2 param describe` and the documentation.
        unit: of the number.
        live: whether it can be changed while the node runs; else it is read-only.
        is_path: whether the strings name files or folders, in which `~` and `package://` are resolved.
        bounds: pydantic's ge, gt, le, lt.
    """
    extra: dict[str, Any] = {"unit": unit, "live": live, "is_path": is_path}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


@dataclass(frozen=True)
class Parameter:
    """A parameter as ROS declares it.

    Attributes:
        name: dotted name.
        kind: bool, int, float, str, list[str] or list[float].
        default: of that kind.
        choices: allowed strings; empty where any is allowed.
        low, high: inclusive range of a number, or of each number of a list.
        is_optional: whether it is a number that `UNSET` leaves unset.
        is_path: whether it names files or folders, in which `~` and `package://` are resolved.
    """

    name: str
    kind: Any
    default: Any
    description: str
    unit: str
    live: bool
    choices: tuple[str, ...]
    low: float
    high: float
    is_optional: bool = False
    is_path: bool = False

    @property
    def is_bounded(self) -> bool:
        """True if it is a number with a range."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    @property
    def kind_name(self) -> str:
        """Its type in Python notation."""
        return (
            self.kind.__name__ if isinstance(self.kind, type) and not get_args(self.kind) else str(self.kind)
        )


def parameters_of(settings: type[BaseModel], prefix: str = "") -> Iterator[Parameter]:
    """Yields the parameters of a settings model, those of nested models with a dotted name."""
    for name, field in settings.model_fields.items():
        annotation: Any = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from parameters_of(annotation, f"{prefix}{name}.")
            continue
        kind, choices = _ros_kind(annotation)
        is_optional = type(None) in get_args(annotation) and kind in (int, float)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        lows = [getattr(m, key) for m in field.metadata for key in ("ge", "gt") if hasattr(m, key)]
        highs = [getattr(m, key) for m in field.metadata for key in ("le", "lt") if hasattr(m, key)]
        default = field.get_default(call_default_factory=True)
        if is_optional:
            # ROS has no null: a number that may be unset is declared as a number below its range.
            default, lows = kind(UNSET), [UNSET]
        elif isinstance(default, (Enum, Path)) or default is None:
            default = default.value if isinstance(default, Enum) else str(default or "")
        yield Parameter(
            name=f"{prefix}{name}",
            kind=kind,
            default=list(default) if isinstance(default, (list, tuple)) else default,
            description=_description(field.description or "", is_optional),
            unit=str(extra.get("unit", "")),
            live=bool(extra.get("live", False)),
            choices=choices,
            low=max(lows, default=-math.inf),
            high=min(highs, default=math.inf),
            is_optional=is_optional,
            is_path=bool(extra.get("is_path", False)) or Path in (annotation, *get_args(annotation)),
        )


def _description(words: str, is_optional: bool) -> str:
    """Returns a field's description on one line, with the value that leaves a number unset."""
    words = " ".join(words.split())
    return words.replace("unset:", f"{UNSET:g}:") if is_optional else words


def _ros_kind(annotation: Any) -> tuple[Any, tuple[str, ...]]:
    """Returns the ROS type of a field's annotation, and the strings that it is restricted to."""
    if get_origin(annotation) is Literal:
        return str, tuple(get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        # None is written as an empty string: ROS has no null.
        (inner,) = (arg for arg in get_args(annotation) if arg is not type(None))
        if inner in (int, float):
            return inner, ()
        if inner not in (str, Path):
            raise TypeError(f"a ROS parameter cannot be {annotation}")
        return str, ()
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return str, tuple(str(member.value) for member in annotation)
    if annotation is Path:
        return str, ()
    if annotation == list[TopicName]:
        return list[str], ()
    if annotation in (bool, int, float, str, list[str], list[float]):
        return annotation, ()
    raise TypeError(f"a ROS parameter cannot be {annotation}")


def declare(node: Node, settings: type[BaseModel]) -> None:
    """Declares all parameters of a settings model on a node.

    Raises SceneGeoLocError where a value given to the node has another type or is out of range.
    """
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
    from rclpy.parameter import Parameter as RosParameter

    for parameter in parameters_of(settings):
        value, descriptor = parameter.default, _descriptor(parameter)
        kind = {list[str]: RosParameter.Type.STRING_ARRAY, list[float]: RosParameter.Type.DOUBLE_ARRAY}.get(
            parameter.kind
        )
        try:
            if value == [] and kind is not None:
                _declare_empty_list(node, parameter.name, kind, descriptor)
            else:
                node.declare_parameter(parameter.name, value, descriptor)
        except InvalidParameterTypeException as error:
            hint = ", with a decimal point" if parameter.kind in (float, list[float]) else ""
            raise SceneGeoLocError(
                f"The parameter {parameter.name} must be a {parameter.kind_name}{hint}."
            ) from error
        except InvalidParameterValueException as error:
            raise SceneGeoLocError(
                f"The parameter {parameter.name} must be within {range_text(parameter)}."
            ) from error


def _declare_empty_list(node: Node, name: str, kind: Any, descriptor: ParameterDescriptor) -> None:
    """Declares a list that is empty unless the node was given another value.

    rclpy takes an empty default for a list of bytes.  A list that is declared by its type alone has no value,
    and then the service that `ros2 param dump` calls returns no value of any parameter.  `ros2 param set NODE
    NAME []` sends a list of bools, so that a list which can be changed takes any type; `from_values` checks
    what is in it.
    """
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.parameter import Parameter as RosParameter

    node.declare_parameter(name, kind, ParameterDescriptor(description=descriptor.description))
    if node.get_parameter_or(name).value is None:
        node.set_parameters([RosParameter(name, kind, [])])
    descriptor.dynamic_typing = not descriptor.read_only
    if not descriptor.dynamic_typing:
        descriptor.type = kind.value
    node.set_descriptor(name, descriptor)


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    unit = f" [{parameter.unit}]" if parameter.unit else ""
    descriptor = ParameterDescriptor(description=parameter.description + unit, read_only=not parameter.live)
    if parameter.choices:
        descriptor.additional_constraints = "one of " + ", ".join(parameter.choices)
    if parameter.is_bounded and parameter.kind is int:
        low = int(max(parameter.low, -(2**63)))
        high = int(min(parameter.high, 2**63 - 1))
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    elif parameter.is_bounded and parameter.kind is float:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(parameter.low), to_value=float(parameter.high))
        ]
    return descriptor


def read(node: Node, settings: type[Settings]) -> Settings:
    """Returns the settings with the present values of the node's parameters.

    Raises SceneGeoLocError, one sentence, where a value is not allowed.
    """
    names = [parameter.name for parameter in parameters_of(settings)]
    return from_values(settings, {name: node.get_parameter_or(name).value for name in names})


def from_values(settings: type[Settings], values: dict[str, Any]) -> Settings:
    """Returns the settings of parameters' values by dotted name; those missing or None have their defaults.

    Raises SceneGeoLocError, one sentence, where a value is not allowed.
    """
    nested: dict[str, Any] = {}
    for parameter in parameters_of(settings):
        value = values.get(parameter.name)
        if value is None or (value == "" and parameter.default == "" and not parameter.choices):
            continue
        if parameter.is_optional and value == UNSET:
            continue
        if parameter.kind in (list[str], list[float]):
            if isinstance(value, (str, bool, int, float)):
                raise SceneGeoLocError(
                    f"The parameter {parameter.name} is {value!r}: it must be a {parameter.kind_name}."
                )
            value = list(value)
        if parameter.kind in (float, list[float]):
            _check_numbers(parameter.name, value if isinstance(value, list) else [value])
        if parameter.is_path:
            value = [*map(resolve_path, value)] if parameter.kind == list[str] else resolve_path(str(value))
        *path, leaf = parameter.name.split(".")
        place = nested
        for step in path:
            place = place.setdefault(step, {})
        place[leaf] = value
    try:
        return settings.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise SceneGeoLocError(f"The parameter {name} is {first['input']!r}: {message}.") from error


def values_of(settings: BaseModel) -> dict[str, Any]:
    """Returns the values of the parameters that settings stand for, by dotted name."""
    values: dict[str, Any] = {}
    for parameter in parameters_of(type(settings)):
        value: Any = settings
        for step in parameter.name.split("."):
            value = getattr(value, step)
        values[parameter.name] = value
    return values


def _check_numbers(name: str, numbers: list[float]) -> None:
    for number in numbers:
        if not math.isfinite(number) or abs(number) > MAX_NUMBER:
            raise SceneGeoLocError(
                f"The parameter {name} is {number:g}: numbers must be finite and at most {MAX_NUMBER:g}."
            )


def range_text(parameter: Parameter) -> str:
    """Returns the range of a number, or the strings that a parameter can be, as text."""
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    if not parameter.is_bounded:
        return ""
    low = f"{parameter.low:g}" if math.isfinite(parameter.low) else ""
    high = f"{parameter.high:g}" if math.isfinite(parameter.high) else ""
    return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
