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

"""Training of keypoints: views that correspond, losses with known answers, resumed runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.local_features import KeypointMaps
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.architecture.xfeat import XFeatNetwork
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.training.common.loop import Position
from scene_geo_loc.training.common.protocols import KeypointProtocol
from scene_geo_loc.training.keypoints.batches import POINTS, KeypointBatch, KeypointBatches
from scene_geo_loc.training.keypoints.homographies import Range, apply, crop, moved, scale_at, warped
from scene_geo_loc.training.keypoints.losses import WEIGHTS, keep_loss, keypoint_losses
from scene_geo_loc.training.keypoints.sources import AlignedImages
from scene_geo_loc.training.keypoints.trainer import KeypointTrainer, start_keypoints

SIZE = (128, 96)
NO_CHANGE = Range(scales=(1.0, 1.0), turn_deg=0.0, perspective=0.0)


def picture(seed: int, size: tuple[int, int] = (240, 180)) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    image = np.full((size[1], size[0], 3), 120, np.uint8)
    for _ in range(80):
        x, y = (int(value) for value in rng.integers(0, size))
        w, h = (int(value) for value in rng.integers(5, 40, 2))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1)
    return image


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of a camera that stands still, from dark to bright."""
    folder = tmp_path_factory.mktemp("camera")
    for number, light in enumerate((0.1, 0.9, 0.15, 1.0, 0.5, 0.8)):
        image = np.clip(picture(0) * light + 5, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


@given(seed=st.integers(0, 1000))
def test_a_crop_shows_its_image_where_the_homography_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    H = crop(rng, (240, 180), SIZE, Range(scales=(0.6, 1.5), turn_deg=30.0, perspective=0.2))
    marked = np.zeros((180, 240, 3), np.uint8)
    middle = apply(np.linalg.inv(H), np.array([SIZE]) / 2)[0]
    at = np.rint(np.clip(middle, 8, (231, 171)))
    cv2.circle(marked, (int(at[0]), int(at[1])), 6, (255, 255, 255), -1)
    (expected,) = apply(H, at[None])
    if not ((expected > 15) & (expected < np.array(SIZE) - 15)).all():
        return
    bright = np.argwhere(warped(marked, H, SIZE)[..., 0] > 127)[:, ::-1]
    assert np.linalg.norm(bright.mean(axis=0) - expected) < 1.5
    radius = 6 * scale_at(H, at)
    assert np.sqrt(len(bright) / np.pi) == pytest.approx(radius, rel=0.25)


def test_a_view_that_is_only_shifted_keeps_its_scale() -> None:
    H = moved(np.random.default_rng(0), SIZE, Range((1.0, 1.0), 0.0, 0.0, shift=0.25))
    assert scale_at(H, np.array([3.0, 4.0])) == pytest.approx(1)
    np.testing.assert_allclose(crop(np.random.default_rng(0), SIZE, SIZE, NO_CHANGE), np.eye(3), atol=1e-9)


def test_the_points_of_a_pair_show_the_same(camera: Path) -> None:
    source = AlignedImages.of_fixed_cameras([camera])
    found = 0
    for seed in range(12):
        pair = source.draw(np.random.default_rng(seed), SIZE, POINTS)
        if pair is None:
            continue
        found += 1
        first, second, clear = pair.points
        for seen in (first, second):
            H, _ = cv2.findHomography(seen, clear)
            np.testing.assert_allclose(apply(H, seen), clear, atol=0.01)
        assert pair.clear.mean() > 80, "the clear view is by day"
    assert found > 6


def test_a_folder_of_cameras_is_a_group_for_each(camera: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), picture(number))
    assert len(AlignedImages.of_fixed_cameras([tmp_path])) == 4
    assert len(AlignedImages.of_folders([tmp_path, camera])) == 10


@pytest.mark.parametrize(
    ("content", "message"), [(None, "has no images"), (b"broken", "cannot be read as an image")]
)
def test_a_folder_without_usable_images_is_refused(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "0.jpg").write_bytes(content)
    with pytest.raises(SceneGeoLocError, match=message):
        AlignedImages.of_folders([tmp_path])


def test_images_too_small_to_share_points_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), picture(0, (9, 9)))
    batches = KeypointBatches([AlignedImages.of_folders([tmp_path])], 1, SIZE, 0, 1, 1)
    with pytest.raises(SceneGeoLocError, match="share too few points"):
        batches.batch(0)


def maps(features: torch.Tensor) -> KeypointMaps:
    rows, columns = features.shape[2:]
    return KeypointMaps(features, torch.zeros(1, 65, rows, columns), torch.zeros(1, 1, rows, columns))


