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

"""Depth of features from neighbouring keyframes: known geometry, mismatches, fusion with inferred depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, transform
from scene_geo_loc.mapping.keyframe_depth.triangulation import (
    MATCH_SIGMA_PX,
    NEIGHBOURS,
    InverseDepth,
    LearnedScale,
    PosedFeatures,
    consensus,
    fuse,
    neighbours_of,
    parallax,
)
from scene_geo_loc.matchers.features import LocalFeatures, Matched

CAMERA = Camera(320, 240, 250.0, 240.0, 159.5, 119.5)
FISHEYE = Camera(320, 240, 150.0, 150.0, 159.5, 119.5, "equidistant", (0.02, 0.0, 0.0, 0.0))
NAN = np.nan
F64 = NDArray[np.float64]


def pose(x: float, y: float = 0.0, z: float = 0.0, turn_deg: float = 0.0) -> F64:
    T = np.eye(4)
    T[:3, 3] = x, y, z
    T[:3, :3] = Rotation.from_euler("y", turn_deg, degrees=True).as_matrix()
    return T


def posed(T_map_camera: F64, points_map: F64, camera: Camera) -> PosedFeatures:
    pixels = camera.project(transform(inverse(T_map_camera), points_map))
    return PosedFeatures(LocalFeatures(pixels, np.zeros((len(pixels), 1), np.float32)), camera, T_map_camera)


def in_order(one: PosedFeatures) -> Matched:
    """The matches of features with others that lie in the same order."""
    return Matched(one.features.pixels, np.arange(len(one.features.pixels)))


@pytest.fixture
def points() -> F64:
    """Points (40, 3) before the cameras, 4 to 20 m away."""
    rng = np.random.default_rng(0)
    z = rng.uniform(4, 20, 40)
    return np.stack([rng.uniform(-0.4, 0.4, 40) * z, rng.uniform(-0.3, 0.3, 40) * z, z], axis=1)


@pytest.mark.parametrize("camera", [CAMERA, FISHEYE])
def test_a_match_in_a_keyframe_aside_tells_depth(points: F64, camera: Camera) -> None:
    one, other = posed(pose(0), points, camera), posed(pose(0.8, 0.1, 0.3, turn_deg=-5), points, camera)
    found = parallax(one, other, in_order(other))
    np.testing.assert_allclose(1 / found.value, points[:, 2], rtol=1e-5)


def test_the_way_forward_tells_little_of_what_lies_ahead(points: F64) -> None:
    points = np.concatenate([points, [[0.01, 0.0, 10.0]]])
    one, other = posed(pose(0), points, CAMERA), posed(pose(0, 0, 1.0), points, CAMERA)
    found = parallax(one, other, in_order(other))
    np.testing.assert_allclose(1 / found.value, points[:, 2], rtol=1e-4)
    assert found.sigma[-1] > 20 * np.median(found.sigma[:-1])


def test_its_error_is_that_of_the_pixels(points: F64) -> None:
    rng = np.random.default_rng(1)
    one, other = posed(pose(0), points, CAMERA), posed(pose(1.0), points, CAMERA)
    errors = []
    for _ in range(200):
        noise = rng.normal(0, MATCH_SIGMA_PX, one.features.pixels.shape)
        found = parallax(one, other, Matched(other.features.pixels + noise, np.arange(len(points))))
        errors.append((found.value - 1 / points[:, 2]) / found.sigma)
    assert np.nanstd(errors) == pytest.approx(1.0, abs=0.1)


def test_a_match_off_the_image_of_its_ray_or_behind_the_camera_is_none(points: F64) -> None:
    one, other = posed(pose(0), points, CAMERA), posed(pose(1.0), points, CAMERA)
    pixels = other.features.pixels.copy()
    pixels[0, 1] += 8
    pixels[1, 0] = one.features.pixels[1, 0] + 30  # it would lie where the rays part
    found = parallax(one, other, Matched(pixels, np.arange(len(points))))
    assert np.isnan(found.value[:2]).all()
    assert np.isfinite(found.value[2:]).all()


def test_most_neighbours_outvote_a_mismatch_and_one_alone_says_nothing() -> None:
    value = np.array([[0.10, 0.10, 0.1], [0.11, NAN, 0.3], [0.30, NAN, NAN]])
    sigma = np.array([[0.01, 0.01, 0.01], [0.02, NAN, 0.01], [0.01, NAN, NAN]])
    found = consensus(InverseDepth(value, sigma))
    assert found.value[0] == pytest.approx((0.10 / 0.01**2 + 0.11 / 0.02**2) / (0.01**-2 + 0.02**-2))
    assert found.sigma[0] == pytest.approx((0.01**-2 + 0.02**-2) ** -0.5)
    assert np.isnan(found.value[1:]).all()


def test_neighbours_are_the_nearest_that_look_the_same_way() -> None:
    poses = np.stack([*(pose(0, 0, float(z)) for z in range(12)), pose(0, 0, 5.1, turn_deg=180)])
    assert sorted(neighbours_of(poses, 5)) == [2, 3, 4, 6, 7, 8]
    assert len(neighbours_of(poses, 0)) == NEIGHBOURS
    assert len(neighbours_of(poses, 12)) == 0


@given(st.floats(0.3, 3.0), st.floats(0.0, 0.1))
def test_the_scale_of_a_networks_depth_is_found(factor: float, spread: float) -> None:
    rng = np.random.default_rng(2)
    true = rng.uniform(3, 30, 2000)
    depth = true / factor * np.exp(rng.normal(0, spread, true.shape))
    scale = LearnedScale.of(depth, InverseDepth(1 / true, 0.02 / true))
    assert scale.factor == pytest.approx(factor, rel=0.02)
    assert scale.spread == pytest.approx(spread, rel=0.1, abs=1e-3)


def test_too_little_to_compare_with_leaves_a_networks_depth_as_it_is() -> None:
    depth = np.full(1000, 8.0)
    nothing = np.full(1000, NAN)
    assert LearnedScale.of(depth, InverseDepth(nothing, nothing)) == LearnedScale(1.0, 0.0)


def test_what_is_seen_and_what_is_inferred_are_weighed_by_their_errors() -> None:
    #                 agree, disagree, inferred alone, seen alone, seen badly, neither
    seen = InverseDepth(
        np.array([0.10, 0.10, NAN, 0.2, 0.01, NAN]), np.array([0.01, 0.001, NAN, 0.01, 0.01, NAN])
    )
    inferred = np.array([10.0, 20.0, 4.0, NAN, NAN, NAN])
    depth, error = fuse(seen, inferred, np.where(np.isnan(inferred), NAN, 0.1), LearnedScale(1.0, 0.0))
    np.testing.assert_allclose(depth, [10.0, 10.0, 4.0, 5.0, NAN, NAN])
    np.testing.assert_allclose(error, [0.1 * 0.5**0.5, 0.01, 0.1, 0.05, NAN, NAN], rtol=1e-6)


def test_a_network_whose_depth_scatters_too_much_in_a_place_is_not_believed() -> None:
    nothing = InverseDepth(np.full(1, NAN), np.full(1, NAN))
    inferred, sigma = np.array([5.0]), np.array([0.05])
    depth, error = fuse(nothing, inferred, sigma, LearnedScale(2.0, 0.2))
    assert (depth[0], error[0]) == (pytest.approx(10.0), pytest.approx(0.2))
    assert np.isnan(fuse(nothing, inferred, sigma, LearnedScale(2.0, 0.3))[0]).all()
