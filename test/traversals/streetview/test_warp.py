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
"""Warps of panoramas by their depth, compared with scenes of known geometry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scene_geo_loc.geometry.equirectangular import Equirectangular, R_panorama_view
from scene_geo_loc.traversals.streetview.panorama import PanoramaPixels
from scene_geo_loc.traversals.streetview.rectified import Rectifier, pinhole
from scene_geo_loc.traversals.streetview.warp import Facets, Warp

GRID = Equirectangular(256, 128)
V, U = np.mgrid[:128, :256]
RAYS = GRID.rays(np.stack([U, V], axis=-1))
Scene = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Distances (...,) along unit rays (..., 3) from a place (3,); infinite for the sky."""


def plane(normal: tuple[float, float, float], offset: float) -> Scene:
    """The plane {X : normal X = offset}."""

    def distance(place: np.ndarray, rays: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            t = (offset - place @ normal) / (rays @ normal)
        return np.where(t > 0, t, np.inf)

    return distance


def limited(scene: Scene, axis: int, low: float, high: float) -> Scene:
    """The part of a surface within limits along an axis."""

    def distance(place: np.ndarray, rays: np.ndarray) -> np.ndarray:
        t = scene(place, rays)
        with np.errstate(invalid="ignore"):
            at = place[axis] + rays[..., axis] * t
            return np.where((at >= low) & (at <= high), t, np.inf)

    return distance


def nearest(*scenes: Scene) -> Scene:
    return lambda place, rays: np.min([scene(place, rays) for scene in scenes], axis=0)


ORIGIN = np.zeros(3)
FLOOR = plane((0, 1, 0), 2.0)
CORRIDOR = nearest(
    plane((1, 0, 0), 3), plane((-1, 0, 0), 3), FLOOR, plane((0, -1, 0), 3), plane((0, 0, 1), 20)
)
POST = limited(plane((0, 0, 1), 5), 0, -1, 1)
WALL = plane((0, 0, 1), 20)


def facets_of(scene: Scene) -> Facets:
    distance = scene(ORIGIN, RAYS)
    return Facets(np.where(np.isfinite(distance), distance, np.nan).astype(np.float32))


@pytest.mark.parametrize("shift", [(0.0, 0.0, 4.0), (1.0, 0.3, -2.0)])
def test_surfaces_lie_where_they_are_seen_from_beside(shift: tuple[float, float, float]) -> None:
    warp = Warp.of(facets_of(CORRIDOR), np.array(shift))
    true = CORRIDOR(np.array(shift), RAYS)
    sees_end = np.isfinite(plane((0, 0, -1), 1e3)(np.array(shift), RAYS)) & (RAYS[..., 2] < -0.9)
    seen = warp.visible & ~sees_end  # behind, the corridor is open
    assert seen.mean() > 0.9
    error = np.abs(warp.inverse[seen] * true[seen] - 1)
    assert np.median(error) < 1e-3
    assert np.mean(error < 0.03) > 0.97
    points = np.array(shift) + RAYS * true[..., None]
    pixels = GRID.project(points)
    expected = (pixels - np.stack([U, V], axis=-1)) * (np.pi / GRID.height)
    turn = np.abs(warp.offset - expected)
    turn[..., 0] = np.minimum(turn[..., 0], 2 * np.pi - turn[..., 0])
    is_level = seen & (np.abs(RAYS[..., 1]) < 0.9)
    assert np.median(turn[is_level]) < 1e-3
    assert np.quantile(turn[is_level], 0.97) < 0.03


def coloured() -> PanoramaPixels:
    """A panorama whose colours are directions."""
    v, u = np.mgrid[:512, :1024]
    rays = Equirectangular(1024, 512).rays(np.stack([u, v], axis=-1))
    return PanoramaPixels(np.round(127.5 * (1 + rays)).astype(np.uint8))


@pytest.mark.parametrize("distance", [5.0, 10.0, 20.0])
def test_a_wall_is_moved_by_its_parallax(distance: float) -> None:
    camera = pinhole(160, 120, 60.0)
    shift = np.array([1.5, 0.0, 0.5])
    warp = Warp.of(facets_of(nearest(plane((0, 0, 1), distance), FLOOR)), shift)
    view = Rectifier(camera).warped(coloured(), warp, R_panorama_view(0.0))
    assert view.visible is not None
    assert view.depth is not None
    pixel = np.array([[100.0, 50.0]])
    assert view.visible[50, 100]
    assert view.depth[50, 100] == pytest.approx(distance - 0.5, rel=2e-3)
    point = shift + camera.rays(pixel)[0] * (distance - 0.5)
    shown = view.image[50, 100] / 127.5 - 1
    np.testing.assert_allclose(shown, point / np.linalg.norm(point), atol=0.01)


def test_what_is_nearer_hides_what_is_farther_and_holes_are_only_where_nothing_is_seen() -> None:
    shift = np.array([3.0, 0.0, 0.0])
    warp = Warp.of(facets_of(nearest(POST, WALL)), shift)
    row = GRID.height // 2
    rays = RAYS[row]
    ahead = rays[:, 2] > 0.3
    post, wall = POST(shift, rays), WALL(shift, rays)
    is_post = post < wall
    with np.errstate(invalid="ignore"):
        on_wall = shift[0] + rays[:, 0] * wall
    hidden = ~is_post & (np.abs(on_wall) < 4)  # from the origin the post covers a fourfold of it there
    assert hidden[ahead].sum() > 5
    assert np.mean(warp.visible[row, ahead] == ~hidden[ahead]) > 0.97
    seen = ahead & warp.visible[row]
    with np.errstate(invalid="ignore"):
        error = np.abs(warp.inverse[row] * np.where(is_post, post, wall) - 1)
    assert np.mean(error[seen] < 0.02) > 0.97


def test_the_back_of_a_fence_is_not_seen_through() -> None:
    fence = limited(plane((1, 0, 0), 2.0), 2, -3.0, 3.0)
    warp = Warp.of(facets_of(nearest(fence, plane((-1, 0, 0), 8))), np.array([4.0, 0.0, 0.0]))
    row, column = GRID.height // 2, GRID.width // 4  # to the left
    assert not warp.visible[row, column]
    assert warp.visible[row, GRID.width // 4 + 45]  # past its end


def test_the_sky_stays_where_it_is_and_has_no_distance() -> None:
    scene = nearest(FLOOR, limited(plane((0, 0, 1), 10), 1, -4, 5))
    warp = Warp.of(facets_of(scene), np.array([0.0, 0.0, 3.0]))
    up = RAYS[..., 1] < -0.8
    assert warp.visible[up].all()
    assert not warp.inverse[up].any()
    assert np.abs(warp.offset[up]).max() < 1e-9
    blank = Warp.of(Facets(np.full((128, 256), np.nan, np.float32)), np.array([0.0, 0.0, 3.0]))
    down = RAYS[..., 1] > 0.5
    assert not blank.visible[down].any()


def test_without_a_shift_nothing_changes() -> None:
    warp = Warp.of(facets_of(CORRIDOR), np.array([1e-9, 0.0, 0.0]))
    away_from_poles = np.abs(RAYS[..., 1]) < 0.95
    assert warp.visible[away_from_poles].mean() > 0.99
    assert np.quantile(np.abs(warp.offset[warp.visible & away_from_poles]), 0.99) < 1e-6


@pytest.mark.parametrize(("shift", "expected"), [((0, 0, 4), 20.0), ((2, 0, 0), 3.0)])
def test_the_way_is_free_until_something_is_near(shift: tuple[float, ...], expected: float) -> None:
    free = facets_of(CORRIDOR).nearest_m(np.array(shift, float), 0.5)
    assert free == pytest.approx(expected, abs=0.3)


def test_a_post_beside_the_way_blocks_it() -> None:
    beside = limited(plane((0, 0, 1), 5), 0, 0.2, 1)
    assert facets_of(nearest(beside, WALL)).nearest_m(np.array([0, 0, 8.0]), 0.5) == pytest.approx(5, abs=0.1)
    assert facets_of(nearest(beside, WALL)).nearest_m(np.array([0, 0, 8.0]), 0.1) > 15
