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

"""Poses relative to keyframes: trained in one place, used in another, and honest about what they know."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pose_place import WallTraversal, add_tiny_encoder, frame_at, pose_of
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError, MapError, SceneGeoLocError
from scene_geo_loc.geometry.pose import make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.localization.estimate import PosePrior, Status
from scene_geo_loc.localization.pose_localizer import open_localizer
from scene_geo_loc.localization.pose_regression.localizer import PoseRegressor
from scene_geo_loc.localization.relative_pose.localizer import RelativePoseLocalizer
from scene_geo_loc.localization.relative_pose.network import (
    RelativeNetwork,
    RelativeRegressor,
    robust_mean,
)
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.map_info import RELATIVE_KEYFRAMES, RELATIVE_NETWORK
from scene_geo_loc.mapping.reference_map import AnyMap
from scene_geo_loc.training.common.callbacks import NoCallback
from scene_geo_loc.training.relative_pose.overlap import frustum_overlap
from scene_geo_loc.training.relative_pose.run import train_relative
from scene_geo_loc.training.relative_pose.settings import RelativeProtocol
from scene_geo_loc.training.relative_pose.trainer import RelativeTrainer

PROTOCOL = RelativeProtocol(
    encoder="tiny",
    weights="none",
    input_width=64,
    components=64,
    units=128,
    epochs=10,
    crops=8,
    dropout=0.05,
    frustum_m=2.0,
    learning_rate=3e-3,
)


@pytest.fixture(autouse=True)
def tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    add_tiny_encoder(monkeypatch)


@pytest.fixture(scope="module")
def relative_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        add_tiny_encoder(patch)
        return train(tmp_path_factory.mktemp("relative") / "map")[0]


def train(out: Path, **changes: Any) -> tuple[Path, dict[str, Any]]:
    traversal = changes.pop("traversal", WallTraversal())
    callback = changes.pop("callback", None)
    protocol = PROTOCOL.model_copy(update=changes)
    return out, train_relative(traversal, out, protocol, device="cpu", callback=callback)


def opened(folder: Path) -> RelativePoseLocalizer:
    localizer = open_localizer(folder, device="cpu")
    assert isinstance(localizer, RelativePoseLocalizer)
    return localizer


def test_images_between_the_keyframes_are_localized_and_their_errors_fit_the_covariance(
    relative_map: Path,
) -> None:
    localizer = opened(relative_map)
    localizer.map.verify()
    pixels = range(4, 980, 24)
    estimates = [localizer.localize(frame_at(pixel)) for pixel in pixels]
    localized = [(e, p) for e, p in zip(estimates, pixels, strict=True) if e.status is Status.LOCALIZED]
    assert len(localized) > 0.5 * len(estimates)
    errors = [float(position_error_m(e.T_map_base, pose_of(p))) for e, p in localized]
    assert np.median(errors) < 1.0
    assert np.median([rotation_error_deg(e.T_map_base, pose_of(p)) for e, p in localized]) < 3
    stds = [np.sqrt(np.trace(e.covariance[:3, :3])) for e, _ in localized]
    assert 0.1 < np.median(np.array(errors) / stds) < 2
    assert all(estimate.unverified is not None for estimate in estimates)
    far = localizer.localize(frame_at(400), PosePrior(pose_of(900), 2.0))
    assert (far.status, far.kind) == (Status.LOST, RejectionKind.OFF_PRIOR)


def test_images_of_another_place_and_images_that_show_nothing_are_not_localized(relative_map: Path) -> None:
    localizer = opened(relative_map)
    estimates = [localizer.localize(frame_at(pixel, seed=1)) for pixel in range(0, 1000, 50)]
    assert np.mean([estimate.status is Status.LOST for estimate in estimates]) > 0.7
    black = replace(frame_at(0), image=np.zeros((48, 64, 3), np.uint8))
    assert localizer.localize(black).kind is RejectionKind.NO_CONTRAST


def test_the_metric_retrieves_what_overlaps(relative_map: Path) -> None:
    localizer = opened(relative_map)
    regressor = localizer.regressor
    assert isinstance(regressor, RelativeRegressor)
    embedded = regressor.network.embed(regressor.keyframes)
    distances = ((embedded[:, None] - embedded) ** 2).sum(axis=2)
    camera = localizer.map.cameras[0]
    K = np.tile([camera.fx, camera.fy, camera.cx, camera.cy], (len(distances), 1))
    overlap = frustum_overlap(localizer.map.T_map_camera, K, camera.width, camera.height, 2.0)
    assert np.corrcoef(1 - overlap.ravel(), distances.ravel())[0, 1] > 0.5
    np.fill_diagonal(distances, np.inf)
    assert np.median(overlap[np.arange(len(overlap)), distances.argmin(axis=1)]) > 0.6


def test_a_network_is_used_in_another_place_and_trained_on(relative_map: Path, tmp_path: Path) -> None:
    network = str(relative_map / RELATIVE_NETWORK)
    other = WallTraversal(tuple(range(300, 700, 6)))
    used, result = train(tmp_path / "used", network=network, epochs=0, traversal=other)
    assert result["position_m"] < 2.0
    before, after = RelativeNetwork.read(Path(network)), RelativeNetwork.read(used / RELATIVE_NETWORK)
    for name, value in before.tensors.items():
        np.testing.assert_array_equal(after.tensors[name], value)
    assert len(opened(used).map) == len(other)
    trained, _ = train(tmp_path / "trained", network=network, epochs=2, traversal=other)
    assert RelativeNetwork.read(trained / RELATIVE_NETWORK).description.trained_on == ["wall", "wall"]
    with pytest.raises(SceneGeoLocError, match="0 epochs"):
        train(tmp_path / "nothing", epochs=0)


class Interrupt(NoCallback):
    """Interrupts the training after an epoch."""

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        if epoch == 3:
            raise KeyboardInterrupt


def test_an_interrupted_training_is_resumed_with_the_same_result(tmp_path: Path) -> None:
    short = {"epochs": 4, "crops": 2, "traversal": WallTraversal(tuple(range(0, 1000, 20)))}
    whole, _ = train(tmp_path / "whole", **short)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", callback=Interrupt(), **short)
    parts, _ = train(tmp_path / "parts", **short)
    first, second = (RelativeNetwork.read(folder / RELATIVE_NETWORK) for folder in (whole, parts))
    for name, value in first.tensors.items():
        np.testing.assert_array_equal(second.tensors[name], value)
    with pytest.raises(SceneGeoLocError, match="exists"):
        train(tmp_path / "parts", **short)


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, calls = RelativeTrainer._losses, []

    def failing(self: RelativeTrainer, *arguments: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        factor = float("nan") if len(calls) > 20 else 1.0
        return {name: value * factor for name, value in losses(self, *arguments).items()}

    monkeypatch.setattr(RelativeTrainer, "_losses", failing)
    with pytest.raises(SceneGeoLocError, match="not finite"):
        train(tmp_path / "map", epochs=4)
    network = RelativeNetwork.read(tmp_path / "map.run" / "checkpoints" / "last.safetensors")
    assert all(np.isfinite(value).all() for value in network.tensors.values())


def test_too_few_images_and_damaged_or_other_files_are_refused(
    relative_map: Path, wall_map: Path, tmp_path: Path
) -> None:
    with pytest.raises(SceneGeoLocError, match="20 images"):
        train(tmp_path / "few", traversal=WallTraversal(tuple(range(20))))
    with pytest.raises(SceneGeoLocError, match="alike"):
        train(tmp_path / "same", traversal=WallTraversal((5,) * 40))
    with pytest.raises(CheckpointError, match="no network"):
        train(tmp_path / "missing", network=str(tmp_path / "missing.safetensors"))
    with pytest.raises(MapError, match="relative poses"):
        RelativePoseLocalizer(AnyMap.open(wall_map), device="cpu")
    with pytest.raises(MapError, match="pose regression"):
        PoseRegressor(AnyMap.open(relative_map), device="cpu")
    copy = Path(shutil.copytree(relative_map, tmp_path / "map"))
    T = AnyMap.open(copy).T_map_camera
    np.save(copy / RELATIVE_KEYFRAMES, np.zeros((3, 64), np.float16))
    with pytest.raises(MapError, match=r"shape \(3, 64\)"):
        RelativeRegressor.read(copy, T)
    content = (copy / RELATIVE_NETWORK).read_bytes()
    (copy / RELATIVE_NETWORK).write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        RelativeNetwork.read(copy / RELATIVE_NETWORK)


def test_the_command_takes_no_epochs_where_an_earlier_network_is_named(tmp_path: Path) -> None:
    arguments = ["train", "pose", "missing", str(tmp_path / "map"), "--epochs", "0", "--system"]
    refused = CliRunner().invoke(app, [*arguments, "posenet"])
    taken = CliRunner().invoke(app, [*arguments, "relative_pose"])
    assert "epochs" in refused.output + str(refused.exception)
    assert "missing" in taken.output + str(taken.exception)


def test_the_mean_of_poses_leaves_wrong_ones_out() -> None:
    rng = np.random.default_rng(0)
    poses = np.stack(
        [make_pose(matrix_of_vector(0.02 * rng.normal(size=3)), 0.1 * rng.normal(size=3)) for _ in range(5)]
    )
    poses[4] = make_pose(matrix_of_vector(np.array([0.0, 1.5, 0.0])), (30.0, 0.0, 0.0))
    pose, weights = robust_mean(poses, np.full((5, 2), 0.1))
    assert weights.sum() == pytest.approx(1)
    assert position_error_m(np.eye(4), pose) < 0.6
    assert rotation_error_deg(np.eye(4), pose) < 5
    certain, _ = robust_mean(poses, np.array([[0.01, 0.01]] + [[5.0, 0.1]] * 4))
    assert position_error_m(poses[0], certain) < 0.05


def test_frustums_overlap_by_the_share_that_both_see() -> None:
    K = np.tile([50.0, 50.0, 31.5, 23.5], (4, 1))
    poses = [
        np.eye(4),
        make_pose(np.eye(3), (0.3, 0.0, 0.0)),
        make_pose(np.eye(3), (1.0, 0.0, 0.0)),
        make_pose(matrix_of_vector(np.array([0.0, np.pi, 0.0])), (0.0, 0.0, 0.0)),
    ]
    overlap = frustum_overlap(np.stack(poses), K, 64, 48, 5.0)
    np.testing.assert_allclose(np.diag(overlap), 1)
    assert overlap[0, 1] > overlap[0, 2] > 0.3
    assert overlap[0, 3] == 0
    np.testing.assert_array_equal(overlap, overlap.T)
