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


"""Scene coordinates: trained in one place, opened like any other map, and honest about what they know."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coordinate_place import NETWORK, WalkTraversal, walk
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import CheckpointError, MapError, SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, rotation_error_deg, transform
from scene_geo_loc.localization.estimate import PosePrior, Status
from scene_geo_loc.localization.pnp import CameraMatches
from scene_geo_loc.localization.pose_localizer import open_localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.scene_coordinates.forest import Forest, ForestDescription
from scene_geo_loc.localization.scene_coordinates.landmarks import LandmarkHead
from scene_geo_loc.localization.scene_coordinates.layers import LayerHead
from scene_geo_loc.localization.scene_coordinates.localizer import SceneCoordinateLocalizer
from scene_geo_loc.localization.scene_coordinates.modes import kabsch
from scene_geo_loc.localization.scene_coordinates.network import CoordinateNetwork
from scene_geo_loc.localization.scene_coordinates.poses import fit_soft_inliers, solve_coordinates
from scene_geo_loc.localization.scene_coordinates.systems import NetworkSystem
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.map_info import COORDINATE_FOREST, COORDINATE_NETWORK
from scene_geo_loc.mapping.reference_map import AnyMap
from scene_geo_loc.training.common.callbacks import NoCallback
from scene_geo_loc.training.scene_coordinates import trainer as trainer_module
from scene_geo_loc.training.scene_coordinates.calibration import calibration_text, least_ratio
from scene_geo_loc.training.scene_coordinates.forest import Pixels, grow, joined, train_forest
from scene_geo_loc.training.scene_coordinates.head import CoordinateHead
from scene_geo_loc.training.scene_coordinates.losses import coordinate_loss
from scene_geo_loc.training.scene_coordinates.run import train_coordinates
from scene_geo_loc.training.scene_coordinates.systems import ForestProtocol

FOREST = ForestProtocol(trees=2, levels=11, pixels_a_tree=8000, comparisons=24, accepted_error_m=0.3)
QUICK = NETWORK.model_copy(update={"epochs": 2, "copies": 1, "pool": 4000, "units": 32})


def opened(folder: Path) -> SceneCoordinateLocalizer:
    localizer = open_localizer(folder, device="cpu")
    assert isinstance(localizer, SceneCoordinateLocalizer)
    return localizer


def test_images_between_those_of_the_training_are_localized(walk_map: Path) -> None:
    localizer = opened(walk_map)
    localizer.map.verify()
    frames = walk(40, 0.5)[::4]
    estimates = [localizer.localize(frame) for frame in frames]
    localized = [(e, f) for e, f in zip(estimates, frames, strict=True) if e.status is Status.LOCALIZED]
    assert len(localized) >= 0.6 * len(frames)
    errors = [float(position_error_m(e.T_map_base, f.T_map_camera)) for e, f in localized]
    assert np.median(errors) < 1.0
    assert np.median([rotation_error_deg(e.T_map_base, f.T_map_camera) for e, f in localized]) < 8
    ratios = [
        error / np.sqrt(np.trace(e.covariance[:3, :3]))
        for (e, _), error in zip(localized, errors, strict=True)
    ]
    assert 0.2 < np.median(ratios) < 2.5
    assert all(e.inliers and e.unverified is not None for e in estimates)
    assert sum(file.bytes for file in localizer.map.info.files.values()) < 5e6
    again = localizer.localize(frames[0])
    np.testing.assert_array_equal(again.T_map_base, estimates[0].T_map_base)


def test_images_of_another_place_and_images_that_show_nothing_are_lost(walk_map: Path) -> None:
    localizer = opened(walk_map)
    estimates = [localizer.localize(frame) for frame in walk(40, 0.5, Room(1))[::4]]
    assert np.mean([estimate.status is Status.LOST for estimate in estimates]) >= 0.9
    black = replace(walk(40)[0], image=np.zeros((120, 160, 3), np.uint8))
    assert localizer.localize(black).kind is RejectionKind.NO_CONTRAST


def test_a_pose_outside_of_the_prior_is_not_accepted(walk_map: Path) -> None:
    localizer, frame = opened(walk_map), walk(40)[20]
    T = frame.T_map_camera
    assert localizer.localize(frame, PosePrior(T, 3.0)).status is Status.LOCALIZED
    elsewhere = make_pose(T[:3, :3], T[:3, 3] + (8.0, 0.0, 0.0))
    estimate = localizer.localize(frame, PosePrior(elsewhere, 3.0))
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.OFF_PRIOR)
    assert estimate.T_map_base is None


def test_a_rig_is_solved_together_and_a_dark_camera_does_not_matter(walk_map: Path) -> None:
    localizer, frame = opened(walk_map), walk(40)[20]
    T_base_camera = make_pose(np.eye(3), (0.0, 0.0, 0.5))
    black = CameraImage(np.zeros((120, 160, 3), np.uint8), frame.camera)
    estimate = localizer.localize([black, CameraImage(frame.image, frame.camera, T_base_camera)])
    assert estimate.status is Status.LOCALIZED
    alone = localizer.localize(frame)
    np.testing.assert_allclose(estimate.T_map_base, alone.T_map_base @ inverse(T_base_camera), atol=0.05)
    other = walk(40)[26]
    T_first_other = inverse(frame.T_map_camera) @ other.T_map_camera
    rig = [CameraImage(frame.image, frame.camera), CameraImage(other.image, other.camera, T_first_other)]
    together = localizer.localize(rig)
    assert together.inliers > alone.inliers
    assert position_error_m(together.T_map_base, frame.T_map_camera) < 1.0


def test_an_image_of_a_wider_lens_is_read_at_a_larger_size(walk_map: Path) -> None:
    localizer, frame = opened(walk_map), walk(40)[20]
    system = localizer.system
    assert isinstance(system, NetworkSystem)
    wide = np.zeros((240, 320, 3), np.uint8)
    wide[60:180, 80:240] = frame.image
    reading = system.read(CameraImage(wide, Camera(320, 240, 120.0, 120.0, 159.5, 119.5)))
    assert len(reading) > len(system.read(CameraImage(frame.image, frame.camera)))


class Interrupt(NoCallback):
    """Interrupts the training in its second epoch."""

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


def test_without_depth_points_are_found_by_reprojection_and_a_training_is_resumed(tmp_path: Path) -> None:
    def train(name: str, **arguments: Any) -> CoordinateNetwork:
        traversal = WalkTraversal(with_depth=False)
        train_coordinates(traversal, tmp_path / name, QUICK, device="cpu", **arguments)
        return CoordinateNetwork.read(tmp_path / name / COORDINATE_NETWORK)

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("parts", callback=Interrupt())
    assert not (tmp_path / "parts").exists()
    parts = train("parts")
    for name, value in whole.tensors.items():
        np.testing.assert_array_equal(parts.tensors[name], value)
    with pytest.raises(SceneGeoLocError, match="exists"):
        train("parts")
    assert parts.description.calibration is not None
    assert not parts.description.landmarks


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def failing(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return coordinate_loss(*arguments) * (float("nan") if len(calls) > 4 else 1.0)

    monkeypatch.setattr(trainer_module, "coordinate_loss", failing)
    layers = QUICK.model_copy(update={"head": "layers"})
    with pytest.raises(SceneGeoLocError, match="not finite"):
        train_coordinates(WalkTraversal(), tmp_path / "map", layers, device="cpu")
    network = CoordinateNetwork.read(tmp_path / "map.run" / "checkpoints" / "last.safetensors")
    assert all(np.isfinite(value).all() for value in network.tensors.values())


def test_too_few_images_and_poses_all_alike_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="20 images"):
        train_coordinates(WalkTraversal(walk(20)), tmp_path / "few", QUICK, device="cpu")
    no_depth, landmarks = WalkTraversal(with_depth=False), QUICK.model_copy(update={"head": "landmarks"})
    with pytest.raises(SceneGeoLocError, match="no image has depth"):
        train_coordinates(no_depth, tmp_path / "flat", landmarks, device="cpu")
    with pytest.raises(SceneGeoLocError, match="alike"):
        train_coordinates(WalkTraversal(walk(40)[:1] * 40), tmp_path / "same", QUICK, device="cpu")


def test_a_folder_of_another_system_and_a_damaged_network_are_refused(
    walk_map: Path, room_map: Path, tmp_path: Path
) -> None:
    with pytest.raises(MapError, match="not a map of scene coordinates"):
        SceneCoordinateLocalizer(AnyMap.open(room_map))
    copy = Path(shutil.copytree(walk_map, tmp_path / "map"))
    network = CoordinateNetwork.read(copy / COORDINATE_NETWORK)
    network.tensors["points"] = network.tensors["points"][:-1]
    network.save(copy / "other.safetensors")
    with pytest.raises(CheckpointError, match="points"):
        CoordinateNetwork.read(copy / "other.safetensors")
    (copy / "other.safetensors").write_bytes((copy / COORDINATE_NETWORK).read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        CoordinateNetwork.read(copy / "other.safetensors")
    with pytest.raises(CheckpointError, match="no network for scene coordinates"):
        CoordinateNetwork.read(copy / "missing.safetensors")


def test_layers_as_they_are_trained_and_as_a_robot_runs_them_agree() -> None:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    centres = torch.from_numpy(rng.normal(0, 5, (3, 3)))
    head = CoordinateHead(torch.full((20,), 0.1), torch.full((20,), 0.5), 16, 2, centres, 2.0)
    features = rng.normal(0, 1, (50, 20)).astype(np.float32)
    points = head(torch.from_numpy(features)).detach().numpy()
    run = LayerHead(head.arrays(), 20, 2, 2.0)
    np.testing.assert_allclose(run.points(features), points, rtol=1e-2, atol=1e-2)


def test_landmarks_give_the_points_of_the_cells_that_they_were_made_of() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (200, 64 + 40)).astype(np.float32)
    points = rng.normal(0, 5, (200, 3))
    head = LandmarkHead(LandmarkHead.fit(features, points, 64), 64, 40)
    noisy = features + rng.normal(0, 0.1, features.shape).astype(np.float32)
    np.testing.assert_allclose(head.points(noisy), points, atol=1e-5)
    with pytest.raises(ValueError, match="keys"):
        LandmarkHead(LandmarkHead.fit(features, points, 64), 60, 40)


def exact_matches(count: int = 300, wrong: int = 100) -> tuple[CameraMatches, np.ndarray]:
    rng = np.random.default_rng(0)
    camera, T = Camera(320, 240, 250.0, 250.0, 159.5, 119.5), np.eye(4)
    T[:3, 3] = 1.0, -2.0, 0.5
    pixels = rng.uniform((0, 0), (320, 240), (count, 2))
    points = camera.back_project(pixels, rng.uniform(2, 6, count)) + T[:3, 3]
    points[:wrong] += rng.normal(0, 2, (wrong, 3))
    noisy = pixels + rng.normal(0, 0.5, pixels.shape)
    return CameraMatches(np.eye(4), camera, noisy, points), T


@pytest.mark.parametrize("is_soft", [False, True])
def test_poses_are_found_among_wrong_points_and_refined(is_soft: bool) -> None:
    matches, T = exact_matches()
    found = solve_coordinates([matches], 5.0, 40.0, is_soft)
    assert found is not None
    assert position_error_m(found.T_map_base, T) < 0.02
    assert 0.6 < found.inlier_ratio < 0.75
    assert found.coverage > 0.9
    assert found.covariance is not None
    assert np.sqrt(found.covariance[0, 0]) < 0.02
    off = make_pose(np.eye(3), T[:3, 3] + (0.02, 0.01, 0.0))
    assert position_error_m(fit_soft_inliers(off, [matches], 5.0), T) < 0.01


def test_the_loss_is_least_at_the_true_points_with_and_without_depth() -> None:
    K = torch.tensor([[100.0, 100.0, 50.0, 40.0]])
    T, pixels = torch.eye(4)[None], torch.tensor([[70.0, 30.0]])
    true = torch.tensor([[0.8, -0.4, 4.0]])
    for depth in (4.0, float("nan")):

        def loss(point: torch.Tensor, depth: float = depth) -> float:
            return float(coordinate_loss(point, T, K, pixels, torch.tensor([depth]), 5.0, 5.0))

        assert loss(true) == pytest.approx(0, abs=1e-4)
        assert loss(true + torch.tensor([0.1, 0.0, 0.0])) > 1
        assert loss(true * torch.tensor([1.0, 1.0, -1.0])) > 5


def test_the_least_inlier_ratio_lies_between_right_images_and_all_others() -> None:
    ratios, right = [0.6, 0.5, 0.55, 0.7, 0.65, 0.2, 0.15], [True] * 5 + [False] * 2
    limit = least_ratio(ratios, right, 0.1)
    assert limit is not None
    assert 0.2 < limit < 0.5
    assert least_ratio(ratios, right, 0.65) is None
    assert least_ratio(ratios, [False] * 7, 0.1) is None
    assert least_ratio([], [], 0.0) is None


def test_a_scene_that_the_head_cannot_hold_is_named_with_what_it_would_take(walk_map: Path) -> None:
    calibration = CoordinateNetwork.read(walk_map / COORDINATE_NETWORK).description.calibration
    assert calibration is not None
    text = calibration_text(calibration.model_copy(update={"min_inlier_ratio": None}))
    assert "larger than the head" in text
    assert "maps of its parts" in text


@pytest.fixture(scope="module")
def forest_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of the walk by a regression forest."""
    path = tmp_path_factory.mktemp("forest") / "map"
    train_forest(WalkTraversal(), path, FOREST)
    return path


