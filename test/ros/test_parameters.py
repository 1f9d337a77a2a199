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

"""Parameters from settings."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros import parameter_tables
from scene_geo_loc.ros.common.parameters import declare, from_values, parameters_of, read, setting
from scene_geo_loc.ros.common.settings import MapBuilderNodeSettings
from scene_geo_loc.ros.localization.node import LocalizationNode
from scene_geo_loc.ros.map_builder.node import MapBuilderNode
from scene_geo_loc.ros.parameter_tables import NODES, with_tables

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "nodes.md"


class Colour(str, Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    count: int = Field(5, ge=1, le=50, description="how many")
    mode: Literal["fast", "exact"] = "fast"


class Outer(BaseModel):
    tolerance: float = setting(0.1, "How much.", "s", True, ge=0, le=10)
    folder: Path | None = setting(None, "Where.")
    colour: Colour = Colour.RED
    topics: list[str] = setting([], "Which.")
    sources: list[str] = setting([], "Where to look.", live=True)
    numbers: list[float] = setting([], "Some.")
    inner: Inner = Inner()  # type: ignore[call-arg]


def declared(context: None, **values: Any) -> Node:
    overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
    node = Node("node", parameter_overrides=overrides)
    declare(node, Outer)
    return node


def test_a_nested_setting_becomes_a_parameter_with_a_dotted_name() -> None:
    by_name = {parameter.name: parameter for parameter in parameters_of(Outer)}
    assert (by_name["inner.count"].default, by_name["inner.count"].low, by_name["inner.count"].high) == (
        5,
        1,
        50,
    )
    assert by_name["inner.mode"].choices == ("fast", "exact")
    assert by_name["tolerance"].unit == "s"


def test_a_node_without_values_has_the_defaults(context: None) -> None:
    assert read(declared(context), Outer) == Outer()


@pytest.mark.parametrize("make", [LocalizationNode, MapBuilderNode])
def test_all_parameters_can_be_asked_for_at_once_as_param_dump_does(world: Any, make: Any) -> None:
    node = make(parameter_overrides=[Parameter("base_T_camera", value=[0.0] * 6 + [1.0])])
    world.spin(node)
    name = node.get_name()
    names = world.call(ListParameters, f"{name}/list_parameters", ListParameters.Request()).result.names
    values = world.call(GetParameters, f"{name}/get_parameters", GetParameters.Request(names=names)).values
    found = {name: parameter_value_to_python(v) for name, v in zip(names, values, strict=True)}
    assert list(found["base_T_camera"]) == [0.0] * 6 + [1.0]
    assert list(found.get("rig_image_topics", [])) == []
    assert all(value is not None for value in found.values())


def test_parameters_that_are_dumped_start_a_node_with_the_same_values(world: Any, tmp_path: Path) -> None:
    given = {"map": "street", "fix_timeout": 7.0, "base_T_camera": [0.0] * 6 + [1.0], "initial_pose.x": 3.0}
    node = LocalizationNode(parameter_overrides=[Parameter(name, value=v) for name, v in given.items()])
    names = sorted(node.list_parameters([], 0).names)
    values = {
        name: parameter_value_to_python(node.get_parameter(name).get_parameter_value()) for name in names
    }
    dump = tmp_path / "dump.yaml"
    plain = {n: list(v) if not isinstance(v, (bool, int, float, str)) else v for n, v in values.items()}
    dump.write_text(yaml.safe_dump({"/**": {"ros__parameters": plain}}))
    node.destroy_node()
    again = LocalizationNode(cli_args=["--ros-args", "--params-file", str(dump)])
    found = {
        name: parameter_value_to_python(again.get_parameter(name).get_parameter_value()) for name in names
    }
    again.destroy_node()
    assert found == values


def test_an_empty_list_is_read_only_as_any_other_value(context: None) -> None:
    node = declared(context)
    (topics,) = node.set_parameters([Parameter("topics", value=["/a"])])
    assert not topics.successful
    assert "read-only" in topics.reason or "read only" in topics.reason
    node.destroy_node()


def test_a_list_that_can_be_changed_is_emptied_by_an_empty_list_of_any_type(context: None) -> None:
    node = declared(context, sources=["a"])
    (emptied,) = node.set_parameters([Parameter("sources", Parameter.Type.BOOL_ARRAY, [])])
    assert emptied.successful
    assert read(node, Outer).sources == []
    node.set_parameters([Parameter("sources", value=["b", "c"])])
    assert read(node, Outer).sources == ["b", "c"]
    node.set_parameters([Parameter("sources", value="b")])
    with pytest.raises(SceneGeoLocError, match=r"The parameter sources is 'b': it must be a list\[str\]\."):
        read(node, Outer)
    node.destroy_node()


def test_values_given_to_the_node_are_read_back(context: None) -> None:
    node = declared(
        context,
        folder="/maps",
        colour="blue",
        topics=["a", "b"],
        numbers=[1.0],
        inner__count=7,
        inner__mode="exact",
    )
    assert read(node, Outer) == Outer(
        folder=Path("/maps"),
        colour=Colour.BLUE,
        topics=["a", "b"],
        numbers=[1.0],
        inner=Inner(count=7, mode="exact"),
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"inner__count": 99}, "The parameter inner.count must be within 1 to 50."),
        ({"inner__count": 1.5}, "The parameter inner.count must be a int."),
        ({"tolerance": 1}, "The parameter tolerance must be a float, with a decimal point."),
    ],
)
def test_values_of_another_type_or_out_of_range_are_refused(
    context: None, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SceneGeoLocError, match=sentence):
        declared(context, **values)


def test_values_that_are_not_among_the_choices_are_refused(context: None) -> None:
    with pytest.raises(SceneGeoLocError, match="The parameter colour is 'green'"):
        read(declared(context, colour="green"), Outer)


def test_only_live_parameters_can_be_changed_and_only_within_their_range(context: None) -> None:
    node = declared(context)
    allowed, too_much, fixed = node.set_parameters(
        [
            Parameter("tolerance", value=0.5),
            Parameter("tolerance", value=11.0),
            Parameter("inner.count", value=6),
        ]
    )
    assert (allowed.successful, too_much.successful, fixed.successful) == (True, False, False)
    assert read(node, Outer).tolerance == 0.5


def test_the_map_builder_takes_a_user_s_networks() -> None:
    files = {"builder.descriptor": "a.onnx", "builder.local_features": "b.onnx", "builder.matcher": "c.onnx"}
    builder = from_values(MapBuilderNodeSettings, files).builder
    assert (builder.descriptor, builder.local_features, builder.matcher) == ("a.onnx", "b.onnx", "c.onnx")
    unset = {"builder.descriptor": "", "builder.local_features": "", "builder.matcher": "network"}
    assert from_values(MapBuilderNodeSettings, unset).builder == MapBuilderNodeSettings().builder
    with pytest.raises(SceneGeoLocError, match=r"builder\.matcher is 'c\.onnx': .* needs local_features"):
        from_values(MapBuilderNodeSettings, {"builder.matcher": "c.onnx"})


def test_every_parameter_of_every_node_is_described() -> None:
    for model in NODES.values():
        for parameter in parameters_of(model):
            assert parameter.description, parameter.name


def test_the_tables_of_the_documentation_are_up_to_date() -> None:
    document = DOCUMENT.read_text()
    assert with_tables(document, NODES) == document, "run python -m scene_geo_loc.ros.parameter_tables"


def test_renewing_the_tables_writes_what_belongs_between_the_marks(tmp_path: Path) -> None:
    document = tmp_path / "nodes.md"
    marks = "\n".join(f"<!-- parameters: {name} -->\nOUTDATED\n<!-- end -->\nText." for name in NODES)
    document.write_text(marks)
    parameter_tables.main(document)
    renewed = document.read_text()
    assert "OUTDATED" not in renewed
    assert renewed.count("Text.") == len(NODES)
    assert "| `localizer.candidates` |" in renewed


def test_a_document_without_a_place_for_a_table_is_an_error() -> None:
    with pytest.raises(SceneGeoLocError, match="no place marked"):
        with_tables("# Nodes", {"node": Outer})


def test_a_number_that_may_be_unset_is_so_at_minus_one_and_zero_is_zero() -> None:
    class Limits(BaseModel):
        share: float | None = Field(None, ge=0, le=1, description="least share; unset: as needed")

    (parameter,) = parameters_of(Limits)
    assert (parameter.default, parameter.low, parameter.high) == (-1.0, -1.0, 1.0)
    assert parameter.description == "least share; -1: as needed"
    assert from_values(Limits, {"share": -1.0}).share is None
    assert from_values(Limits, {"share": 0.0}).share == 0.0
    with pytest.raises(SceneGeoLocError, match=r"share is -0\.5"):
        from_values(Limits, {"share": -0.5})


def test_a_path_may_lie_in_the_home_folder_or_in_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "our_maps").touch()
    (tmp_path / "share" / "our_maps").mkdir()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/robot")
    values = {
        "out": "~/maps/street",
        "bag": "package://our_maps/bags/drive",
        "pose_topic": "~/pose",
        "builder.descriptor": "~/megaloc.onnx",
    }
    settings = from_values(MapBuilderNodeSettings, values)
    assert settings.out == "/home/robot/maps/street"
    assert settings.bag == str(tmp_path / "share" / "our_maps" / "bags" / "drive")
    assert settings.pose_topic == "~/pose"
    assert settings.builder.descriptor == "/home/robot/megaloc.onnx"
    assert from_values(Outer, {"folder": "~/here"}).folder == Path("/home/robot/here")


@pytest.mark.parametrize("path", ["package://nowhere/map", "package:///map"])
def test_a_path_in_a_package_that_is_not_installed_is_refused_in_a_sentence(path: str) -> None:
    with pytest.raises(SceneGeoLocError, match=rf"{path}.* is not installed"):
        from_values(MapBuilderNodeSettings, {"out": path})
