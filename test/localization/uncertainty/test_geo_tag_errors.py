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

"""Errors of geo-tags: views of one panorama share them, and so does a pose that is solved from these."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from room import Room
from scipy.spatial.transform import Rotation
from seen import CAMERA

from scene_geo_loc.geometry.lie import difference
from scene_geo_loc.geometry.pose import Pose, make_pose, position_error_m, transform
from scene_geo_loc.localization.estimate import Candidate, Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.pnp import CameraMatches, refine_pnp
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.uncertainty.covariance import block_count
from scene_geo_loc.localization.uncertainty.geo_tag_errors import GeoTagErrors
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import MapBuilder
from scene_geo_loc.mapping.map_info import GeoTags, MapInfo
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers.base import GuidedLimits
from scene_geo_loc.matchers.sift import SiftMatcher
from scene_geo_loc.traversals.frame import Frame, GeoTag

STD_M, STD_DEG = 0.5, 1.0
UPRIGHT = Rotation.from_euler("x", -90, degrees=True).as_matrix()
"""A camera that looks along the map's y axis."""
PANORAMAS = [make_pose(UPRIGHT, (0.0, 0.0, 2.0)), make_pose(UPRIGHT, (0.0, 18.0, 2.0))]
QUERY = make_pose(UPRIGHT, (1.0, 9.0, 2.0))


def map_of(tags: list[int]) -> Any:
    """The part of a map of two keyframes that is asked for tags, which have the numbers of their first."""
    std = np.tile([STD_M, np.radians(STD_DEG)], (2, 1))
    return SimpleNamespace(tag_number=np.array(tags), tag_std=std, T_map_camera=np.stack(PANORAMAS))


def seen(rng: np.random.Generator, keyframes: list[int]) -> CameraMatches:
    pixels = rng.uniform((0, 0), (320, 240), (200, 2))
    points = transform(QUERY, CAMERA.back_project(pixels, rng.uniform(8, 40, 200)))
    keyframe = np.array(keyframes)[np.arange(200) % len(keyframes)]
    return CameraMatches(np.eye(4), CAMERA, pixels, points, None, keyframe)


def displaced(matches: CameraMatches, moved: dict[int, Pose]) -> CameraMatches:
    """The matches whose keyframes, with their points, have moved about their own positions."""
    points = matches.points_map.copy()
    assert matches.keyframe is not None
    for keyframe, motion in moved.items():
        own = matches.keyframe == keyframe
        centre = PANORAMAS[keyframe][:3, 3]
        points[own] = transform(motion, points[own] - centre) + centre
    return replace(matches, points_map=points)


@pytest.mark.parametrize("keyframes", [[0], [0, 1]])
@pytest.mark.parametrize("tags", [[0, 0], [0, 1]])
def test_the_covariance_is_that_of_poses_from_tags_that_err(keyframes: list[int], tags: list[int]) -> None:
    rng = np.random.default_rng(0)
    matches = seen(rng, keyframes)
    errors = []
    for _ in range(150):
        motions = [
            make_pose(
                Rotation.from_euler("z", rng.normal(0, 0.1 * STD_DEG), degrees=True).as_matrix(),
                rng.normal(0, 0.1 * STD_M, 3),
            )
            for _ in PANORAMAS
        ]
        moved = {k: motions[tags[k]] for k in keyframes}
        if tags[0] == tags[-1]:  # one panorama: both views turn about its position
            moved = dict.fromkeys(keyframes[:1], motions[0])
            matches_of_one = replace(matches, keyframe=np.zeros(200, np.int64))
            found = refine_pnp(QUERY, [displaced(matches_of_one, moved)], 50.0)
        else:
            found = refine_pnp(QUERY, [displaced(matches, moved)], 50.0)
        errors.append(difference(QUERY, found))
    measured = np.cov(np.array(errors).T) * 100
    asked = replace(matches, keyframe=np.zeros(200, np.int64)) if tags[0] == tags[-1] else matches
    stated = GeoTagErrors(map_of(tags)).covariance(QUERY, [asked])
    ratio = np.sqrt(np.diag(stated)[[0, 1, 2, 5]] / np.diag(measured)[[0, 1, 2, 5]])
    assert (ratio > 0.75).all()
    assert (ratio < 1.33).all()


def test_views_of_one_panorama_do_not_average_its_error() -> None:
    matches = seen(np.random.default_rng(1), [0, 1])
    of_one, of_two = (GeoTagErrors(map_of(tags)).covariance(QUERY, [matches]) for tags in ([0, 0], [0, 1]))
    # The height takes no part in the heading's error.
    assert np.sqrt(of_one[2, 2]) == pytest.approx(STD_M, rel=0.02)
    assert np.sqrt(of_two[2, 2]) < 0.8 * STD_M


def test_tags_without_errors_add_nothing() -> None:
    exact = map_of([0, 1])
    exact.tag_std[:] = 0
    covariance = GeoTagErrors(exact).covariance(QUERY, [seen(np.random.default_rng(2), [0, 1])])
    assert not covariance.any()


def tagged(frames: list[Frame], per_tag: int, **stated: float) -> list[Frame]:
    return [
        replace(frame, geo_tag=GeoTag(f"panorama {i // per_tag}", **stated)) for i, frame in enumerate(frames)
    ]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> ReferenceMap:
    settings = BuilderSettings(keyframe_distance_m=0.0, matcher="sift")
    out = tmp_path_factory.mktemp("tags") / "map"
    builder = MapBuilder(out, settings, device="cpu", measure=measure_map)
    for frame in tagged(Room().drive(24), 2, position_std_m=STD_M, heading_std_deg=STD_DEG):
        builder.add_frame(frame)
    return ReferenceMap.open(builder.finish())


