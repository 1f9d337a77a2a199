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

"""Maps by structure from motion: reconstructed from posed images, localized in by prioritised matching."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room, write_rgbd
from room_points import FrameTraversal, walk, without_pycolmap
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import PosePrior, Status
from scene_geo_loc.localization.match_picture import match_picture
from scene_geo_loc.localization.pose_localizer import open_localizer
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.structure_from_motion.localizer import PointLocalizer
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.mapping.map_info import POINT_DESCRIPTORS, POINTS
from scene_geo_loc.mapping.reference_map import AnyMap
from scene_geo_loc.mapping.structure_from_motion.point_map import PointMap
from scene_geo_loc.training.common.callbacks import NoCallback
from scene_geo_loc.training.structure_from_motion import run
from scene_geo_loc.training.structure_from_motion.run import reconstruct_map
from scene_geo_loc.training.structure_from_motion.settings import ReconstructionProtocol

QUICK = ReconstructionProtocol(neighbours=4)


@pytest.fixture
def known_depth(monkeypatch: pytest.MonkeyPatch, room: Room) -> None:
    without_pycolmap(monkeypatch, room)


@pytest.fixture(scope="module")
def localizer(point_map: Path) -> PointLocalizer:
    opened = open_localizer(point_map)
    assert isinstance(opened, PointLocalizer)
    return opened


def test_images_between_those_of_the_map_are_localized_and_their_errors_fit_the_covariance(
    localizer: PointLocalizer, room: Room
) -> None:
    localizer.map.verify()
    frames = [room.frame(-3.5 + 0.35 * i, 0.1, 6.0 * np.sin(i)) for i in range(10)]
    estimates = [localizer.localize(frame) for frame in frames]
    localized = [(e, f) for e, f in zip(estimates, frames, strict=True) if e.status is Status.LOCALIZED]
    assert len(localized) >= 8
    errors = np.array([float(position_error_m(e.T_map_base, f.T_map_camera)) for e, f in localized])
    assert np.median(errors) < 0.05
    assert errors.max() < 0.3
    assert max(rotation_error_deg(e.T_map_base, f.T_map_camera) for e, f in localized) < 2
    stds = [np.sqrt(np.trace(e.covariance[:3, :3])) for e, _ in localized]
    assert 0.1 < np.median(errors / stds) < 2
    again = localizer.localize(frames[3])
    np.testing.assert_array_equal(again.T_map_base, estimates[3].T_map_base)
    assert localizer.map.info.accuracy is not None


def test_matches_are_pixels_of_the_query_and_of_the_keyframe_that_saw_the_point(
    localizer: PointLocalizer, room: Room
) -> None:
    frame = room.frame(-3.0, 0.1, 5.0)
    estimate = localizer.localize(frame)
    matches = estimate.matches
    assert matches.inlier.sum() == estimate.inliers
    local = (matches.points_map - frame.T_map_camera[:3, 3]) @ frame.T_map_camera[:3, :3]
    off = np.linalg.norm(room.camera.project(local) - matches.query_pixels, axis=1)
    assert np.median(off[matches.inlier]) < 1.5
    assert match_picture(frame.image, estimate, localizer.map).shape[1] > 900


def test_images_of_another_place_and_images_that_show_nothing_are_not_localized(
    localizer: PointLocalizer,
) -> None:
    other = Room(seed=5)
    assert not any(
        localizer.localize(other.frame(-3.0 + i, 0.0, 0.0)).status is Status.LOCALIZED for i in range(4)
    )
    black = np.zeros((120, 160, 3), np.uint8)
    assert localizer.localize(CameraImage(black, other.camera)).kind is RejectionKind.NO_CONTRAST


def test_only_points_near_a_prior_are_searched(localizer: PointLocalizer, room: Room) -> None:
    frame = room.frame(-3.0, 0.1, 5.0)
    assert localizer.localize(frame, PosePrior(frame.T_map_camera, 1.5)).status is Status.LOCALIZED
    away = frame.T_map_camera.copy()
    away[0, 3] = 20.0
    estimate = localizer.localize(frame, PosePrior(away, 1.5))
    assert (estimate.status, estimate.kind) == (Status.LOST, RejectionKind.NO_KEYFRAME_NEAR_PRIOR)


def test_an_image_of_another_lens_and_a_rig_are_localized(localizer: PointLocalizer, room: Room) -> None:
    frame = room.frame(-3.0, 0.1, 5.0)
    wide = np.zeros((240, 320, 3), np.uint8)
    wide[60:180, 80:240] = frame.image
    alone = localizer.localize(CameraImage(wide, Camera(320, 240, 120.0, 120.0, 159.5, 119.5)))
    assert position_error_m(alone.T_map_base, frame.T_map_camera) < 0.1
    T_base_camera = make_pose(np.eye(3), (0.0, 0.0, 2.0))
    other = room.frame(-3.0, 0.1, 25.0)
    T_base_other = T_base_camera @ inverse(frame.T_map_camera) @ other.T_map_camera
    estimate = localizer.localize(
        [
            CameraImage(frame.image, room.camera, T_base_camera),
            CameraImage(other.image, room.camera, T_base_other),
        ]
    )
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(estimate.T_map_base, frame.T_map_camera @ inverse(T_base_camera)) < 0.15


class Interrupt(NoCallback):
    """Interrupts the reconstruction before the triangulation."""

    def on_stage(self, name: str) -> None:
        if name.startswith("Triangulating"):
            raise KeyboardInterrupt


def test_an_interrupted_reconstruction_is_resumed_with_the_same_result(
    room: Room, tmp_path: Path, known_depth: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    traversal = FrameTraversal(walk(room, 12))
    reconstruct_map(traversal, tmp_path / "whole", QUICK)
    with pytest.raises(KeyboardInterrupt):
        reconstruct_map(traversal, tmp_path / "parts", QUICK, callback=Interrupt())
    assert not (tmp_path / "parts").exists()
    with monkeypatch.context() as patch:
        for name in ("extract_points", "epipolar_matches"):
            patch.setattr(run, name, lambda *_: pytest.fail("it was there"))
        result = reconstruct_map(traversal, tmp_path / "parts", QUICK)
    for name in (POINTS, POINT_DESCRIPTORS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert result["points"] == len(PointMap.read(tmp_path / "parts"))
    with pytest.raises(SceneGeoLocError, match="exists"):
        reconstruct_map(traversal, tmp_path / "parts", QUICK)
    with pytest.raises(SceneGeoLocError, match="other settings"):
        reconstruct_map(traversal, tmp_path / "parts", ReconstructionProtocol(neighbours=5), overwrite=True)
    reconstruct_map(traversal, tmp_path / "parts", QUICK, overwrite=True)


def test_images_that_do_not_suffice_are_refused(room: Room, tmp_path: Path, known_depth: None) -> None:
    frames = walk(room, 12)
    with pytest.raises(SceneGeoLocError, match=r"5 images .* < 8"):
        reconstruct_map(FrameTraversal(frames[:5]), tmp_path / "few", QUICK)
    unposed = [replace(frame, T_map_camera=None) for frame in frames]
    with pytest.raises(SceneGeoLocError, match=r"0 images .* 12 without"):
        reconstruct_map(FrameTraversal(unposed), tmp_path / "unposed", QUICK)
    turning = [room.frame(0.0, 0.0, 10.0 * i) for i in range(12)]
    with pytest.raises(SceneGeoLocError, match="camera moves"):
        reconstruct_map(FrameTraversal(turning), tmp_path / "turning", QUICK)
    grey = [replace(frame, image=np.full_like(frame.image, 90)) for frame in frames]
    with pytest.raises(SceneGeoLocError, match="No features"):
        reconstruct_map(FrameTraversal(grey), tmp_path / "grey", QUICK)
    (tmp_path / "full.run").mkdir()
    (tmp_path / "full.run" / "diary").touch()
    with pytest.raises(SceneGeoLocError, match="holds no reconstruction"):
        reconstruct_map(FrameTraversal(frames), tmp_path / "full", QUICK)


def test_without_pycolmap_nothing_is_begun(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(MapError, match="pycolmap"):
        reconstruct_map(FrameTraversal(walk(room, 12)), tmp_path / "map", QUICK)
    assert not list(tmp_path.iterdir())


def test_damaged_points_and_maps_of_another_localizer_are_refused(
    point_map: Path, room_map: Path, tmp_path: Path
) -> None:
    with pytest.raises(MapError, match="no map by structure from motion"):
        PointLocalizer(AnyMap.open(room_map))
    copy = Path(shutil.copytree(point_map, tmp_path / "map"))
    content = (copy / POINTS).read_bytes()
    (copy / POINTS).write_bytes(content[:-100])
    with pytest.raises(MapError, match="damaged"):
        PointMap.read(copy)
    (copy / POINTS).write_bytes(content)
    np.save(copy / POINT_DESCRIPTORS, np.zeros((3, 128), np.uint8))
    with pytest.raises(MapError, match="descriptors"):
        PointMap.read(copy)
    with pytest.raises(MapError, match="bytes"):
        open_localizer(copy)


def test_a_place_is_reconstructed_by_colmap_and_the_commands_localize_in_it(
    room: Room, tmp_path: Path
) -> None:
    pytest.importorskip("pycolmap", reason="pycolmap is not installed: the extra `sfm` has it")
    source, out = write_rgbd(tmp_path / "source", room, 0.0, count=16, with_depth=False), tmp_path / "map"

    def invoke(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output + repr(result.exception)
        return result.output

    printed = invoke("train", "pose", source, out, "--system", "structure_from_motion", "--neighbours", 6)
    assert "points of 16 images" in printed
    points = PointMap.read(out)
    to_wall = np.abs(np.abs(points.points + points.centre) - Room.HALF).min(axis=1)
    assert np.median(to_wall) < 0.1
    queries = write_rgbd(tmp_path / "queries", room, 0.15, count=4, with_depth=False)
    invoke("evaluate", out, queries, "--json", tmp_path / "numbers.json")
    estimates = [
        open_localizer(out).localize(frame) for frame in walk(room, 12)[:6] if frame.T_map_camera is not None
    ]
    assert sum(estimate.status is Status.LOCALIZED for estimate in estimates) >= 3
