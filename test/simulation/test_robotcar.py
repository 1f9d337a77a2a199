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

"""A simulated dataset in RobotCar's layout, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import inverse, position_error_m, rotation_error_deg, transform
from scene_geo_loc.simulation.conditions import CONDITIONS
from scene_geo_loc.simulation.recordings.campaign import CampaignSettings, RunDrive, chosen_runs, city_of
from scene_geo_loc.simulation.recordings.robotcar import simulate_robotcar
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.vehicle import robotcar_rig
from scene_geo_loc.simulation.vehicle.sensors import CameraView
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.robotcar.calibration import read_raw

pytestmark = pytest.mark.slow

REFERENCE, SUNNY = "2014-06-26-09-31-18", "2014-06-24-14-47-45"
SETTINGS = CampaignSettings(length=6.0, width=80, height=60, sight=20.0, lead=5.0, runs=(REFERENCE,))
VIEWS = {view.name: view for view in robotcar_rig.views(SETTINGS.width, SETTINGS.height)}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(root: Path, camera: str = "stereo/centre", poses: str | None = None) -> FolderTraversal:
    traversal = open_traversal(root / REFERENCE, camera=camera, poses=poses)
    assert isinstance(traversal, FolderTraversal)
    return traversal


@pytest.fixture(scope="module")
def town() -> City:
    return city_of(SETTINGS)


@pytest.fixture(scope="module")
def drive(town: City) -> RunDrive:
    return RunDrive(chosen_runs(SETTINGS)[0], SETTINGS, town.plan)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campaign") / "twin"
    told: list[tuple[int, int]] = []
    summary = simulate_robotcar(path, SETTINGS, workers=1, on_progress=lambda *count: told.append(count))
    assert told[-1] == (summary.images, summary.images)
    assert (summary.runs, summary.kept) == (1, 0)
    return path


@pytest.mark.parametrize("camera", VIEWS)
def test_every_view_reads_back_where_it_was_taken(root: Path, drive: RunDrive, camera: str) -> None:
    traversal = opened(root, camera)
    assert len(traversal) == len(drive.shots_of(camera)) >= 2
    for frame in traversal.frames():
        assert frame.T_map_camera is not None
        seconds = drive.seconds([frame.stamp_ns // 1000])
        true = drive.motion.poses(seconds)[0] @ VIEWS[camera].T_base_camera
        assert position_error_m(true, frame.T_map_camera) < 0.06
        axes = np.degrees(np.arccos(np.clip(true[:3, 2] @ frame.T_map_camera[:3, 2], -1, 1)))
        assert axes < 0.2
        if not VIEWS[camera].kind.turn_deg:
            assert rotation_error_deg(true, frame.T_map_camera) < 0.2


@pytest.mark.parametrize("camera", ["mono_left", "mono_right"])
def test_what_is_mounted_askew_is_upright_once_the_reader_has_turned_it(root: Path, camera: str) -> None:
    for frame in opened(root, camera).frames():
        assert frame.T_map_camera is not None
        tilt = {}
        for name, T in (("turned", frame.T_map_camera), ("raw", VIEWS[camera].T_base_camera)):
            up = inverse(T)[:3, :3] @ (0, 0, 1)
            tilt[name] = abs(np.degrees(np.arctan2(up[0], -up[1])))
        assert tilt["turned"] < 7 < 14 < tilt["raw"]


def test_lidar_points_lie_where_the_camera_sees_them(root: Path, town: City, drive: RunDrive) -> None:
    run = drive.run
    scene = town.scene(CONDITIONS[run.condition], drive.start, drive.length, run.name, SETTINGS.sight)
    traversal = opened(root)
    points = np.concatenate([scan.points_map for scan in traversal.scans()])
    for files_of_frame in traversal.frame_files:
        camera, T = files_of_frame.camera, files_of_frame.T_map_camera
        assert T is not None
        depth = CameraView(scene, camera).depth(T)
        seen = transform(inverse(T), points)
        pixels = camera.project(seen)
        inside = np.asarray(np.isfinite(pixels).all(1))
        inside[inside] = (
            (pixels[inside] >= 0) & (pixels[inside] < (camera.width - 1, camera.height - 1))
        ).all(1)
        column, row = pixels[inside].round().astype(int).T
        error = np.abs(seen[inside, 2] / depth[row, column] - 1)
        error = error[np.isfinite(error)]
        assert len(error) > 500
        # Near the ground's vanishing line a pixel is deep, and some points are hidden.
        assert np.median(error) < 0.02


@pytest.mark.parametrize("camera", VIEWS)
def test_the_look_up_table_undoes_the_lens(root: Path, camera: str) -> None:
    view = VIEWS[camera]
    table = np.fromfile(root / "models" / f"{view.kind.model}_distortion_lut.bin", "<f8")
    width, height = view.pinhole.width, view.pinhole.height
    x, y = table.reshape(2, height, width)
    assert x.min() > 0
    assert y.min() > 0
    assert x.max() < width - 1
    assert y.max() < height - 1
    assert np.hypot(x - np.arange(width), y - np.arange(height)[:, None]).max() > 1.5
    points = np.random.default_rng(1).uniform((-1.2, -1.2, 1.0), (1.2, 1.2, 1.0), (500, 3))
    ideal, raw = view.pinhole.project(points), view.lens.project(points)
    inside = ((ideal > 0) & (ideal < (width - 1, height - 1))).all(1)
    assert inside.sum() > 50
    looked_up = [map_coordinates(part, ideal[inside, ::-1].T, order=1) for part in (x, y)]
    assert np.stack(looked_up, 1) == pytest.approx(raw[inside], abs=0.1)


def test_raw_images_are_mosaics_of_the_size_and_pattern_of_their_camera(root: Path) -> None:
    for camera, view in VIEWS.items():
        traversal = opened(root, camera)
        raw = read_raw(traversal.frame_files[0].image)
        assert raw.shape == (view.lens.height, view.lens.width)
    # The overcast sky is bluer than it is red.
    sky = read_raw(opened(root).frame_files[0].image)[:6]
    assert sky[0::2, 1::2].astype(float).mean() >= sky[1::2, 0::2].astype(float).mean()


def test_navigation_errs_as_much_as_it_should(root: Path, drive: RunDrive) -> None:
    stamps = [files_of_frame.stamp_ns // 1000 for files_of_frame in opened(root).frame_files]
    true = drive.motion.poses(drive.seconds(stamps)) @ VIEWS["stereo/centre"].T_base_camera
    error = {}
    for source in ("rtk", "ins"):
        poses = np.array([f.T_map_camera for f in opened(root, poses=source).frame_files])
        error[source] = float(position_error_m(true, poses).mean())
    assert error["rtk"] < 0.05 < 0.1 < error["ins"] < 6.0
    from_vo = np.array([f.T_map_camera for f in opened(root, poses="vo").frame_files])
    way = np.linalg.norm(true[-1, :3, 3] - true[0, :3, 3])
    assert np.linalg.norm(from_vo[-1, :3, 3] - from_vo[0, :3, 3]) == pytest.approx(way, rel=0.03)


def test_the_folder_says_what_it_is_and_holds_what_the_owners_publish(root: Path) -> None:
    assert "not data of the Oxford RobotCar dataset" in (root / "README.txt").read_text()
    run = root / REFERENCE
    assert (root / "rtk" / REFERENCE / "rtk.csv").read_text().startswith(
        "timestamp,latitude,longitude,altitude,northing,easting,down,utm_zone,velocity_north,"
    )  # fmt: skip
    assert (run / "vo" / "vo.csv").read_text().startswith("source_timestamp,destination_timestamp,x,y,z,")
    gps = (run / "gps" / "gps.csv").read_text().splitlines()
    assert gps[0].startswith("timestamp,num_satellites,latitude,longitude,altitude,latitude_sigma,")
    latitude, longitude = (float(value) for value in gps[1].split(",")[2:4])
    assert (latitude, longitude) == pytest.approx((51.75, -1.27), abs=0.03)
    first = int((run / "stereo.timestamps").read_text().split()[0])
    assert 0 < first / 1e6 - 1_403_775_078 < 10  # 2014-06-26 09:31:18
    assert sorted(path.name for path in run.iterdir() if path.is_dir()) == [
        "gps", "lms_front", "lms_rear", "mono_left", "mono_rear", "mono_right", "stereo", "vo",
    ]  # fmt: skip


def test_the_same_settings_give_the_same_files_with_any_number_of_workers(root: Path, tmp_path: Path) -> None:
    simulate_robotcar(tmp_path / "again", SETTINGS, workers=2)
    assert files(tmp_path / "again") == files(root)


def test_an_interrupted_campaign_goes_on_with_the_runs_that_are_missing(root: Path, tmp_path: Path) -> None:
    import shutil
    from dataclasses import replace

    both = replace(SETTINGS, runs=(REFERENCE, SUNNY))
    there = tmp_path / "cut"
    shutil.copytree(root, there)

    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_robotcar(there, both, workers=1, on_progress=interrupt)
    assert [path.name for path in there.iterdir() if path.name.startswith((".", "20"))] == [REFERENCE]
    summary = simulate_robotcar(there, both, workers=1)
    assert (summary.runs, summary.kept) == (2, 1)
    written = files(there)
    assert {
        name: data for name, data in files(root).items() if name.startswith(REFERENCE)
    }.items() <= written.items()
    assert len(list((there / SUNNY / "mono_left").iterdir())) >= 2


def test_runs_of_other_settings_are_not_mixed_and_other_folders_left_alone(
    root: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(SceneGeoLocError, match=r"length 6\.0, not 7\.0"):
        simulate_robotcar(root, replace(SETTINGS, length=7.0))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SceneGeoLocError, match="holds no simulated runs"):
        simulate_robotcar(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_the_areas_file_holds_where_the_images_are(root: Path) -> None:
    boxes = np.array(json.loads((root / "areas.json").read_text())["test"])
    for camera in VIEWS:
        for files_of_frame in opened(root, camera).frame_files:
            assert files_of_frame.T_map_camera is not None
            xy = files_of_frame.T_map_camera[:2, 3]
            assert ((xy >= boxes[:, :2]) & (xy <= boxes[:, 2:])).all(1).any()
