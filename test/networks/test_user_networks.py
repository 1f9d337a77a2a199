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

"""A user's networks: their descriptions, what graphs are taken, and what outputs are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto
from room import Room
from small_graphs import (
    CORNERS,
    DESCRIPTOR_SIZE,
    HEIGHT,
    PATCH,
    WIDTH,
    Graph,
    changed_output,
    corner_model,
    descriptor_model,
    pair_model,
    with_constant,
    write_corners,
    write_descriptor,
    write_network,
)

from scene_geo_loc.core.errors import CheckpointError, InferenceError
from scene_geo_loc.networks.user.description import (
    Coordinates,
    Description,
    GlobalDescriptor,
    ImageDescription,
    Keypoints,
    PairMatches,
    parsed,
    read_description,
)
from scene_geo_loc.networks.user.image_network import DescriptorNetwork, ImageNetwork, KeypointNetwork
from scene_geo_loc.networks.user.user_network import UserNetwork


@pytest.fixture(scope="module")
def image(room: Room) -> NDArray[np.uint8]:
    return room.frame(-2.1, 0.4, 7.0).image


# Descriptions.

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
finite = st.floats(-1e6, 1e6)


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Any description of keypoints."""
    colour = draw(st.sampled_from(["rgb", "bgr", "grey"]))
    count = st.sampled_from([1, 1 if colour == "grey" else 3])
    sizes = draw(st.none() | st.tuples(st.integers(1, 8192), st.integers(1, 8192)))
    return Keypoints(
        input=draw(st.none() | names),
        layout=draw(st.sampled_from(["nchw", "nhwc"] + ["nhw"] * (colour == "grey"))),
        colour=colour,  # type: ignore[arg-type]
        max_value=draw(st.floats(1e-3, 1e6)),
        mean=tuple(draw(finite) for _ in range(draw(count))),
        std=tuple(draw(st.floats(1e-3, 1e3)) for _ in range(draw(count))),
        width=sizes and sizes[0],
        height=sizes and sizes[1],
        multiple=draw(st.integers(1, 1024)),
        keypoints=draw(names),
        scores=draw(st.none() | names),
        order=draw(st.sampled_from(["xy", "yx"])),
        coordinates=draw(st.sampled_from(Coordinates)),
        min_score=draw(finite),
    )


@settings(max_examples=40)
@given(descriptions())
def test_a_description_is_the_same_after_yaml(description: Keypoints) -> None:
    text = yaml.safe_dump(description.model_dump(mode="json"))
    assert parsed(yaml.safe_load(text), Keypoints, "it") == description


@given(
    st.sampled_from(Coordinates),
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    st.tuples(st.floats(-1, 4000), st.floats(-1, 4000)),
)
def test_coordinates_are_the_inverse_of_pixels(
    coordinates: Coordinates, size: tuple[int, int], pixel: tuple[float, float]
) -> None:
    there = coordinates.of_pixels(np.array([pixel]), np.array(size))
    np.testing.assert_allclose(coordinates.to_pixels(there, np.array(size)), [pixel], atol=1e-6)


def test_each_convention_has_its_corners() -> None:
    size, last = np.array([640, 480]), np.array([[-0.5, -0.5], [639.5, 479.5]])
    wanted: dict[Coordinates, list] = {
        Coordinates.PIXEL_CENTRE: [[-0.5, -0.5], [639.5, 479.5]],
        Coordinates.PIXEL_CORNER: [[0, 0], [640, 480]],
        Coordinates.UNIT: [[0, 0], [1, 1]],
        Coordinates.SIGNED: [[-1, -1], [1, 1]],
        Coordinates.LONGER_SIDE: [[-1, -0.75], [1, 0.75]],
    }
    for convention, corners in wanted.items():
        np.testing.assert_allclose(convention.of_pixels(last, size), corners, atol=1e-12)


