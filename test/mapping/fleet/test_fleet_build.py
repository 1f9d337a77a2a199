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

"""One map of many drives: built one after the other or on Ray, resumed, with drives that fail."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room, write_rgbd
from typer.testing import CliRunner

from scene_geo_loc.benchmarks.fleet.build_costs import WriterKiller, have_same_files
from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError, SceneGeoLocError, TraversalError
from scene_geo_loc.geometry.datum import Datum, Georeference
from scene_geo_loc.geometry.geodesy import UtmZone
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import BuilderSettings
from scene_geo_loc.mapping.editing.compatibility import check_combinable
from scene_geo_loc.mapping.fleet.drive_job import DriveJob, DriveResult, DriveSource, run_job_text
from scene_geo_loc.mapping.fleet.fleet_build import FailedDrives, build_fleet, work_folder
from scene_geo_loc.mapping.fleet.ray_cluster import RayCluster
from scene_geo_loc.mapping.map_info import MAP_JSON
from scene_geo_loc.mapping.reference_map import ReferenceMap

SETTINGS = BuilderSettings(keyframe_distance_m=0.3)


@pytest.fixture(scope="module")
def drives(room: Room, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three drives along the room."""
    folder = tmp_path_factory.mktemp("drives")
    return [
        write_rgbd(folder / name, room, offset_y, count)
        for name, offset_y, count in (("monday", 0.0, 8), ("tuesday", 0.5, 16), ("friday", -0.5, 8))
    ]


