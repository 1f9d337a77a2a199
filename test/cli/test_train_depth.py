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

"""`scene-geo-loc train depth` and `depth compare`: from pairs to a network, numbers and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from robotcar_run import RUN, write_run
from typer.testing import CliRunner

from scene_geo_loc.benchmarks.descriptors.trained_runs import find_runs
from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.depth.depth_maps import FORMAT, DepthMap, encode_depth
from scene_geo_loc.networks.architecture.checkpoint import digest, load_checkpoint, save_checkpoint
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.packs.sources import distinct_names
from scene_geo_loc.traversals.opening import open_traversal

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images are not worth the start of workers."""
    monkeypatch.setattr("scene_geo_loc.core.parallel.available_cores", lambda: 1)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def network(descriptor: str, path: Path) -> Path:
    torch.manual_seed(0)
    config = NetworkConfig(
        descriptor=descriptor,
        pooling="mac",
        depth_encoder="efficientnet_lite0",
        input_width=32,
        input_height=32,
    )
    save_checkpoint(SceneNetwork(config), path, {})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with depth maps of a wall 12 m away, as of night and day; networks that know nothing."""
    root = tmp_path_factory.mktemp("robotcar")
    source = write_run(root, cameras=("stereo/centre",))
    for name in ("night", "day"):
        out = root / name / RUN
        out.mkdir(parents=True)
        maps = []
        for files in open_traversal(source, camera="stereo/centre").frame_files[:2]:  # type: ignore[attr-defined]
            png, size = f"{files.stamp_ns}.png", (files.camera.height, files.camera.width)
            (out / png).write_bytes(encode_depth(np.full(size, 12.0, np.float32)))
            image = files.image.relative_to(source).as_posix()
            maps.append(DepthMap(files.stamp_ns, image, files.T_map_camera, files.camera, png, 1.0).to_dict())
        index = {"version": FORMAT.version, "source": str(source), "maps": maps}
        (out / "index.json").write_text(json.dumps(index))
    network("rgbtd", root / "rgbtd.safetensors")
    network("rgb", root / "rgb.safetensors")
    return root


def test_a_decoder_is_fine_tuned_at_night_with_the_day_mixed_in_and_compared(
    folder: Path, tmp_path: Path
) -> None:
    train = ("train", "depth", folder / "rgbtd.safetensors", tmp_path / "run", "--packs", tmp_path / "packs")
    options = ("--pairs", folder / "night", "--day", folder / "day", "--validation", folder / "night")
    numbers = ("--epochs", 1, "--batch", 4, "--learning-rate", 0.01, "--device", "cpu")
    shown = run(*train, *options, *numbers)
    assert "epoch 1: depth map loss" in shown
    best = tmp_path / "run" / "checkpoints" / "best.safetensors"
    assert f"{best}: network of epoch" in shown
    _, provenance = load_checkpoint(best)
    assert provenance["parent"] == digest(load_checkpoint(folder / "rgbtd.safetensors")[0])
    assert provenance["system"] == "rgbtd, depth fine-tuned"
    (found,) = find_runs([tmp_path / "run"], "cpu").runs
    assert (found.system.name, found.parent) == (provenance["system"], provenance["parent"])
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    shown = run(
        *("depth", "compare", folder / "rgbtd.safetensors", last, "--pairs", folder / "night"),
        *("--json", tmp_path / "depth.json", "--pictures", tmp_path / "depth.png", "--device", "cpu"),
    )
    assert "night: 2 pairs" in shown
    written = json.loads((tmp_path / "depth.json").read_text())
    assert set(written["conditions"]["night"]["errors"]) == {"rgbtd", "last"}
    assert cv2.imread(str(tmp_path / "depth.png")) is not None


def test_plain_images_are_shown_beside_what_others_made_of_them(folder: Path, tmp_path: Path) -> None:
    for name in ("street.png", "rendering.png"):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), 99, np.uint8))
    run(
        *("depth", "compare", folder / "rgbtd.safetensors", "--image", tmp_path / "street.png"),
        *("--rendering", tmp_path / "rendering.png", "--pictures", tmp_path / "out.png", "--device", "cpu"),
    )
    assert cv2.imread(str(tmp_path / "out.png")) is not None


def test_a_network_without_a_decoder_is_one_error_and_leaves_no_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no depth decoder to fine-tune"):
        run("train", "depth", folder / "rgb.safetensors", tmp_path / "run", "--pairs", folder / "night")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "Nothing to compare"),
        (
            ("--image", "a.png", "--rendering", "b.png", "--rendering", "c.png", "--pictures", "d.png"),
            "2 rend",
        ),
        (("--image", "a.png", "--pictures", "d.gif"), "suffix of a picture must be one of"),
        (("--image", "missing.png", "--pictures", "d.png"), "the image is missing or damaged"),
        (("--pairs", "missing"), "there are no depth maps"),
    ],
)
def test_what_cannot_be_compared_is_one_error(folder: Path, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(SceneGeoLocError, match=words):
        run("depth", "compare", folder / "rgbtd.safetensors", "--device", "cpu", *options)


def test_a_learning_rate_of_nothing_is_one_error(folder: Path, tmp_path: Path) -> None:
    train = ("train", "depth", folder / "rgbtd.safetensors", tmp_path / "run", "--pairs", folder / "night")
    with pytest.raises(SceneGeoLocError, match=r"--learning-rate: .* not 0\.0"):
        run(*train, "--learning-rate", 0)


def test_folders_are_called_by_as_little_of_their_path_as_tells_them_apart() -> None:
    assert distinct_names([Path("a/night"), Path("a/day")]) == {
        "night": Path("a/night"),
        "day": Path("a/day"),
    }
    assert list(distinct_names([Path("a/best"), Path("b/best")])) == ["a/best", "b/best"]
    assert distinct_names([]) == {}