def test_an_empty_file_stands_for_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text("# nothing\n")
    assert read_description(tmp_path / "it.onnx", GlobalDescriptor) == GlobalDescriptor()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colr: grey", r"unknown key 'colr': the keys are input, layout, colour"),
        ("colour: grau", r"wrong at 'colour'"),
        ("mean: [0.5, 0.5]", r"mean has 2 numbers, not 1 or 3"),
        ("std: [0]", r"greater than 0"),
        ("max_value: .inf", r"wrong at 'max_value'"),
        ("width: 640", r"width and height are given together"),
        ("layout: nhw", r"nhw needs the colour grey"),
        ("- grey", r"wrong"),
        ("grey", r"wrong"),
        ("{", r"cannot be read as YAML"),
        ("a: !!python/object:os.system {}", r"cannot be read as YAML"),
        ("\x00", r"cannot be read as YAML"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "it.yaml").write_text(text)
    with pytest.raises(CheckpointError, match=said) as refused:
        read_description(tmp_path / "it.onnx", Keypoints)
    assert str(tmp_path / "it.yaml") in str(refused.value)
    assert "\n" not in str(refused.value)


# Graphs.


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no network at .*none\.onnx"):
        UserNetwork.read(tmp_path / "none.onnx", Keypoints)


def test_a_missing_description_is_said(tmp_path: Path) -> None:
    path = write_corners(tmp_path)
    path.with_suffix(".yaml").unlink()
    with pytest.raises(CheckpointError, match=r"no corners\.yaml beside"):
        UserNetwork.read(path, Keypoints)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = write_corners(tmp_path)
    path.write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"corners\.onnx is truncated or damaged"):
        UserNetwork.read(path, Keypoints)


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


@pytest.mark.parametrize(
    ("change", "description", "said"),
    [
        (None, {"input": "images"}, r"has the inputs image and not images"),
        (None, {"colour": "rgb"}, r"the shape \(1, 1, any, any\) and not \(1, 3, h, w\)"),
        (None, {"layout": "nhw"}, r"and not \(1, h, w\)"),
        (None, {"keypoints": "kpts"}, r"the outputs keypoints, descriptors, scores and not kpts"),
        (lambda model: model.graph.output.pop(), {}, r"and not scores"),
        (external, {}, r"in another file"),
        (lambda model: model.graph.node.add(domain="com.microsoft", op_type="A"), {}, r"com\.microsoft\.A"),
    ],
)
def test_a_graph_that_is_not_what_its_description_says_is_refused(
    tmp_path: Path, change: Callable | None, description: dict[str, Any], said: str
) -> None:
    model = corner_model()
    if change is not None:
        change(model)
    path = write_network(tmp_path / "it.onnx", model, **{"colour": "grey", **description})
    with pytest.raises(CheckpointError, match=said) as refused:
        UserNetwork.read(path, Keypoints)
    assert "it.onnx" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ({"width": 64, "height": 48}, rf"the shape \(1, 3, {HEIGHT}, {WIDTH}\) and not \(1, 3, 48, 64\)"),
        ({"descriptor": "global"}, r"the outputs descriptor and not global"),
    ],
)
def test_a_descriptor_that_is_not_what_its_description_says_is_refused(
    tmp_path: Path, description: dict[str, Any], said: str
) -> None:
    path = write_network(tmp_path / "it.onnx", descriptor_model(), **description)
    with pytest.raises(CheckpointError, match=said):
        UserNetwork.read(path, GlobalDescriptor)


def test_a_graph_of_several_outputs_has_to_say_which_is_the_descriptor(tmp_path: Path) -> None:
    path = write_network(tmp_path / "it.onnx", corner_model(), colour="grey")
    with pytest.raises(CheckpointError, match=r"keypoints, descriptors, scores: .* `descriptor`"):
        UserNetwork.read(path, GlobalDescriptor)


def test_a_graph_that_takes_other_numbers_is_refused(tmp_path: Path) -> None:
    model = descriptor_model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    path = write_network(tmp_path / "it.onnx", model)
    with pytest.raises(CheckpointError, match=r"takes INT64"):
        UserNetwork.read(path, GlobalDescriptor)


