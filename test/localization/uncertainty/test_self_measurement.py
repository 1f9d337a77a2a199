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

"""A map is measured when it is built: the covariance of poses in it follows how well its keyframes agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.uncertainty.covariance import (
    BEST_MAP_STD,
    EXCESS,
    NOT_MEASURED,
    RESIDUALS_ONLY,
    MapErrors,
)
from scene_geo_loc.localization.uncertainty.self_measurement import MIN_LOCALIZED, measure_map
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.map_info import MapAccuracy
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.frame import Frame

COUNT = 30


def build(folder: Path, frames: list[Frame]) -> ReferenceMap:
    settings = BuilderSettings(keyframe_distance_m=0.0, matcher="sift")
    builder = MapBuilder(folder / "map", settings, device="cpu", measure=measure_map)
    for frame in frames:
        builder.add_frame(frame)
    return ReferenceMap.open(builder.finish())


def shaken(frames: list[Frame], position_std_m: float, rotation_std_deg: float) -> list[Frame]:
    """The frames with poses that are off."""
    rng = np.random.default_rng(0)
    out = []
    for frame in frames:
        T = frame.T_map_camera
        assert T is not None
        turn = cv2.Rodrigues(np.radians(rng.normal(0, rotation_std_deg, 3)))[0]
        off = make_pose(turn @ T[:3, :3], T[:3, 3] + rng.normal(0, position_std_m, 3))
        out.append(replace(frame, T_map_camera=off))
    return out


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return Room().drive(COUNT)


@pytest.fixture(scope="module")
def right(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> ReferenceMap:
    return build(tmp_path_factory.mktemp("right"), frames)


def test_a_map_of_right_poses_is_as_accurate_as_maps_are(right: ReferenceMap) -> None:
    accuracy = right.info.accuracy
    assert accuracy is not None
    assert 0.01 <= accuracy.position_std_m < 0.02
    assert 0.1 <= accuracy.rotation_std_deg < 0.25
    assert MIN_LOCALIZED <= accuracy.keyframes <= COUNT


def test_poses_that_are_off_widen_the_covariance_of_poses_in_the_map(
    tmp_path: Path, frames: list[Frame]
) -> None:
    built = build(tmp_path, shaken(frames, 0.05, 1.0))
    accuracy = built.info.accuracy
    assert accuracy is not None
    assert 0.03 < accuracy.position_std_m < 0.12
    assert 0.5 < accuracy.rotation_std_deg < 2.5
    estimate = Localizer(built, device="cpu").localize(frames[COUNT // 2])
    assert estimate.covariance is not None
    stds = np.sqrt(np.diag(estimate.covariance))
    assert (stds[:3] >= accuracy.position_std_m).all()
    assert (stds[3:] >= np.radians(accuracy.rotation_std_deg)).all()


def test_it_is_covered_by_the_digest_of_the_map(tmp_path: Path, right: ReferenceMap) -> None:
    values = json.loads((right.path / "map.json").read_text())
    assert values["accuracy"]["keyframes"] >= MIN_LOCALIZED
    values["accuracy"]["position_std_m"] *= 2
    for file in right.path.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "map.json").unlink()
    (tmp_path / "map.json").write_text(json.dumps(values))
    with pytest.raises(MapError, match="has changed"):
        ReferenceMap.open(tmp_path)


def test_a_map_of_few_keyframes_is_not_measured(tmp_path: Path, frames: list[Frame]) -> None:
    built = build(tmp_path, frames[: MIN_LOCALIZED - 1])
    assert built.info.accuracy is None
    assert "accuracy" not in json.loads((built.path / "map.json").read_text())


def test_a_map_that_was_not_measured_keeps_the_excess_of_before() -> None:
    assert MapErrors.of(None) is NOT_MEASURED
    np.testing.assert_array_equal(NOT_MEASURED.excess, EXCESS)
    measured = MapErrors.of(MapAccuracy(position_std_m=0.03, rotation_std_deg=0.01, keyframes=60))
    np.testing.assert_allclose(measured.std, [0.03] * 3 + [*BEST_MAP_STD[3:]])
    assert (measured.excess == 1).all()
    assert not RESIDUALS_ONLY.std.any()
