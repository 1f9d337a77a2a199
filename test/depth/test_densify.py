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

"""Dense depth from sparse depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scene_geo_loc.depth.densify import densify

HEIGHT, WIDTH = 60, 80


def sparse_of(depth: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    known = np.random.default_rng(seed).random(depth.shape) < share
    return np.where(known, depth, np.nan).astype(np.float32)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.001, 0.001), st.floats(-0.001, 0.001), st.floats(0.1, 1.0), st.integers(0, 9))
def test_a_plane_is_filled_with_the_plane(a: Any, b: Any, c: Any, seed: int) -> None:
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    plane = 1.0 / (c + a * (u - 40) * c + b * (v - 30) * c)
    dense = densify(sparse_of(plane, 0.3, seed))
    inner = dense[8:-8, 8:-8]
    assert np.isfinite(inner).mean() > 0.99
    np.testing.assert_allclose(inner[np.isfinite(inner)], plane[8:-8, 8:-8][np.isfinite(inner)], rtol=1e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(10, 60), st.integers(10, 40))
def test_a_plane_goes_on_across_a_gap(left: Any, top: Any) -> None:
    v = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    road = 1.6 * 80.0 / (v + 4.0)
    sparse = sparse_of(road, 0.4)
    sparse[top : top + 6, left : left + 6] = np.nan
    gap = densify(sparse)[top : top + 6, left : left + 6]
    assert np.isfinite(gap).all()
    np.testing.assert_allclose(gap, road[top : top + 6, left : left + 6], rtol=0.01)


def test_where_nothing_was_measured_nothing_is_said() -> None:
    sparse = sparse_of(np.full((HEIGHT, WIDTH), 7.0), 0.2)
    sparse[:30] = np.nan
    dense = densify(sparse)
    assert np.isnan(dense[:15]).all()
    assert np.isfinite(dense[35:]).mean() > 0.99
    assert np.isnan(densify(np.full((HEIGHT, WIDTH), np.nan, np.float32))).all()


def two_surfaces() -> tuple[np.ndarray, np.ndarray]:
    """A near and a far surface with a slanted edge between them, and their picture."""
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    near = u < 30 + v / 3
    image = np.where(near[..., None], 60, 180) * np.ones(3)
    return np.where(near, 4.0, 20.0), image.astype(np.uint8)


@pytest.mark.parametrize("with_image", [False, True])
def test_no_depth_hangs_in_the_air_between_two_surfaces(with_image: bool) -> None:
    depth, image = two_surfaces()
    dense = densify(sparse_of(depth, 0.15), image if with_image else None)
    known = dense[np.isfinite(dense)]
    assert (np.minimum(np.abs(known / 4.0 - 1), np.abs(known / 20.0 - 1)) < 0.07).all()


def test_the_image_tells_where_the_edge_runs() -> None:
    depth, image = two_surfaces()
    sparse = sparse_of(depth, 0.15)

    def wrong(dense: np.ndarray) -> int:
        return int((np.abs(dense / depth - 1) > 0.1).sum())

    assert wrong(densify(sparse, image)) < 0.5 * wrong(densify(sparse))


@pytest.mark.parametrize("step", [2, 8])
def test_the_depth_of_some_pixels_is_that_of_all(step: int) -> None:
    """Few pixels are computed in another way than many; with gaps, an edge and a sky."""
    depth, image = two_surfaces()
    image[:20] = 255
    sparse = sparse_of(depth, 0.15)
    sparse[:20] = np.nan
    sparse[40:48, 10:30] = np.nan
    wanted = np.zeros(sparse.shape, bool)
    wanted[3::step, 1::step] = True
    dense = densify(sparse, image)
    dense[~wanted] = np.nan
    some = densify(sparse, image, wanted)
    assert 0.5 < np.isfinite(some[wanted]).mean() < 1
    np.testing.assert_allclose(some, dense, rtol=1e-5)


def test_sky_between_leaves_stays_unknown() -> None:
    leaves = np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.5
    image = np.where(leaves[..., None], 60, 230) * np.ones(3)
    depth = np.where(leaves, np.random.default_rng(2).uniform(8, 12, leaves.shape), np.nan)
    sparse = np.where(leaves & (sparse_of(depth, 0.6) > 0), depth, np.nan).astype(np.float32)

    def invented(dense: np.ndarray) -> float:
        return float(np.isfinite(dense[~leaves]).mean())

    assert invented(densify(sparse, image.astype(np.uint8))) < 0.1
    assert invented(densify(sparse)) > 0.8


def test_white_paint_on_a_road_is_no_sky() -> None:
    v = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    image = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
    image[:, 38:42] = 240
    dense = densify(sparse_of(1.6 * 80.0 / (v + 10.0), 0.5), image)
    assert np.isfinite(dense[6:-6, 38:42]).mean() > 0.95


def test_the_input_stays_as_it_was() -> None:
    sparse = sparse_of(np.full((HEIGHT, WIDTH), 3.0), 0.1)
    before = sparse.copy()
    dense = densify(sparse)
    np.testing.assert_array_equal(sparse, before)
    assert dense.dtype == np.float32
    assert dense.shape == sparse.shape