def test_mean_and_std_do_not_go_with_bytes(tmp_path: Path) -> None:
    graph = Graph()
    graph.add("Flatten", graph.cast("image", TensorProto.FLOAT), to="descriptor")
    model = graph.model({"image": (TensorProto.UINT8, [1, 4, 4, 3])}, {"descriptor": TensorProto.FLOAT})
    path = write_network(tmp_path / "it.onnx", model, layout="nhwc", mean=[0.5])
    with pytest.raises(CheckpointError, match=r"uint8, without mean and std"):
        UserNetwork.read(path, GlobalDescriptor)


@pytest.mark.parametrize(
    ("change", "description", "said"),
    [
        (None, {"keypoints0": "kpts0"}, r"and not kpts0"),
        (None, {"size0": "size0", "size1": "size1"}, r"and not .*size0, size1"),
        (None, {"size0": "size0"}, r"size0 and size1 are given together"),
        (512, {}, r"takes 512 keypoints only: export it with dynamic axes"),
    ],
)
def test_a_pair_matcher_that_is_not_what_its_description_says_is_refused(
    tmp_path: Path, change: int | None, description: dict[str, Any], said: str
) -> None:
    model = pair_model()
    if change is not None:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = change
    path = write_network(tmp_path / "it.onnx", model, **description)
    with pytest.raises(CheckpointError, match=said):
        UserNetwork.read(path, PairMatches)


def test_a_copy_is_the_same_network(tmp_path: Path) -> None:
    network = UserNetwork.read(write_corners(tmp_path), Keypoints).with_length(81)
    network.save_copy(tmp_path / "copy")
    copy = UserNetwork.read_copy(tmp_path / "copy", Keypoints)
    assert copy == network
    assert (copy.digest, copy.sha256) == (network.digest, network.sha256)
    other = UserNetwork(network.name, network.graph, Keypoints(colour="grey", min_score=1.0))
    assert other.sha256 == network.sha256
    assert other.digest != network.digest


@pytest.mark.parametrize("kind", [GlobalDescriptor, PairMatches])
def test_a_copy_of_another_kind_is_refused(tmp_path: Path, kind: type[Description]) -> None:
    UserNetwork.read(write_corners(tmp_path), Keypoints).save_copy(tmp_path / "copy")
    with pytest.raises(CheckpointError, match="copy has the unknown key"):
        UserNetwork.read_copy(tmp_path / "copy", kind)


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(CheckpointError, match="no network of a user"):
        UserNetwork.read_copy(tmp_path / "copy", Keypoints)


# Runs.


