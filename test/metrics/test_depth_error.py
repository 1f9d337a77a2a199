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

"""Errors of dense depth: known results, and conditions of a fair comparison."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.metrics.depth_error import (
    HELD_OUT_SHARE,
    METHODS,
    DepthErrors,
    DepthReport,
    held_out_blocks,
    held_out_points,
)
from scene_geo_loc.plots.depth_pictures import (
    INVENTED,
    UNKNOWN,
    depth_colours,
    error_colours,
    example_picture,
)

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 96, 128
NAN = np.float32(np.nan)


def road() -> np.ndarray:
    v = np.arange(HEIGHT, dtype=np.float32)[:, None] + np.zeros((1, WIDTH), np.float32)
    return 1.6 * 100.0 / (v + 10.0)


def sparse_of(depth: np.ndarray, share: float = 0.3) -> np.ndarray:
    known = np.random.default_rng(3).random(depth.shape) < share
    return np.where(known, depth, NAN).astype(np.float32)


GREY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def test_errors_have_known_values() -> None:
    truth = np.array([[10.0, 10.0, 10.0, 10.0]], np.float32)
    guess = np.array([[11.0, 10.0, 20.0, NAN]], np.float32)
    errors = DepthErrors()
    errors.add(guess, truth, np.ones((1, 4), bool), np.ones((1, 4), bool))
    assert errors.summary() == {
        "coverage": 0.75,
        "abs_rel": pytest.approx(1.1 / 3),
        "rmse_m": pytest.approx(np.sqrt(101 / 3)),
        "within_1_25": pytest.approx(2 / 3),
    }


def test_errors_of_many_maps_are_pooled_over_pixels() -> None:
    truth, everything = np.full((1, 2), 4.0, np.float32), np.ones((1, 2), bool)
    errors = DepthErrors()
    errors.add(np.array([[5.0, NAN]], np.float32), truth, everything, everything)
    errors.add(np.array([[4.0, 4.0]], np.float32), truth, everything, everything)
    assert errors.summary()["abs_rel"] == pytest.approx(0.25 / 3)
    assert errors.summary()["coverage"] == 0.75


def test_nothing_judged_gives_no_numbers() -> None:
    assert set(DepthErrors().summary().values()) == {None}


def test_a_share_of_the_points_is_held_out_and_no_other_pixel() -> None:
    sparse, rng = sparse_of(road()), np.random.default_rng(0)
    for held_out in (held_out_points, held_out_blocks):
        asked = np.mean([held_out(sparse, rng)[np.isfinite(sparse)].mean() for _ in range(20)])
        assert asked == pytest.approx(HELD_OUT_SHARE, abs=0.03)
        assert not held_out(sparse, rng)[np.isnan(sparse)].any()


def test_blocks_are_held_out_whole() -> None:
    sparse = road().astype(np.float32).repeat(5, axis=0).repeat(5, axis=1)
    asked = held_out_blocks(sparse, np.random.default_rng(0))
    blocks = asked[: 12 * 40, : 12 * 53].reshape(40, 12, 53, 12)
    assert set(np.unique(blocks.mean(axis=(1, 3)))) == {0.0, 1.0}


def test_held_out_points_do_not_reach_the_methods() -> None:
    asked_of: list[np.ndarray] = []
    sparse = sparse_of(road())
    report = DepthReport()
    before = METHODS["ours"]
    METHODS["ours"] = lambda rest, image: (asked_of.append(rest), before(rest, image))[1]
    try:
        report.add(sparse, GREY, None, seed=0)
    finally:
        METHODS["ours"] = before
    assert len(asked_of) == 2
    for rest in asked_of:
        assert np.isfinite(rest).sum() < 0.9 * np.isfinite(sparse).sum()


def test_all_methods_are_judged_on_the_same_pixels() -> None:
    report = DepthReport()
    report.add(sparse_of(road()), GREY, None, seed=0)
    for methods in report.errors.values():
        assert len({methods[name].compared for name in ("nearest point", "linear", "ours")}) == 1
        assert methods["sparse only"].summary()["coverage"] == 0.0
        assert methods["nearest point"].summary()["coverage"] == 1.0


def test_a_road_is_made_dense_better_than_by_the_nearest_point() -> None:
    report = DepthReport()
    report.add(sparse_of(road()), GREY, None, seed=0)
    for kind in ("points", "blocks"):
        ours, nearest = (report.errors[kind][name].summary() for name in ("ours", "nearest point"))
        assert ours["abs_rel"] < 0.01 < nearest["abs_rel"]
        assert ours["coverage"] > 0.9


def test_depth_in_the_sky_counts_as_invented() -> None:
    truth = road()
    truth[:40] = NAN
    report = DepthReport()
    report.add(sparse_of(truth), GREY, truth, seed=0)
    numbers = report.to_dict()
    assert report.errors["truth"]["ours"].summary()["coverage"] > 0.9
    assert numbers["invented"]["nearest point"] == 1.0
    assert numbers["invented"]["sparse only"] == 0.0
    assert numbers["invented"]["ours"] < 0.05


def test_a_map_without_points_is_judged_without_a_crash() -> None:
    report = DepthReport()
    report.add(np.full((HEIGHT, WIDTH), NAN), GREY, None, seed=0)
    assert report.to_dict()["errors"] == {}


def test_colours_tell_unknown_invented_and_wrong() -> None:
    depth = np.array([[NAN, 5.0, 5.0, 5.0]], np.float32)
    truth = np.array([[5.0, NAN, 5.0, 10.0]], np.float32)
    colours = error_colours(depth, truth, np.array([[False, True, False, False]]))
    assert tuple(colours[0, 0]) == UNKNOWN
    assert tuple(colours[0, 1]) == INVENTED
    assert colours[0, 2].max() < 10 < 200 < colours[0, 3].max()
    near, far = depth_colours(np.array([[3.5, 70.0]], np.float32))[0]
    assert near[0] > near[2]
    assert far[2] > far[0]


@pytest.mark.parametrize("with_truth", [False, True])
def test_a_picture_shows_image_points_depth_and_error(with_truth: bool) -> None:
    picture = example_picture(GREY, sparse_of(road()), road() if with_truth else None, height=48)
    assert picture.shape == (96, 128, 3)
    np.testing.assert_array_equal(picture[:48, :64], 90)
    assert len(np.unique(picture[48:, :64].reshape(-1, 3), axis=0)) > 10
