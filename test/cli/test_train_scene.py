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

"""`scene-geo-loc train scene`: from images of known pose to a network, and a map of images alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from room import Room, write_rgbd
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.networks.architecture.checkpoint import default_scene_network, digest, load_checkpoint

pytestmark = pytest.mark.slow


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def walks(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walks")
    write_rgbd(folder / "one", room, 0.0)
    write_rgbd(folder / "other", room, 0.3)
    write_rgbd(folder / "images_only", room, 0.1, with_depth=False)
    return folder


def train(out: Path, *options: object) -> str:
    return run("train", "scene", "default", out, "--epochs", 1, "--batch", 4, "--device", "cpu", *options)


def test_a_network_learns_depth_and_maps_images_without_any(walks: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--source", walks / "one", "--validation", walks / "other", "--depth-scale", "inverse_20m")
    said = train(out, *options, "--uncertainty", "--baseline", 0.7)
    assert "best.safetensors: network of epoch" in said
    record = json.loads((out / "log.jsonl").read_text().splitlines()[1])
    assert record["losses"]["all tasks"] > 0
    assert 0 <= record["validation"]["other"]["within_1_25"] <= 1
    assert {"config.yaml", "curves.png", "depth.png", "result.json"} <= {file.name for file in out.iterdir()}
    checkpoint = out / "checkpoints" / "last.safetensors"
    network, origin = load_checkpoint(checkpoint)
    assert (network.config.descriptor, network.config.uncertainty) == ("rgb_depth", True)
    assert origin["sources"] == ["one"]
    street = tmp_path / "map"
    run("map", "build", walks / "images_only", street, "--network", checkpoint, "--depth", "auto")
    assert set(ReferenceMap.open(street).depth_source.to_pylist()) == {"learned"}


def test_the_same_command_goes_on_and_another_one_is_refused(walks: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--source", walks / "one", "--task", "views", "--baseline", 0.7, "--packs", tmp_path / "packs")
    train(out, *options)
    before = digest(load_checkpoint(out / "checkpoints" / "last.safetensors")[0])
    train(out, *options)
    assert digest(load_checkpoint(out / "checkpoints" / "last.safetensors")[0]) == before
    with pytest.raises(SceneGeoLocError, match="holds another training run"):
        train(out, *options, "--seed", 1)


def test_features_learn_to_match_across_sources_and_descriptors_stay(walks: Path, tmp_path: Path) -> None:
    sources = ("--source", walks / "one", "--source", walks / "other")
    train(tmp_path / "run", *sources, "--task", "matching", "--local-features", "learned", "--baseline", 0.7)
    learned, _ = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors")
    package, _ = default_scene_network()
    assert learned.config.local_features == "learned"
    changed = ("local_features.", "keypoint_pooling.", "projection.")
    for key, value in package.state_dict().items():
        if not key.startswith(changed):
            assert value.equal(learned.state_dict()[key])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source", "nowhere"), "nowhere"),
        (("--source", "one", "--decoder", "tree"), "unknown decoder 'tree'; known are unet, fc, c_lstm"),
        (
            ("--source", "one", "--task", "matching", "--local-features", "early"),
            "no layer is trained for matching",
        ),
        (("--source", "one", "--baseline", 50), "0 images with a neighbour about 50 m away"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    options: tuple[object, ...], message: str, walks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walks)
    with pytest.raises(SceneGeoLocError) as raised:
        run("train", "scene", "default", tmp_path / "run", "--epochs", 1, "--device", "cpu", *options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
