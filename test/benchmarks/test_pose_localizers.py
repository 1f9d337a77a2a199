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

"""Localizers side by side in the pose benchmark: their maps, their rows and their pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pose_place import CAMERA
from pydantic import BaseModel
from room import Room

from scene_geo_loc.benchmarks.poses.benchmark import Experiment, PoseBenchmarkRun
from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.poses.localizers.maps import Thinned, thinned
from scene_geo_loc.benchmarks.poses.localizers.plot import has_study_of_images
from scene_geo_loc.benchmarks.poses.localizers.results import LocalizerResult, roc_area
from scene_geo_loc.benchmarks.poses.localizers.saliency import saliency_of, saliency_sheet
from scene_geo_loc.benchmarks.poses.methods import METHODS
from scene_geo_loc.benchmarks.poses.page import write_pose_results
from scene_geo_loc.benchmarks.poses.results import PoseBenchmark, read_benchmark, write_benchmark
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import Status, UnverifiedPose
from scene_geo_loc.localization.pose_regression.regressor import Regression
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.mapping.builder import build_map
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published.slides_learning import printed_tables
from scene_geo_loc.training import localizers
from scene_geo_loc.training.localizers import LocalizerFamily
from scene_geo_loc.traversals.frame import Traversal

pytestmark = pytest.mark.slow


def record(error_m: float, std_m: float, is_localized: bool = False) -> QueryRecord:
    """A query at the origin, whose pose is off along x."""
    pose = make_pose(np.eye(3), (error_m, 0, 0))
    covariance = np.diag([std_m**2] * 3 + [0.01] * 3)
    return QueryRecord(
        0,
        Status.LOCALIZED if is_localized else Status.LOST,
        np.eye(4),
        T_estimated=pose if is_localized else None,
        latency_ms=3.0,
        unverified=UnverifiedPose(pose, covariance),
    )


NAMES: dict[str, Any] = {"name": "posenet", "images": 50, "map_bytes": 3_000_000, "minutes": 1.5}


def test_a_row_counts_poses_before_verification_and_measures_their_uncertainty() -> None:
    errors = np.arange(1.0, 11.0)
    records = [record(e, 0.5 * e, is_localized=bool(e < 4)) for e in errors]
    result = LocalizerResult.of(records, **NAMES)
    assert result.median_m == pytest.approx(5.5)
    assert result.localized_share == pytest.approx(0.3)
    assert result.wrong_fixes(Place.OUTDOORS) == 0
    assert result.rank_correlation == pytest.approx(1.0)
    assert result.covered_share == 1.0  # two standard deviations, and the 95 % ellipsoid reaches 2.8
    assert result.unseen is None
    confident = LocalizerResult.of([record(e, 0.3 * e) for e in errors], **NAMES)
    assert confident.covered_share == 0.0
    assert LocalizerResult.of(records[:3], **NAMES).rank_correlation is None


def test_an_unseen_place_is_told_by_the_stated_deviation() -> None:
    seen = [record(1.0, std) for std in (1.0, 1.1, 1.2, 1.3, 3.5)]
    unseen = [record(90.0, std, is_localized=std < 2) for std in (1.9, 4.0, 5.0, 6.0, 7.0)]
    result = LocalizerResult.of(seen, unseen, **NAMES).unseen
    assert result is not None
    assert (result.queries, result.localized) == (5, 1)
    assert result.area == pytest.approx(24 / 25)  # one of the 25 pairs is in the wrong order
    assert roc_area([1.0, 1.0], [1.0, 1.0]) == 0.5
    counted = [replace(query, inliers=9, inlier_ratio=0.5) for query in seen]
    by_inliers = LocalizerResult.of(counted, [replace(unseen[0], unverified=None)] * 5, **NAMES).unseen
    assert by_inliers is not None
    assert by_inliers.area == 1.0


def test_a_map_of_fewer_images_takes_every_nth(room: Room) -> None:
    whole = Drive(room)
    part = thinned(whole, 3)
    assert isinstance(part, Thinned)
    stamps = [frame.stamp_ns for frame in whole.frames()]
    assert [frame.stamp_ns for frame in part.frames()] == stamps[::2]
    assert len(part) == len(stamps[::2])
    assert thinned(whole, None) is whole


@dataclass
class Drive:
    """A drive along the room."""

    room: Room
    name: str = "drive"
    map_frame: str = "map"

    def __post_init__(self) -> None:
        from scene_geo_loc.traversals.skipped import Skipped

        self.skipped = Skipped()
        self._frames = list(self.room.drive())[:6]

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self, pass_over: Any = lambda *_: False) -> Any:
        return (frame for frame in self._frames if not pass_over(frame.stamp_ns, frame.T_map_camera))

    def scans(self, pass_over: Any = None) -> Any:
        return iter(())


class NoSettings(BaseModel):
    """Settings of a system that has none."""


def build(traversal: Traversal, out: Path, system: str, protocol: BaseModel, **_: Any) -> list[str]:
    """Makes a map of keyframes in place of a training."""
    if system == "refusing":
        raise SceneGeoLocError("/drives/morning: the images do not suffice.")
    build_map(traversal, out, BuilderSettings(), source=traversal.name, device="cpu")
    return [""]


def test_localizers_are_asked_the_same_queries_in_maps_of_all_numbers_of_images(
    room: Room, room_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = LocalizerFamily(
        "retrieval", "Tests", {"built": "", "refusing": ""}, NoSettings, f"{__name__}:build"
    )
    monkeypatch.setattr(localizers, "FAMILIES", (family,))
    queries, other = Drive(room, "evening"), Drive(Room(seed=8), "other room")
    experiment = replace(
        Experiment("morning", Drive(room), {"evening": queries}, BuilderSettings(), Place.INDOORS),
        unseen=other,
        origin={"source": "/drives/morning"},
    )
    run = PoseBenchmarkRun(
        cache=tmp_path / "cache",
        device="cpu",
        methods=METHODS[-1:],
        systems=["built", "refusing"],
        maps=[room_map],
        images=[3, 6],
    )
    (result,) = run.run(experiment)
    rows = [(row.name, row.images) for row in result.localizers]
    assert rows == [("retrieval", 3), ("built", 3), ("retrieval", 6), ("built", 6), (room_map.name, None)]
    assert result.not_run["refusing"] == "morning: the images do not suffice."
    for row in result.localizers:
        assert len(row.position_m) == len(queries)
        assert row.map_bytes > 1000
        assert row.unseen is not None
        assert row.unseen.queries == len(other)
        assert (row.minutes is None) == (row.images is None)
    assert result.localizers[2].localized_share == 1.0
    assert has_study_of_images(result.localizers)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("the map is in the cache")

    monkeypatch.setattr(LocalizerFamily, "train", fail)
    (again,) = replace(run, systems=["built"], maps=[], images=[3]).run(experiment)
    assert again.localizers[1].minutes == result.localizers[1].minutes

    benchmark = PoseBenchmark(machine="a desk", sets=[result])
    write_benchmark(tmp_path / "poses.json", benchmark)
    assert read_benchmark(tmp_path / "poses.json").sets[0].localizers == result.localizers
    page, *pictures = write_pose_results(tmp_path / "docs" / "poses.md", benchmark)
    assert "Localizers side by side" in page.read_text()
    assert {"_cost.png", "_images.png"} <= {picture.name[picture.name.rindex("_") :] for picture in pictures}
    assert "spatial LSTM" in page.read_text()


class CornerRegressor:
    """Regresses a position by the brightness of the upper left corner."""

    def regress(self, image: CameraImage) -> Regression:
        bright = float(image.image[:12, :16].mean())
        return Regression(make_pose(np.eye(3), (bright / 10, 0, 0)), np.eye(6), 0.0)


def test_saliency_shows_the_part_of_the_image_that_moves_the_position() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
    image[:24, :32] = 20
    image[:6, :8] = 250
    found = saliency_of(CornerRegressor(), CameraImage(image, CAMERA))  # type: ignore[arg-type]
    assert found is not None
    assert found.moves_m.shape == (12, 16)
    row, column = np.unravel_index(found.moves_m.argmax(), found.moves_m.shape)
    assert max(row, column) <= 4
    assert found.moves_m[6:].max() == 0
    sheet = saliency_sheet([found, found])
    assert sheet.shape == (2 * 360, 2 * 480, 3)


def test_the_printed_numbers_of_learned_localizers_are_complete() -> None:
    for table in printed_tables():
        assert all(len(line.cells) == len(table.columns) for line in table.lines)
