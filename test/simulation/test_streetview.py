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
"""Simulated panoramas: their geometry, seams, coarse depth, geo-tags and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from town import CAMERA, LENGTH_M, SEED, START_M

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.geometry.pose import OPTICAL_FROM_BODY, Pose, from_xyzrpy, make_pose
from scene_geo_loc.simulation.recordings import streetview
from scene_geo_loc.simulation.recordings.streetview import simulate_streetview
from scene_geo_loc.simulation.recordings.streetview_plan import (
    DepthForm,
    ErrorShape,
    StreetviewSettings,
    TagErrors,
    tag,
    viewpoints,
)
from scene_geo_loc.simulation.rendering.panorama import PanoramaView, Rosette, seams
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.town.coarse import CoarseTown
from scene_geo_loc.simulation.vehicle.motion import Motion
from scene_geo_loc.simulation.vehicle.sensors import CameraView
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.streetview.datum import read_datum
from scene_geo_loc.traversals.streetview.index import read_index
from scene_geo_loc.traversals.streetview.writer import TRUTH_NAME

WIDTH = 768
SETTINGS = StreetviewSettings(
    seed=SEED, start=START_M, length=LENGTH_M, spacing=10, side_streets=False, width=128, sight=20.0
)


@pytest.fixture(scope="module")
def T_map_panorama(motion: Motion) -> Pose:
    tilt = from_xyzrpy(np.array([0.0, 0.0, 2.5, 0.02, -0.03, 0.4]))
    return np.asarray(motion.poses(1.0)[0] @ tilt @ make_pose(OPTICAL_FROM_BODY.T, np.zeros(3)))


def directions(width: int) -> np.ndarray:
    u, v = np.meshgrid(np.arange(width), np.arange(width // 2))
    return Equirectangular(width, width // 2).rays(np.stack([u.ravel(), v.ravel()], 1))


@pytest.mark.parametrize("heading_deg", [0.0, 180.0, -70.0])
def test_a_view_in_a_panorama_is_what_a_camera_there_sees(
    overcast: Scene, T_map_panorama: Pose, heading_deg: float
) -> None:
    panorama = PanoramaView(overcast, WIDTH, WIDTH // 2).take(T_map_panorama, 0)
    R_panorama_view = cv2.Rodrigues(np.array([0.0, np.radians(heading_deg), 0.0]))[0]
    seen = CameraView(overcast, CAMERA).take(T_map_panorama @ make_pose(R_panorama_view, np.zeros(3)), 0)
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = CAMERA.rays(np.stack([u.ravel(), v.ravel()], 1).astype(np.float64)) @ R_panorama_view.T
    at = Equirectangular(WIDTH, WIDTH // 2).project(rays).astype(np.float32).reshape(*u.shape, 2)
    view = cv2.remap(panorama, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (seen, view))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95
    _, shift = cv2.findTransformECC(a, b, np.eye(2, 3, dtype=np.float32), cv2.MOTION_TRANSLATION)
    assert np.abs(shift[:, 2]).max() < 0.1


def test_seams_change_colours_and_near_objects_only_where_the_cameras_do(
    overcast: Scene, T_map_panorama: Pose
) -> None:
    def light(rosette: Rosette | None) -> np.ndarray:
        return PanoramaView(overcast, WIDTH, WIDTH // 2, 3, rosette).light(T_map_panorama, 0)

    still = Rosette(radius_m=0.0, gain_std=0.0, balance_std=0.0)
    plain, stitched = light(None), light(still)
    assert np.mean(np.abs(stitched - plain) > 1e-3) < 0.05  # rays are saved in other places
    ratio = np.median(light(replace(still, gain_std=0.1)) / stitched, axis=(0, 2))
    sector, blend = WIDTH / 15, 3 / 360 * WIDTH
    from_seam = np.abs((np.arange(WIDTH) + 0.5 + sector / 2) % sector - sector / 2)
    step = np.abs(np.diff(ratio, append=ratio[:1]))
    assert step[from_seam > blend / 2 + 1].max() < 1e-3
    assert step.max() > 0.005
    moved = np.abs(light(replace(still, radius_m=0.3, stitched_m=1e4)) - stitched).mean(2)
    rows = np.arange(WIDTH // 2)
    assert moved[rows > 0.7 * len(rows)].mean() > 5 * moved[rows < 0.1 * len(rows)].mean()


def test_shares_of_a_rosette_sum_to_one() -> None:
    total = np.zeros(1000)
    for columns, share in seams(Rosette(cameras=7), 1000):
        np.add.at(total, columns, share)
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_coarse_depth_is_that_of_ground_and_fronts(city: City, overcast: Scene, T_map_panorama: Pose) -> None:
    eye, rays = T_map_panorama[:3, 3], directions(256) @ T_map_panorama[:3, :3].T
    path = city.plan.at(np.arange(START_M - 10, START_M + LENGTH_M + 10, 5.0))
    seen = CoarseTown(city, path).seen(eye, rays)
    coarse = seen.distance(rays)
    down = rays[:, 2] < np.sin(np.radians(-50))
    np.testing.assert_allclose(coarse[down], -eye[2] / rays[down, 2], rtol=1e-4)
    assert not np.isfinite(coarse[rays[:, 2] > np.sin(np.radians(80))]).any()
    origins = np.broadcast_to(eye.astype(np.float32), rays.shape)
    true = overcast.cast(origins, rays.astype(np.float32)).distance
    # Above cars and below eaves; trees and signs hide some of the fronts, and the scene ends at 45 m.
    wall = (np.abs(np.degrees(np.arcsin(rays[:, 2])) - 10) < 5) & (true < 30)
    assert wall.sum() > 1000
    assert np.mean(np.abs(coarse - true)[wall] < 0.6) > 0.6
    planes, index = seen.largest(3)
    assert len(planes) == 3
    assert set(np.unique(index)) == {-1, 0, 1, 2}


@pytest.mark.parametrize("shape", ErrorShape)
def test_tags_err_as_they_state(city: City, shape: ErrorShape) -> None:
    errors = TagErrors(1.5, 2.0, shape)
    rng = np.random.default_rng(0)
    drawn = [errors.draw(rng) for _ in range(3000)]
    offsets, turns = np.array([offset for offset, _ in drawn]), np.array([turn for _, turn in drawn])
    np.testing.assert_allclose(offsets.std(0), errors.position_std_m, rtol=0.06)
    np.testing.assert_allclose(turns.std(), errors.heading_std_deg, rtol=0.06)
    if shape is ErrorShape.UNIFORM:
        assert np.linalg.norm(offsets, axis=1).max() <= 1.5
        assert np.abs(turns).max() <= 2.0
    settings = replace(SETTINGS, tag_errors=errors, datum=Datum(10.0, 20.0, 30.0, yaw_deg=35.0))
    place = viewpoints(settings, city.plan)[0]
    wrong, true = tag(place, settings), tag(place, settings, is_true=True)
    positions = settings.datum.map_of([[row.latitude, row.longitude, row.altitude] for row in (wrong, true)])
    np.testing.assert_allclose(positions[1], place.T_map_panorama[:3, 3], atol=1e-3)
    assert 0.01 < np.linalg.norm(positions[0] - positions[1]) < 6
    assert (wrong.position_std, true.position_std) == (pytest.approx(errors.position_std_m), 0.0)
    assert wrong == tag(place, settings)


def test_panoramas_stand_along_the_loop_and_in_the_side_streets(city: City) -> None:
    whole = viewpoints(StreetviewSettings(seed=SEED, spacing=25), city.plan)
    places = np.array([viewpoint.T_map_panorama[:2, 3] for viewpoint in whole])
    is_side = np.array([viewpoint.name.startswith("side") for viewpoint in whole])
    assert is_side.any()
    _, away = city.plan.nearest(places)
    assert away[~is_side].max() < 3
    np.testing.assert_allclose(np.linalg.norm(np.diff(places[~is_side], axis=0), axis=1), 25, atol=3)
    by_name = {viewpoint.name: viewpoint for viewpoint in whole}
    for viewpoint in whole:
        for link in viewpoint.links:
            assert viewpoint.name in by_name[link].links
    assert whole[(~is_side).sum() - 1].name in whole[0].links  # the street is closed


def test_a_set_reads_back_in_the_frame_of_the_town(tmp_path: Path, city: City) -> None:
    settings = replace(SETTINGS, depth=DepthForm.PNG, datum=Datum(52.0, 5.0, 40.0, yaw_deg=30.0))
    told: list[tuple[int, int]] = []
    summary = simulate_streetview(
        tmp_path / "set", settings, workers=1, on_progress=lambda *count: told.append(count)
    )
    assert (summary.panoramas, summary.kept, told[-1]) == (3, 0, (3, 3))
    assert read_datum(tmp_path / "set") == settings.datum
    traversal = open_traversal(tmp_path / "set", views=8, view_camera="32x24@60")
    frames = list(traversal.frames())
    assert len(frames) == 24
    for number, viewpoint in enumerate(viewpoints(settings, city.plan)):
        first = frames[8 * number]
        assert first.T_map_camera is not None
        np.testing.assert_allclose(first.T_map_camera, viewpoint.T_map_panorama, atol=1e-3)
        assert first.depth is not None
        assert np.isfinite(first.depth).mean() > 0.3
    assert json.loads((tmp_path / "set" / "simulation.json").read_text())["seed"] == SEED
    assert (tmp_path / "set" / TRUTH_NAME).is_file()


def test_an_interrupted_set_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, depth=None, tag_errors=TagErrors(1.0, 1.0))
    simulate_streetview(tmp_path / "whole", settings, workers=1)
    whole = tmp_path / "whole" / "images"
    write: Callable[..., None] = streetview.write_panorama
    third = sorted(whole.iterdir())[2].name

    def failing(path: Path, image: np.ndarray) -> None:
        if path.name == third:
            raise SceneGeoLocError("the disk is full")
        write(path, image)

    monkeypatch.setattr(streetview, "write_panorama", failing)
    with pytest.raises(SceneGeoLocError, match="disk is full"):
        simulate_streetview(tmp_path / "set", settings, workers=1)
    monkeypatch.undo()
    assert not (tmp_path / "set").exists()
    with pytest.raises(SceneGeoLocError, match="seed 7, not 8"):
        simulate_streetview(tmp_path / "set", replace(settings, seed=8), workers=1)
    assert simulate_streetview(tmp_path / "set", settings, workers=1).kept == 2
    for image in whole.iterdir():
        assert (tmp_path / "set" / "images" / image.name).read_bytes() == image.read_bytes()
    assert read_index(tmp_path / "set").rows == read_index(tmp_path / "whole").rows
    with pytest.raises(SceneGeoLocError, match="exists already"):
        simulate_streetview(tmp_path / "set", settings, workers=1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"condition": "fog"}, "condition 'fog' is unknown"),
        ({"spacing": 0.5}, "at least 1 m"),
        ({"length": 2.0}, "at least 5 m"),
        ({"width": 101}, "width 101"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(SceneGeoLocError, match=words):
        replace(SETTINGS, **wrong)