def test_a_forest_localizes_images_with_depth_and_no_others(forest_map: Path) -> None:
    localizer = opened(forest_map)
    localizer.map.verify()
    frames = walk(40, 0.5)[::5]
    estimates = [localizer.localize(frame) for frame in frames]
    localized = [(e, f) for e, f in zip(estimates, frames, strict=True) if e.status is Status.LOCALIZED]
    assert len(localized) >= 0.7 * len(frames)
    assert np.median([position_error_m(e.T_map_base, f.T_map_camera) for e, f in localized]) < 0.3
    assert all(e.covariance is not None for e, _ in localized)
    for frame in walk(40, 0.5, Room(1))[::8]:
        assert localizer.localize(frame).status is Status.LOST
    flat = localizer.localize(replace(frames[0], depth=None))
    assert (flat.status, flat.kind) == (Status.LOST, RejectionKind.NO_DEPTH_IMAGE)
    T_base_camera = make_pose(np.eye(3), (0.0, 0.0, 0.5))
    mounted = localizer.localize(
        [CameraImage(frames[0].image, frames[0].camera, T_base_camera, frames[0].depth)]
    )
    assert mounted.unverified is not None
    assert position_error_m(mounted.unverified.T_map_base @ T_base_camera, frames[0].T_map_camera) < 0.3