def test_a_descriptor_has_unit_length_and_changes_with_the_image(
    tmp_path: Path, image: NDArray[np.uint8]
) -> None:
    network = DescriptorNetwork(UserNetwork.read(write_descriptor(tmp_path), GlobalDescriptor), "cpu")
    assert network.size == network.network.length == DESCRIPTOR_SIZE
    descriptor = network.describe(image)
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    averages = small.reshape(6, 12, 8, 12, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    wanted = (averages - averages.mean(axis=(1, 2), keepdims=True)).ravel()
    np.testing.assert_allclose(descriptor, wanted / np.linalg.norm(wanted), atol=1e-4)


@pytest.mark.parametrize(
    ("layout", "colour", "kind"),
    [
        ("nchw", "rgb", np.float32),
        ("nchw", "grey", np.float16),
        ("nchw", "bgr", np.uint8),
        ("nhwc", "bgr", np.float32),
        ("nhwc", "grey", np.uint8),
    ],
)
def test_an_image_is_given_as_described(
    tmp_path: Path, image: NDArray[np.uint8], layout: str, colour: str, kind: type[np.generic]
) -> None:
    graph, channels = Graph(), 1 if colour == "grey" else 3
    graph.add("Identity", graph.cast("image", TensorProto.FLOAT), to="descriptor")
    shape = [1, channels, "h", "w"] if layout == "nchw" else [1, "h", "w", channels]
    elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    model = graph.model({"image": (elem_type, shape)}, {"descriptor": TensorProto.FLOAT})
    description: dict[str, Any] = {"layout": layout, "colour": colour, "multiple": 16}
    mean, std, scale = 0.0, 1.0, 1.0
    if kind is not np.uint8:
        mean, std, scale = 0.25, 0.5, 2 / 255
        description |= {"max_value": 2.0, "mean": [mean], "std": [std]}
    path = write_network(tmp_path / "it.onnx", model, **description)
    outputs, size = ImageNetwork(UserNetwork.read(path, GlobalDescriptor), ["descriptor"], "cpu").run(image)
    assert size.tolist() == [160, 128]
    wanted: NDArray = image
    if colour == "grey":
        wanted = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[..., None]
    if colour == "bgr":
        wanted = image[..., ::-1]
    resized = cv2.resize(np.ascontiguousarray(wanted), (160, 128), interpolation=cv2.INTER_AREA)
    values = (resized.reshape(128, 160, channels) * scale - mean) / std
    given = outputs["descriptor"][0]
    np.testing.assert_allclose(given if layout == "nhwc" else given.transpose(1, 2, 0), values, atol=2e-3)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_keypoints_are_corners_by_every_backend(
    tmp_path: Path, name: str, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    from scene_geo_loc.networks.runtime import onnxruntime_backend, openvino_backend

    for module, kept in ((openvino_backend, "openvino"), (onnxruntime_backend, "onnxruntime")):
        monkeypatch.setattr(module, "is_installed", lambda kept=kept: kept == name)
    network = KeypointNetwork(UserNetwork.read(write_corners(tmp_path), Keypoints), "cpu")
    pixels, descriptors, size = network.detect(image)
    assert size.tolist() == [160, 120]
    assert 50 < len(pixels) <= CORNERS
    assert descriptors.shape == (len(pixels), PATCH**2)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    x, y = pixels[pixels.min(axis=1) > 5][0].astype(int)
    patch = grey[y - 4 : y + 5, x - 4 : x + 5]
    if patch.size == PATCH**2:
        at = np.flatnonzero((pixels == (x, y)).all(axis=1))[0]
        np.testing.assert_allclose(descriptors[at], (patch - patch.mean()).ravel(), atol=1e-4)
    none, described, _ = network.detect(np.full_like(image, 128))
    assert none.shape == (0, 2)
    assert described.shape == (0, PATCH**2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("coordinates", "order"),
    [(Coordinates.PIXEL_CORNER, "xy"), (Coordinates.UNIT, "yx"), (Coordinates.LONGER_SIDE, "xy")],
)
def test_keypoints_are_the_same_in_every_convention(
    tmp_path: Path, image: NDArray[np.uint8], order: str, coordinates: Coordinates
) -> None:
    usual = KeypointNetwork(UserNetwork.read(write_corners(tmp_path), Keypoints), "cpu")
    ends = coordinates.of_pixels(np.array([[0, 0], [1, 1]]), np.array([160, 120]))
    model = corner_model()
    changed_output(model, "keypoints", "Cast", to=TensorProto.FLOAT)
    changed_output(model, "keypoints", "Mul", with_constant(model, ends[1] - ends[0]))
    changed_output(model, "keypoints", "Add", with_constant(model, ends[0]))
    if order == "yx":
        changed_output(model, "keypoints", "Gather", with_constant(model, [1, 0], np.int64), axis=2)
    changed_output(model, "descriptors", "Transpose", perm=[0, 2, 1])
    path = write_network(
        tmp_path / "other.onnx",
        model,
        colour="grey",
        order=order,
        coordinates=coordinates.value,
        descriptor_axes="cn",
        scores=None,
        max_keypoints=100,
    )
    other = KeypointNetwork(UserNetwork.read(path, Keypoints), "cpu")
    (pixels, descriptors, _), (theirs, described, _) = usual.detect(image), other.detect(image)
    np.testing.assert_allclose(theirs, pixels[:100], atol=1e-3)
    np.testing.assert_allclose(described, descriptors[:100], atol=1e-5)


def not_a_number(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        changed_output(model, name, "Mul", with_constant(model, np.nan))

    return change


def infinite(model: onnx.ModelProto) -> None:
    changed_output(model, "scores", "Div", with_constant(model, 0))


def of_one_rank_less(model: onnx.ModelProto) -> None:
    changed_output(model, "descriptors", "Reshape", with_constant(model, [-1], np.int64))


def fewer(name: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        bounds = [with_constant(model, [value], np.int64) for value in (0, 7, 1)]
        changed_output(model, name, "Slice", *bounds)

    return change


def outside(model: onnx.ModelProto) -> None:
    changed_output(model, "keypoints", "Add", with_constant(model, 500, np.int64))


def without_numbers(model: onnx.ModelProto) -> None:
    bounds = [with_constant(model, [value], np.int64) for value in (0, 0, 2)]
    changed_output(model, "descriptors", "Slice", *bounds)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (not_a_number("descriptors"), r"output descriptors of it\.onnx has numbers that are not finite"),
        (not_a_number("scores"), r"output scores of .* not finite"),
        (infinite, r"not finite"),
        (of_one_rank_less, r"descriptors of it\.onnx has the shape \("),
        (fewer("scores"), r"and scores \(7,\)|shape \(1, 300\)|keypoints \(300, 2\)"),
        (outside, r"keypoint at \(.*\) outside of its image of 160x120"),
        (without_numbers, r"no numbers|not finite"),
    ],
)
def test_keypoints_that_cannot_be_used_are_refused(
    tmp_path: Path, change: Callable, said: str, image: NDArray[np.uint8]
) -> None:
    model = corner_model()
    if change is not None:
        change(model)
    path = write_network(tmp_path / "it.onnx", model, colour="grey")
    network = UserNetwork.read(path, Keypoints)
    with pytest.raises(InferenceError, match=said) as refused:
        KeypointNetwork(network, "cpu").detect(image)
    assert "\n" not in str(refused.value)


def test_descriptors_of_another_length_are_refused(tmp_path: Path, image: NDArray[np.uint8]) -> None:
    network = UserNetwork.read(write_corners(tmp_path), Keypoints).with_length(64)
    with pytest.raises(InferenceError, match="81 numbers and not 64"):
        KeypointNetwork(network, "cpu").detect(image)
    described = UserNetwork.read(write_descriptor(tmp_path), GlobalDescriptor).with_length(512)
    with pytest.raises(InferenceError, match="144 numbers and not 512"):
        DescriptorNetwork(described, "cpu").describe(image)


@pytest.mark.parametrize(
    ("operator", "constant", "said"),
    [
        ("Mul", np.float32(0), "is zero"),
        ("Mul", np.float32(np.inf), "not finite"),
        ("Reshape", np.array([12, -1]), r"the shape \(12, 12\): a descriptor"),
        ("Slice", None, "0 numbers"),
    ],
)
def test_a_descriptor_that_cannot_be_used_is_refused(
    tmp_path: Path, operator: str, constant: Any, said: str
) -> None:
    model = descriptor_model()
    if constant is None:
        more = [with_constant(model, [value], np.int64) for value in (0, 0, 1)]
    else:
        more = [with_constant(model, constant, constant.dtype)]
    changed_output(model, "descriptor", operator, *more)
    path = write_network(tmp_path / "it.onnx", model)
    with pytest.raises(InferenceError, match=said):
        DescriptorNetwork(UserNetwork.read(path, GlobalDescriptor), "cpu")


def test_a_graph_that_no_backend_can_run_is_said(tmp_path: Path) -> None:
    model = descriptor_model()
    changed_output(model, "descriptor", "Reshape", with_constant(model, [7, 7, 7], np.int64))
    path = write_network(tmp_path / "it.onnx", model)
    with pytest.raises(InferenceError, match=r"it\.onnx cannot be run on inputs of 1x3x72x96") as refused:
        DescriptorNetwork(UserNetwork.read(path, GlobalDescriptor), "cpu")
    assert "\n" not in str(refused.value)


def test_descriptions_are_json_too() -> None:
    description: ImageDescription = GlobalDescriptor(mean=(0.485, 0.456, 0.406), width=322, height=322)
    values = json.loads(json.dumps(description.model_dump(mode="json")))
    assert parsed(values, GlobalDescriptor, "it") == description