@pytest.fixture(scope="module")
def week(drives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The map of the three drives, built by the command in this process, and what it printed."""
    out = tmp_path_factory.mktemp("maps") / "week"
    options = ["--keyframe-distance", "0.3", "--device", "cpu"]
    result = CliRunner().invoke(
        app, ["map", "build", *map(str, drives), str(out), *options], catch_exceptions=False
    )
    return out, result.stdout


def sources(drives: list[Path]) -> list[DriveSource]:
    return [DriveSource(path=str(drive)) for drive in drives]


def contents(path: Path) -> dict[str, object]:
    """The files of a map, with its description but for the times at which it was built."""
    info = json.loads((path / MAP_JSON).read_text())
    for values in (info, *info["drives"]):
        values.pop("built")
    info.pop("digest")
    return {
        file.name: info if file.name == MAP_JSON else file.read_bytes() for file in sorted(path.iterdir())
    }


@pytest.mark.slow
def test_several_drives_become_one_map_that_localizes_in_all_of_them(
    week: tuple[Path, str], drives: list[Path], room: Room
) -> None:
    out, printed = week
    merged = ReferenceMap.open(out)
    merged.verify()
    assert [drive.source for drive in merged.info.all_drives] == [str(drive) for drive in drives]
    assert f"{len(merged)} keyframes of 3 drives" in printed
    for number, drive in enumerate(drives, start=1):
        assert f"{number}/3 {drive}: " in printed
    localizer = Localizer(merged, device="cpu")
    for offset in (0.1, 0.45, -0.45):
        assert localizer.localize(room.frame(-2.0, offset, 3.0)).status is Status.LOCALIZED


@pytest.mark.slow
def test_the_maps_of_the_drives_are_used_again_unless_something_has_changed(
    week: tuple[Path, str], drives: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "week"
    shutil.copytree(work_folder(week[0]), work_folder(out))
    again = build_fleet(sources(drives), out, SETTINGS, measure=measure_map)
    assert [result.is_reused for result in again.results] == [True, True, True]
    assert contents(out) == contents(week[0])
    with pytest.raises(MapError, match="exists already"):
        build_fleet(sources(drives), out, SETTINGS)
    job = DriveJob(source=sources(drives)[0], folder=str(out), settings=SETTINGS).stamped()
    os.utime(drives[0] / "poses.txt")
    assert job.stamped().name != job.name
    assert job.model_copy(update={"settings": BuilderSettings()}).name != job.name
    assert job.model_copy(update={"device": "cuda", "folder": "elsewhere"}).name == job.name


@pytest.mark.slow
def test_a_drive_that_cannot_be_mapped_is_an_error_or_left_out_by_name(
    drives: list[Path], tmp_path: Path
) -> None:
    damaged = shutil.copytree(drives[2], tmp_path / "damaged")
    (damaged / "poses.txt").write_text("no number\n")
    given = [damaged, drives[0]]
    with pytest.raises(FailedDrives, match=r"1 of 2 drives cannot be mapped .*damaged.*kept"):
        build_fleet(sources(given[::-1]), tmp_path / "refused", SETTINGS, device="cpu")
    shutil.copytree(work_folder(tmp_path / "refused"), work_folder(tmp_path / "without"))
    fleet = build_fleet(sources(given), tmp_path / "without", SETTINGS, device="cpu", leave_out_failed=True)
    assert list(fleet.left_out) == [str(damaged)]
    assert [result.is_reused for result in fleet.results] == [False, True]
    with pytest.raises(FailedDrives, match="1 of 1"):
        build_fleet(sources([damaged]), tmp_path / "none", SETTINGS, leave_out_failed=True)
    assert not (tmp_path / "refused").exists()


def test_drives_that_are_missing_or_named_twice_are_refused_before_any_is_mapped(tmp_path: Path) -> None:
    twice = write_rgbd(tmp_path / "drive", Room(), 0.0, count=1)
    with pytest.raises(MapError, match="twice"):
        build_fleet(sources([twice, twice]), tmp_path / "out")
    with pytest.raises(TraversalError, match="nothing does not exist"):
        build_fleet(sources([twice, tmp_path / "nothing"]), tmp_path / "out")
    with pytest.raises(MapError, match="at least one"):
        build_fleet([], tmp_path / "out")
    result = CliRunner().invoke(app, ["map", "build", str(tmp_path / "out")])
    assert isinstance(result.exception, SceneGeoLocError)
    one = CliRunner().invoke(app, ["map", "build", str(twice), "out", "--leave-out-failed"])
    assert "one is named" in str(one.exception)
    assert list(tmp_path.iterdir()) == [twice]


def test_a_worker_of_another_release_says_so(tmp_path: Path) -> None:
    job = DriveJob(
        source=DriveSource(path="drive"), folder=str(tmp_path), settings=SETTINGS, package_version="0.0.1"
    )
    assert "0.0.1" in str(DriveResult.model_validate_json(run_job_text(job.model_dump_json())).error)
    assert "release" in str(DriveResult.model_validate_json(run_job_text('{"later": 1}')).error)


@pytest.mark.slow
def test_drives_on_one_grid_are_in_one_frame_and_those_of_other_datums_are_not(room_map: Path) -> None:
    zone = UtmZone(30, True)
    T_utm_map = make_pose(np.eye(3), (620_000.0, 5_735_000.0, 0.0))

    def opened(datum: Datum) -> ReferenceMap:
        drive_map = ReferenceMap.open(room_map)
        drive_map.info = drive_map.info.model_copy(update={"georeference": Georeference(datum, "rtk")})
        return drive_map

    here, there = (Datum.of_grid(zone, T_utm_map, (x, -100.0, 0.0)) for x in (0.0, 1000.0))
    assert here != there
    check_combinable([opened(here), opened(there)])
    with pytest.raises(MapError, match="has a datum 11"):
        check_combinable([opened(here), opened(replace(here, latitude_deg=here.latitude_deg + 1e-4))])


@pytest.mark.slow
def test_ray_builds_the_same_map_even_if_a_worker_is_killed(
    week: tuple[Path, str], drives: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'scene_geo_loc[fleet]'")
    out = tmp_path / "week"
    killer = WriterKiller(work_folder(out), "tuesday")
    killer.start()
    with RayCluster("local:2") as cluster:
        fleet = build_fleet(
            sources(drives), out, SETTINGS, device="cpu", executor=cluster, measure=measure_map
        )
    killer.join_if_started()
    assert killer.killed not in (None, os.getpid())
    assert fleet.results[1].resumed >= 2
    assert contents(out) == contents(week[0])
    assert have_same_files(out, week[0])
    (out / "thumbnails.bin").write_bytes(b"")
    assert not have_same_files(out, week[0])


def test_workers_that_cannot_be_had_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SceneGeoLocError, match=r"scene_geo_loc\[fleet\]"):
        RayCluster("auto")
    monkeypatch.undo()
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'scene_geo_loc[fleet]'")
    for address in ("local:0", "local:two"):
        with pytest.raises(SceneGeoLocError, match=f"'{address}' is no number"):
            RayCluster(address)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SceneGeoLocError, match=f"No Ray cluster answers at {address}"), RayCluster(address):
        pass
