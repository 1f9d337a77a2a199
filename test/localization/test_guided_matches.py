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

"""Matches of features that a pose has near each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from seen import CAMERA

from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, transform
from scene_geo_loc.localization.estimate import Matches
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.second_look.guided_matches import guided_matches
from scene_geo_loc.localization.stored_keyframes import StoredKeyframe
from scene_geo_loc.matchers.features import LocalFeatures, mutual_nearest

COUNT = 60
POSE = make_pose(np.eye(3), np.array([1.0, -0.2, 0.5]))
REACH_PX = 20.0


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def seen(rng: np.random.Generator) -> tuple[LocalFeatures, StoredKeyframe]:
    """Features of an image at POSE, and a keyframe with the points that they show, in another order."""
    pixels = rng.uniform((0, 0), (CAMERA.width, CAMERA.height), (COUNT, 2))
    points = transform(POSE, CAMERA.back_project(pixels, rng.uniform(5, 30, COUNT)))
    descriptors = unit(rng.normal(size=(COUNT, 64)))
    order = rng.permutation(COUNT)
    stored = StoredKeyframe(
        LocalFeatures(pixels[order], descriptors[order]), points[order], np.zeros((COUNT, 3))
    )
    return LocalFeatures(pixels, descriptors), stored


def matched(features: LocalFeatures, stored: StoredKeyframe, T_map_base: Pose, least: float = 0.5) -> Matches:
    query = QueryMatches(np.eye(4), CAMERA)
    return guided_matches(query, features, {7: stored}, T_map_base, REACH_PX, least)


def test_features_match_where_a_pose_nearly_has_them() -> None:
    features, stored = seen(np.random.default_rng(0))
    near = POSE @ make_pose(np.eye(3), np.array([0.1, 0.0, 0.2]))
    matches = matched(features, stored, near)
    assert len(matches) == COUNT
    assert set(matches.keyframe) == {7}
    projected = CAMERA.project(transform(inverse(POSE), matches.points_map))
    np.testing.assert_allclose(projected, matches.query_pixels, atol=1e-6)
    np.testing.assert_allclose(matches.keyframe_pixels, matches.query_pixels, atol=1e-9)


def test_a_feature_that_looks_more_alike_elsewhere_is_passed_over() -> None:
    rng = np.random.default_rng(1)
    features, stored = seen(rng)
    # A twin of the first feature is far from where the pose has it, and the first one itself has changed.
    changed = features.descriptors.copy()
    changed[1] = changed[0]
    changed[0] = unit((changed[0] + 0.1 * unit(rng.normal(size=(1, 64)))[0])[None])[0]
    matches = matched(LocalFeatures(features.pixels, changed), stored, POSE)
    assert (np.linalg.norm(matches.query_pixels - features.pixels[0], axis=1) < 1e-6).any()
    assert not (np.linalg.norm(matches.query_pixels - features.pixels[1], axis=1) < 1e-6).any()


@given(seed=st.integers(0, 2**16), reach_px=st.floats(1.0, 200.0))
def test_the_matches_are_those_of_a_search_through_all_pairs(seed: int, reach_px: float) -> None:
    rng = np.random.default_rng(seed)
    features, stored = seen(rng)
    near = POSE @ make_pose(np.eye(3), rng.normal(0, 0.3, 3))
    query = QueryMatches(np.eye(4), CAMERA)
    matches = guided_matches(query, features, {7: stored}, near, reach_px, -1.0)
    projected = CAMERA.project(transform(inverse(near), stored.points_map))
    is_near = np.linalg.norm(projected[:, None] - features.pixels, axis=2) <= reach_px
    similarity = np.where(is_near, stored.features.descriptors @ features.descriptors.T, -np.inf)
    rows, columns = mutual_nearest(similarity)
    are_near = is_near[rows, columns]
    pairs = zip(stored.features.pixels[rows[are_near]], features.pixels[columns[are_near]], strict=True)
    expected = {(*a, *b) for a, b in pairs}
    found = {(*a, *b) for a, b in zip(matches.keyframe_pixels, matches.query_pixels, strict=True)}
    assert found == expected
    assert len(matches) == len(expected)


def test_nothing_matches_far_off_or_unlike_or_behind_the_camera() -> None:
    rng = np.random.default_rng(2)
    features, stored = seen(rng)
    behind = POSE @ make_pose(np.eye(3), np.array([0.0, 0.0, 100.0]))
    assert len(matched(features, stored, behind)) == 0
    unlike = LocalFeatures(features.pixels, unit(rng.normal(size=(COUNT, 64))))
    assert len(matched(unlike, stored, POSE, 0.9)) == 0
    unknown = stored._replace(points_map=np.full((COUNT, 3), np.nan))
    assert len(matched(features, unknown, POSE)) == 0
