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

"""Pose regressors: trained in one place, opened like any other map, and honest about what they know."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pose_place import CAMERA, WallTraversal, add_tiny_encoder, frame_at, pose_of, quick
from pydantic import create_model
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.cli.options.settings import GivenSettings
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import PosePrior, Status
from scene_geo_loc.localization.pose_localizer import open_localizer
from scene_geo_loc.localization.pose_regression.localizer import PoseRegressor
from scene_geo_loc.localization.pose_regression.regressor import Description, Regression, Regressor
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.uncertainty.covariance import move_covariance
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.map_info import REGRESSOR
from scene_geo_loc.networks.architecture.pose_network import AnchorHead, LayerHead, PoseHead, averages
from scene_geo_loc.training.common.callbacks import NoCallback
from scene_geo_loc.training.pose_regression.calibration import calibrate, largest_std
from scene_geo_loc.training.pose_regression.losses import PoseLoss, Targets, matrices
from scene_geo_loc.training.pose_regression.run import train_pose
from scene_geo_loc.training.pose_regression.systems import PoseProtocol, PoseSystem, Weighting


def train(out: Path, system: PoseSystem, protocol: PoseProtocol, **arguments: Any) -> dict[str, Any]:
    traversal = arguments.pop("traversal", WallTraversal())
    return train_pose(traversal, out, system, protocol, device="cpu", **arguments)


@pytest.fixture(autouse=True)
def tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    add_tiny_encoder(monkeypatch)


def opened(folder: Path) -> PoseRegressor:
    localizer = open_localizer(folder, device="cpu")
    assert isinstance(localizer, PoseRegressor)
    return localizer


def test_images_between_those_of_the_training_are_localized_and_their_errors_fit_the_covariance(
    wall_map: Path,
) -> None:
    localizer = opened(wall_map)
    localizer.map.verify()
    pixels = range(4, 980, 24)
    estimates = [localizer.localize(frame_at(pixel)) for pixel in pixels]
    localized = [(e, p) for e, p in zip(estimates, pixels, strict=True) if e.status is Status.LOCALIZED]
    assert len(localized) > 0.5 * len(estimates)
    errors = [float(position_error_m(e.T_map_base, pose_of(p))) for e, p in localized]
    assert np.median(errors) < 1.0
    accepted_m = localizer.regressor.description.calibration.accepted_error_m
    assert np.mean(np.array(errors) < accepted_m) > 0.9
    assert np.median([rotation_error_deg(e.T_map_base, pose_of(p)) for e, p in localized]) < 3
    ratios = [
        error / np.sqrt(np.trace(e.covariance[:3, :3]))
        for (e, _), error in zip(localized, errors, strict=True)
    ]
    # Less than 1: the deviations hold in other light and beside the line as well.
    assert 0.05 < np.median(ratios) < 2
    assert sum(file.bytes for file in localizer.map.info.files.values()) < 5e6
    np.testing.assert_array_equal(
        localizer.localize(frame_at(100)).T_map_base, localizer.localize(frame_at(100)).T_map_base
    )


def test_images_of_another_place_and_images_that_show_nothing_are_not_localized(wall_map: Path) -> None:
    localizer = opened(wall_map)
    kinds = [localizer.localize(frame_at(pixel, seed=1)).kind for pixel in range(0, 1000, 50)]
    wrong = {RejectionKind.UNLIKE_TRAINING, RejectionKind.UNCERTAIN_POSITION, RejectionKind.OFF_TRAINING}
    assert np.mean([kind in wrong for kind in kinds]) > 0.8
    black = replace(frame_at(0), image=np.zeros((48, 64, 3), np.uint8))
    assert localizer.localize(black).kind is RejectionKind.NO_CONTRAST


def test_a_pose_outside_of_the_prior_is_not_accepted(wall_map: Path) -> None:
    localizer, frame = opened(wall_map), frame_at(400)
    assert localizer.localize(frame, PosePrior(pose_of(400), 3.0)).status is Status.LOCALIZED
    estimate = localizer.localize(frame, PosePrior(pose_of(900), 3.0))
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.OFF_PRIOR)
    assert estimate.T_map_base is None
    assert estimate.unverified is not None
    assert position_error_m(estimate.unverified.T_map_base, pose_of(400)) < 3.0


def test_an_image_of_another_lens_is_read_as_the_camera_of_the_training_sees_it(wall_map: Path) -> None:
    localizer, frame = opened(wall_map), frame_at(400)
    wide = np.zeros((96, 128, 3), np.uint8)
    wide[24:72, 32:96] = frame.image
    query = CameraImage(wide, Camera(128, 96, 50.0, 50.0, 63.5, 47.5))
    regression = localizer.regress(query)
    assert regression is not None
    assert position_error_m(regression.T_map_camera, localizer.localize(frame).T_map_base) < 0.5
    narrow = CameraImage(frame.image, Camera(64, 48, 200.0, 200.0, 31.5, 23.5))
    assert localizer.localize(narrow).kind is RejectionKind.FIELD_OF_VIEW


def test_a_camera_on_a_base_and_a_rig_give_the_pose_of_the_base(wall_map: Path) -> None:
    localizer, frame = opened(wall_map), frame_at(400)
    T_base_camera = make_pose(np.eye(3), (0.0, 0.0, 2.0))
    black = CameraImage(np.zeros((48, 64, 3), np.uint8), CAMERA)
    estimate = localizer.localize([black, CameraImage(frame.image, CAMERA, T_base_camera)])
    assert estimate.status is Status.LOCALIZED
    alone = localizer.localize(frame)
    np.testing.assert_allclose(estimate.T_map_base, alone.T_map_base @ inverse(T_base_camera), atol=1e-9)
    lever = estimate.T_map_base[:3, 3] - alone.T_map_base[:3, 3]
    np.testing.assert_allclose(estimate.covariance, move_covariance(alone.covariance, lever), atol=1e-12)


@pytest.mark.parametrize("system", [PoseSystem.BAYESIAN, PoseSystem.PLANAR, PoseSystem.POSENET_LSTM])
def test_each_system_learns_the_place(system: PoseSystem, tmp_path: Path) -> None:
    result = train(tmp_path / "map", system, quick(epochs=2))
    assert result["position_m"] < 1.0
    assert result["rotation_deg"] < 3
    localizer = opened(tmp_path / "map")
    assert localizer.regressor.description.system == system.value
    regression = localizer.regress(CameraImage(frame_at(400).image, CAMERA))
    assert np.linalg.eigvalsh(regression.covariance[:3, :3])[-1] > 0


def test_a_regressor_with_depth_refuses_images_without(tmp_path: Path) -> None:
    system, protocol = PoseSystem.POSENET_RGBD, quick(epochs=2, crops=2)
    with pytest.raises(SceneGeoLocError, match="no image has depth"):
        train(tmp_path / "none", system, protocol)
    result = train(tmp_path / "map", system, protocol, traversal=WallTraversal(depth_m=5.0))
    assert result["position_m"] < 1.0
    localizer = opened(tmp_path / "map")
    assert localizer.localize(frame_at(400)).kind is RejectionKind.NO_DEPTH_IMAGE
    estimate = localizer.localize(frame_at(400, depth_m=5.0))
    assert estimate.unverified is not None
    assert position_error_m(estimate.unverified.T_map_base, pose_of(400)) < 1.0


def test_a_clip_is_read_from_the_images_before_or_begins_with_the_present_one(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="anchors"):
        train(tmp_path / "map", PoseSystem.VIDLOC, quick(head="layers"))
    with pytest.raises(SceneGeoLocError, match="encoder"):
        train(tmp_path / "map", PoseSystem.VIDLOC, quick(trains_encoder=True))
    result = train(tmp_path / "map", PoseSystem.VIDLOC, quick(epochs=3, clip=3))
    assert result["position_m"] < 1.5
    localizer = opened(tmp_path / "map")
    session = Session(localizer)
    answers = [
        session.localize(pixel * 10**7, frame_at(pixel), pose_of(pixel)).estimate
        for pixel in range(100, 800, 110)  # 2.2 m apart
    ]
    alone = localizer.localize(frame_at(760))
    regressor, last = localizer.regressor, answers[-1]
    features = [answer.cameras[0].votes.features for answer in answers[-3:]]
    T = regressor.regress(np.stack(features)).T_map_camera
    np.testing.assert_allclose(last.unverified.T_map_base, T, atol=1e-5)
    repeated = regressor.regress(np.stack(features[-1:] * 3)).T_map_camera
    np.testing.assert_allclose(alone.unverified.T_map_base, repeated, atol=1e-5)
    assert np.abs(T - repeated).max() > 1e-4


@pytest.mark.parametrize(("context", "clip"), [("none", 1), ("spatial", 1), ("clip", 3)])
@pytest.mark.parametrize("kind", [LayerHead, AnchorHead])
def test_the_head_gives_the_same_poses_in_numpy(
    context: Literal["none", "spatial", "clip"], clip: int, kind: type[PoseHead]
) -> None:
    torch.manual_seed(0)
    head = kind(12, 10, 6, 7, 0.1, context).eval()
    torch.nn.init.normal_(head.hidden.weight, std=2.0)
    if kind is AnchorHead:
        torch.nn.init.zeros_(head.output.bias)
    description = Description(
        system="x",
        encoder="tiny",
        input_width=64,
        input_height=48,
        is_planar=False,
        is_bayesian=False,
        has_variance=False,
        dropout=0.1,
        samples=4,
        head="layers" if kind is LayerHead else "anchors",
        context=context,
        clip=clip,
        centre=(0.0, 0.0, 0.0),
        scale_m=1.0,
        level_rotation=np.eye(3).tolist(),
    )
    tensors = {name: value.detach().numpy() for name, value in head.state_dict().items()}
    regressor = Regressor(description, b"", {**tensors, "mean": np.zeros(12, np.float32)})
    features = torch.randn(1, clip, 12)
    with torch.no_grad():
        outputs = head(features if clip > 1 else features[:, 0])
    pose = regressor.pose(features[0].numpy())
    np.testing.assert_allclose(pose[:3, 3], outputs[0, :3].numpy(), atol=1e-5)
    np.testing.assert_allclose(pose[:3, :3], matrices(unit(outputs))[0].numpy(), atol=1e-5)


def test_a_mixture_is_densest_at_the_pose_of_its_component() -> None:
    loss, truth = PoseLoss(1.0, 1.0, 1.0), targets([1.0, 0.0, 0.0], torch.zeros(1, 1, 3) + 1)
    poses = torch.tensor([[1.0, 0, 0, 0, 0, 0, -1.0], [5.0, 0, 0, 0, 0, 0, 1.0]])

    def density(first: float) -> float:
        return loss.mixture(torch.log(torch.tensor([[first, 1 - first]])), poses, truth).item()

    assert density(0.9) < density(0.5) < density(0.1)


def test_layers_as_in_the_papers_learn_the_place_more_coarsely(tmp_path: Path) -> None:
    protocol = quick(head="layers", epochs=6, learning_rate=4e-3)
    result = train(tmp_path / "map", PoseSystem.POSENET_LEARNED, protocol)
    assert result["position_m"] < 4.0
    assert opened(tmp_path / "map").regressor.description.head == "layers"


def test_an_image_that_looks_like_two_places_is_uncertain(wall_map: Path) -> None:
    regressor = opened(wall_map).regressor
    anchors = np.asarray(regressor.tensors["hidden.weight"], np.float32)
    basis = np.linalg.pinv(np.asarray(regressor.tensors["projection.weight"], np.float32))
    bias = regressor.tensors["projection.bias"]

    def std_of(*numbers: int) -> float:
        features = basis @ (anchors[list(numbers)].mean(axis=0) - bias)
        return float(np.sqrt(regressor.regress(features).covariance[0, 0]))

    assert std_of(10, 90) > 5 * std_of(10, 11)
    assert std_of(10, 90) > 3.0


def test_the_signs_of_quaternions_do_not_change_the_mean_of_anchors() -> None:
    torch.manual_seed(0)
    head = AnchorHead(8, 6, 5, 7, 0.1).eval()
    features = torch.randn(3, 8)
    with torch.no_grad():
        before = head(features)
        head.output.weight[3:7, 2] *= -1
        after = head(features)
    torch.testing.assert_close(matrices(unit(before)), matrices(unit(after)))


def unit(outputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(outputs[:, 3:7], dim=1)


def test_reprojection_needs_depth_and_trains_on_after_the_learned_weighting(tmp_path: Path) -> None:
    system = PoseSystem.POSENET_REPROJECTION
    with pytest.raises(SceneGeoLocError, match="depth"):
        train(tmp_path / "map", system, quick(epochs=4))
    result = train(tmp_path / "deep", system, quick(epochs=2), traversal=WallTraversal(depth_m=5.0))
    assert result["best_epoch"] == 2
    assert result["position_m"] < 1.0
    assert '"reprojection"' in (tmp_path / "deep.run" / "log.jsonl").read_text().splitlines()[-1]


def test_an_encoder_can_be_trained_as_well(tmp_path: Path) -> None:
    train(tmp_path / "map", PoseSystem.POSENET, quick(epochs=2, crops=1, trains_encoder=True))
    assert opened(tmp_path / "map").regress(CameraImage(frame_at(400).image, CAMERA)) is not None


class Interrupt(NoCallback):
    """Interrupts the training after an epoch."""

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        if epoch == 3:
            raise KeyboardInterrupt


def test_an_interrupted_training_is_resumed_with_the_same_result(tmp_path: Path) -> None:
    protocol = quick(epochs=4, crops=2)
    train(tmp_path / "whole", PoseSystem.POSENET_LEARNED, protocol)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", PoseSystem.POSENET_LEARNED, protocol, callback=Interrupt())
    assert not (tmp_path / "parts").exists()
    train(tmp_path / "parts", PoseSystem.POSENET_LEARNED, protocol)
    whole, parts = (Regressor.read(tmp_path / name / REGRESSOR) for name in ("whole", "parts"))
    for name, value in whole.tensors.items():
        np.testing.assert_array_equal(parts.tensors[name], value)
    with pytest.raises(SceneGeoLocError, match="exists"):
        train(tmp_path / "parts", PoseSystem.POSENET_LEARNED, protocol)
    train(tmp_path / "parts", PoseSystem.POSENET_LEARNED, protocol, overwrite=True)


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_regressor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = PoseLoss.forward, []

    def failing(self: PoseLoss, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        return forward(self, *arguments) * (float("nan") if len(calls) > 20 else 1.0)

    monkeypatch.setattr(PoseLoss, "forward", failing)
    with pytest.raises(SceneGeoLocError, match="not finite"):
        train(tmp_path / "map", PoseSystem.POSENET, quick(epochs=4, crops=4))
    regressor = Regressor.read(tmp_path / "map.run" / "checkpoints" / "last.safetensors")
    assert all(np.isfinite(value).all() for value in regressor.tensors.values())


def test_too_few_images_and_poses_all_alike_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="20 images"):
        train(tmp_path / "few", PoseSystem.POSENET, quick(), traversal=WallTraversal(tuple(range(20))))
    with pytest.raises(SceneGeoLocError, match="alike"):
        train(tmp_path / "same", PoseSystem.POSENET, quick(), traversal=WallTraversal((5,) * 40))
    with pytest.raises(SceneGeoLocError, match="no encoder 'vast'"):
        train(tmp_path / "vast", PoseSystem.POSENET, quick(encoder="vast"))


def test_a_damaged_regressor_is_refused(wall_map: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(wall_map, tmp_path / "map"))
    regressor = Regressor.read(copy / REGRESSOR)
    regressor.tensors["hidden.bias"] = regressor.tensors["hidden.bias"][:-1]
    regressor.save(copy / "other.safetensors")
    with pytest.raises(CheckpointError, match="hidden"):
        Regressor.read(copy / "other.safetensors")
    (copy / "other.safetensors").write_bytes((copy / REGRESSOR).read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        Regressor.read(copy / "other.safetensors")
    with pytest.raises(CheckpointError, match="no pose regressor"):
        Regressor.read(copy / "missing.safetensors")


def test_the_command_offers_the_systems_and_the_settings() -> None:
    shown = CliRunner().invoke(app, ["train", "pose", "--help"], env={"COLUMNS": "200"}).output
    assert "posenet_reprojection" in shown
    assert "--beta" in shown


def test_a_setting_of_another_system_is_refused() -> None:
    given = GivenSettings({"beta": 3.0, "epochs": 5}, {"beta": "--beta", "epochs": "--epochs"})
    assert given.of(PoseProtocol, "posenet") == PoseProtocol(beta=3.0, epochs=5)
    with pytest.raises(SceneGeoLocError, match="--beta is no setting of another"):
        given.of(create_model("Another", epochs=(int, 3)), "another")
    with pytest.raises(SceneGeoLocError, match=r"--epochs: .*not 0"):
        GivenSettings({"epochs": 0}, {"epochs": "--epochs"}).of(PoseProtocol, "posenet")


def targets(position: list[float], points: torch.Tensor) -> Targets:
    pixels = (points - torch.tensor(position))[..., :2] / (points - torch.tensor(position))[..., 2:]
    return Targets(torch.tensor([position]), torch.tensor([[0.0, 0.0, 0.0, 1.0]]), points, pixels)


@pytest.mark.parametrize("weighting", [Weighting.BETA, Weighting.REPROJECTION])
def test_losses_are_least_at_the_truth_whatever_the_sign_of_the_quaternion(weighting: Weighting) -> None:
    points = torch.tensor([[[0.5, 0.3, 5.0], [-1.0, 0.4, 9.0], [0.1, -0.8, 4.0]]])
    loss, truth = PoseLoss(30.0, 2.0, 100.0), targets([0.2, 0.1, 0.0], points)

    def of(x: float, w: float, tilt: float = 0.0) -> float:
        return loss(torch.tensor([[x, 0.05, 0.0, tilt, 0.0, 0.0, w]]), truth, weighting).item()

    assert of(0.1, 1.0) == pytest.approx(0, abs=1e-3)
    assert of(0.1, -2.0) == pytest.approx(0, abs=1e-3)
    assert of(0.15, 1.0) > 0.05
    assert of(0.1, 1.0, tilt=0.05) > 0.05


def test_learned_weights_settle_where_both_errors_count_alike() -> None:
    points = torch.zeros(1, 1, 3)
    loss, truth = PoseLoss(1.0, 1.0, 1.0), targets([0.0, 0.0, 0.0], points + 1)
    optimiser = torch.optim.Adam(loss.parameters(), 0.05)
    outputs = torch.tensor([[4.0, 0.0, 0.0, 0.02, 0.0, 0.0, 1.0]])
    for _ in range(400):
        optimiser.zero_grad()
        loss(outputs, truth, Weighting.LEARNED).backward()
        optimiser.step()
    np.testing.assert_allclose(loss.log_variances.detach().exp().numpy(), [4.0, 0.02], rtol=0.05)


def test_matrices_of_quaternions_agree_with_the_geometry() -> None:
    from scene_geo_loc.geometry.rotation import matrix_of_quaternion

    q = np.random.default_rng(0).normal(size=(5, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    np.testing.assert_allclose(matrices(torch.from_numpy(q)).numpy(), matrix_of_quaternion(q), atol=1e-9)


def test_the_limit_of_the_standard_deviation_is_the_largest_below_which_poses_are_right() -> None:
    stds = np.arange(100) / 100
    errors = np.where(stds < 0.6, 0.5, 50.0)
    limit = largest_std(stds, errors, 10.0)
    assert limit is not None
    assert 0.6 <= limit <= 0.64
    assert largest_std(stds, errors + 50, 10.0) is None


def test_the_ellipsoid_of_an_accepted_position_is_within_the_accepted_error() -> None:
    limit = largest_std(np.linspace(0.1, 30.0, 50), np.full(50, 0.5), 5.0)
    assert limit is not None
    assert limit**2 * 7.815 == pytest.approx(5.0**2, rel=1e-3)


def test_calibration_finds_the_scale_and_the_floor_of_the_errors() -> None:
    rng = np.random.default_rng(0)
    poses, regressions = [], []
    for std in np.repeat([0.1, 0.5, 1.0], 150):
        T, error = np.eye(4), 3.0 * std * rng.normal(size=3)
        T[:3, 3] = error
        poses.append(T)
        regressions.append(Regression(np.eye(4), np.diag([std**2] * 3 + [1e-4] * 3), 0.2))
    found = calibrate(regressions, [], np.stack(poses), 2.0, extent_m=0.1)
    assert found.position_scale == pytest.approx(3.0, rel=0.25)
    assert found.position_floor_m < 0.3
    assert found.max_std_m is not None
    assert 0.3 <= found.max_std_m < 3.0


def test_errors_in_other_light_widen_the_deviations_and_accept_no_more() -> None:
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (200, 1, 1))
    poses[:, :3, 3] = 0.1 * rng.normal(size=(200, 3))
    covariance = np.diag([0.01] * 3 + [1e-4] * 3)
    as_it_is = [Regression(np.eye(4), covariance, 0.2) for _ in poses]
    away = np.eye(4)
    away[0, 3] = 5.0
    changed = [Regression(away, covariance, 0.9) for _ in poses]
    found, alone = (calibrate(as_it_is, others, poses, 2.0, extent_m=0.1) for others in (changed, []))
    assert np.hypot(0.1 * found.position_scale, found.position_floor_m) > 1.0
    assert np.hypot(0.1 * alone.position_scale, alone.position_floor_m) == pytest.approx(0.1, rel=0.2)
    assert found.max_novelty == alone.max_novelty


def test_deviations_are_at_least_those_between_the_lines_of_two_drives() -> None:
    poses = np.tile(np.eye(4), (50, 1, 1))
    exact = [Regression(np.eye(4), np.diag([1e-6] * 6), 0.2) for _ in poses]
    assert calibrate(exact, [], poses, 5.0, extent_m=100.0).position_floor_m == pytest.approx(0.3, rel=0.01)
    assert calibrate(exact, [], poses, 5.0, extent_m=1.0).position_floor_m == pytest.approx(0.1, rel=0.01)


def test_averages_keep_the_mean() -> None:
    np.testing.assert_allclose(averages(7, 4).sum(dim=1).numpy(), 1, rtol=1e-6)
    np.testing.assert_allclose((averages(7, 4) @ torch.arange(7.0)).mean().item(), 3, rtol=1e-6)