@pytest.mark.slow
def test_a_map_keeps_the_tags_and_states_their_errors(opened: ReferenceMap) -> None:
    assert opened.info.format_version == 5
    assert opened.tag_number.tolist() == [int(opened.tag_number[i - i % 2]) for i in range(24)]
    assert len(set(opened.tag_number.tolist())) == 12
    np.testing.assert_allclose(opened.tag_std, np.tile([STD_M, np.radians(STD_DEG)], (24, 1)))
    tags = opened.info.geo_tags
    assert tags is not None
    assert (tags.tags, tags.position_std_m, tags.heading_std_deg) == (12, STD_M, STD_DEG)
    assert "0.5 m" in str(tags)
    assert MapInfo.model_validate_json(opened.info.model_dump_json()).geo_tags == tags


@pytest.mark.slow
def test_a_pose_is_not_better_than_the_tags_say(opened: ReferenceMap) -> None:
    estimate = Localizer(opened, device="cpu").localize(Room().frame(-2.1, 0.4, 7.0))
    assert estimate.covariance is not None
    std = float(np.sqrt(np.linalg.eigvalsh(estimate.covariance[:3, :3])[-1]))
    # Keyframes of five tags at most take part.
    assert STD_M / 5**0.5 < std < 3 * STD_M


@pytest.mark.slow
def test_the_map_is_measured_by_other_tags(opened: ReferenceMap, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, list[int]]] = []
    localize = Localizer.localize_keyframe

    def noted(self: Localizer, keyframe: int, others: list[int]) -> Any:
        asked.append((keyframe, others))
        return localize(self, keyframe, others)

    monkeypatch.setattr(Localizer, "localize_keyframe", noted)
    localizer = Localizer(opened, device="cpu")
    measure_map(opened, localizer.extractor)
    number = opened.tag_number
    assert asked
    assert all(number[keyframe] not in number[others] for keyframe, others in asked)


@pytest.mark.slow
def test_keyframes_around_a_pose_look_the_same_way(opened: ReferenceMap) -> None:
    localizer = Localizer(opened, device="cpu")
    surroundings = localizer.surroundings
    assert surroundings is not None
    around = surroundings.keyframes_around(opened.T_map_camera[12], 5)
    assert around[0] == 12
    assert len(around) == 5
    turned = opened.T_map_camera[12] @ make_pose(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))
    assert surroundings.keyframes_around(turned, 5) == []


@pytest.mark.slow
def test_keyframes_around_a_pose_confirm_it_where_few_retrieved_ones_show_the_place(
    opened: ReferenceMap,
) -> None:
    localizer = Localizer(opened, device="cpu")
    surroundings = localizer.surroundings
    assert surroundings is not None
    features = localizer._keyframes.all_features(12).features
    query = QueryMatches(np.eye(4), opened.camera_of(12).resized(*localizer._input_size), features=features)
    query.candidates = [Candidate(11, 1.0), Candidate(23, 0.9)]
    query.matches = localizer.match(features, [11, 23], query.input_size)
    query.blocks = block_count(features.pixels, localizer._block_px)
    solution = localizer.solve([query])
    assert solution is not None
    confirmed = surroundings.verify(solution, [query])
    assert confirmed is not None
    estimate, found, around = confirmed
    assert position_error_m(opened.T_map_camera[12], found.T_map_base) < 0.1
    assert estimate.status is Status.LOCALIZED
    assert around[0].candidates[0].keyframe == 12
    assert surroundings.verify(None, [query]) is None


@pytest.mark.slow
def test_a_pose_is_confirmed_by_matches_that_it_has_near_each_other(
    opened: ReferenceMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SiftMatcher, "guided", GuidedLimits(0.5, 0.44, 0.1))
    localizer = Localizer(opened, device="cpu")
    surroundings = localizer.surroundings
    assert surroundings is not None
    features = localizer._keyframes.all_features(12).features
    query = QueryMatches(np.eye(4), opened.camera_of(12).resized(*localizer._input_size), features=features)
    query.candidates = [Candidate(11, 1.0)]
    query.blocks = block_count(features.pixels, localizer._block_px)
    true = opened.T_map_camera[12]
    near = true @ make_pose(np.eye(3), np.array([0.05, 0.02, 0.1]))
    confirmed = surroundings.verify_guided(near, [query])
    assert confirmed is not None
    estimate, found, guided = confirmed
    assert estimate.status is Status.LOCALIZED
    assert position_error_m(true, found.T_map_base) < 0.02
    assert guided[0].candidates[0].keyframe == 12
    # A pose that has slid along the view comes back.
    for slid_m in (-2.0, 2.0):
        by_slid = surroundings.verify_guided(true @ make_pose(np.eye(3), np.array([0, 0, slid_m])), [query])
        assert by_slid is not None
        assert position_error_m(true, by_slid[1].T_map_base) < 0.02
    elsewhere = opened.T_map_camera[3]
    assert surroundings.verify_guided(elsewhere, [query]) is None
    # A second camera that looks where the map has no keyframes takes no part.
    turned = make_pose(np.diag([-1.0, 1.0, -1.0]), np.zeros(3))
    by_rig = surroundings.verify_guided(near, [query, replace(query, T_base_camera=turned)])
    assert by_rig is not None
    assert position_error_m(true, by_rig[1].T_map_base) < 0.02
    far = make_pose(np.eye(3), np.full(3, 1000.0))
    assert surroundings.verify_guided(far, [query]) is None


def test_tags_that_state_no_errors_are_assumed_to_err() -> None:
    assert "assumed" in str(GeoTags(tags=3))