def test_equal_views_whose_cells_all_differ_are_matched_right() -> None:
    """Features are one-hot, one for each cell, and the points are the cells' centres."""
    rows, columns = 3, 4
    features = torch.eye(rows * columns).reshape(1, rows * columns, rows, columns)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centres = torch.stack([x, y], dim=-1).reshape(1, -1, 2) * 8 + 3.5
    image = torch.zeros(1, rows * 8, columns * 8, 3, dtype=torch.uint8)
    known = torch.ones(1, rows * columns, dtype=torch.bool)
    batch = KeypointBatch(image, image, image, centres.expand(3, -1, -1, -1), known)
    teacher = maps(features)
    losses = keypoint_losses(teacher, teacher, teacher, teacher, batch)
    assert losses["right"] == 1
    assert losses["match"] < 1e-6
    assert losses["teacher"] == pytest.approx(0, abs=1e-6)
    shuffled = maps(features.roll(1, dims=1))
    losses = keypoint_losses(teacher, shuffled, teacher, teacher, batch)
    assert losses["right"] == 0
    assert losses["match"] > 10
    assert losses["teacher"] == pytest.approx(0.5)


def test_a_clear_view_is_kept_where_features_and_reliability_are_the_teacher_s() -> None:
    features = torch.nn.functional.normalize(torch.randn(1, 5, 3, 4), dim=1)
    sure = torch.full((1, 1, 3, 4), 20.0)
    teacher = maps(features)._replace(reliability=sure)
    assert keep_loss(teacher, teacher) == pytest.approx(0, abs=1e-6)
    assert keep_loss(teacher._replace(features=-features), teacher) == pytest.approx(2 * 1.2, rel=1e-5)
    assert keep_loss(teacher._replace(reliability=-sure), teacher) == pytest.approx(0.2 * 20, rel=1e-5)


@pytest.fixture(scope="module")
def published() -> XFeatNetwork:
    torch.manual_seed(0)
    return XFeatNetwork().eval()


def run(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_a_training_lowers_its_losses_and_a_stopped_one_is_resumed_with_the_same_result(
    camera: Path, tmp_path: Path, published: XFeatNetwork
) -> None:
    weights = tmp_path / "xfeat.pt"
    torch.save(published.state_dict(), weights)
    settings = ["--weights", str(weights), "--fixed-camera", str(camera), "--images", str(camera)]
    settings += ["--validation", str(camera), "--steps", "6", "--pairs", "1", "--width", "128"]
    settings += ["--height", "96", "--device", "cpu"]
    run(["train", "keypoints", "default", str(tmp_path / "run"), *settings])
    network, provenance = load_network(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert network.signature.finds_keypoints
    assert provenance["steps"] == 6
    assert provenance["fixed_cameras"] == [camera.name]
    again = run(["train", "keypoints", "default", str(tmp_path / "run"), *settings])
    assert "after 6 steps" in again
    run(["train", "keypoints", "default", str(tmp_path / "other"), *settings])
    other, _ = load_network(tmp_path / "other" / "checkpoints" / "best.safetensors")
    assert other.digest == network.digest


@pytest.mark.slow
def test_only_the_keypoints_are_trained(published: XFeatNetwork, camera: Path) -> None:
    torch.manual_seed(1)
    network = SceneNetwork(NetworkConfig(input_width=128, input_height=96, pooling="mac"))
    started = start_keypoints(network, published)
    before = {name: value.clone() for name, value in started.state_dict().items()}
    batches = KeypointBatches([AlignedImages.of_fixed_cameras([camera])], 2, SIZE, 0, 20, 20)
    protocol = KeypointProtocol(steps=20, warm_up=1, learning_rate=1e-3)
    trainer = KeypointTrainer(started, published, [], protocol, {}, torch.device("cpu"))
    batch = batches.batch(0)
    steps = [trainer.step(batch, Position(1, number, 20)) for number in range(20)]
    totals = [sum(weight * step.losses[name] for name, weight in WEIGHTS.items()) for step in steps]
    assert totals[-1] < totals[0]
    after = started.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("local_features.") for name in changed)
    assert not any("running" in name or "keypoint_head" in name for name in changed)


def test_a_network_without_keypoints_is_refused(published: XFeatNetwork) -> None:
    network = SceneNetwork(NetworkConfig(input_width=128, input_height=96, pooling="mac"))
    with pytest.raises(SceneGeoLocError, match="local features 'early'"):
        KeypointTrainer(network, published, [], KeypointProtocol(), {}, torch.device("cpu"))