def test_a_forest_needs_depth_and_a_damaged_one_is_refused(forest_map: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="no image has depth"):
        train_forest(WalkTraversal(with_depth=False), tmp_path / "map", FOREST)
    forest = Forest.read(forest_map / COORDINATE_FOREST)
    forest.tensors["children"] = np.zeros_like(forest.tensors["children"])  # a walk without an end
    forest.save(tmp_path / "loop.safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        Forest.read(tmp_path / "loop.safetensors")
    with pytest.raises(CheckpointError, match="no scene forest"):
        Forest.read(tmp_path / "missing.safetensors")


def test_a_tree_splits_until_its_leaves_hold_one_place() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((1, 40, 60, 3), np.uint8)
    image[:, :, 30:] = 200
    y, x = (part.ravel() for part in np.mgrid[5:35, 5:55])
    pixels = np.stack([x, y], axis=1)
    points = np.where(x[:, None] < 30, (0.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    data = Pixels(image, np.ones((1, 40, 60), np.float32), np.zeros(len(x), np.intp), pixels, points)
    tree = grow(data, FOREST, rng)
    forest = Forest(ForestDescription(input_width=60, input_height=40, inlier_m=0.1), joined([tree]))
    modes = forest.modes(image[0], data.depths[0], pixels)
    assert np.mean(np.linalg.norm(modes[:, 0] - points, axis=1) < 0.1) > 0.9


def test_kabsch_finds_the_rigid_transform_and_no_mirror_image() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    T = make_pose([[0, -1, 0], [1, 0, 0], [0, 0, 1]], (1.0, 2.0, 3.0))
    np.testing.assert_allclose(kabsch(points, transform(T, points)), T, atol=1e-9)
    flipped = kabsch(points, points * (-1, 1, 1))
    assert np.linalg.det(flipped[:3, :3]) == pytest.approx(1)


def test_the_command_offers_both_systems() -> None:
    shown = CliRunner().invoke(app, ["train", "pose", "--help"], env={"COLUMNS": "200"}).output
    for name in ("scene_coordinates", "scene_forest", "--landmarks", "--trees"):
        assert name in shown
