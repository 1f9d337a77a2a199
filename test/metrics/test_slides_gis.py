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

"""The slides' printed numbers agree with each other, or with what is said about where they do not."""

from __future__ import annotations

import pytest

from scene_geo_loc.metrics.published import slides_gis


def test_augmenting_doubles_the_continuity() -> None:
    original, augmented = slides_gis.street_2_original(), slides_gis.street_2_augmented()
    assert original.continuity == pytest.approx(0.131, abs=5e-4)
    assert augmented.continuity / original.continuity == pytest.approx(2.05, abs=0.01)
    assert original.spacing_m == pytest.approx(17.8, abs=0.05)
    assert original.below_2m == pytest.approx(0.2189 + 0.2847)


def test_the_printed_means_are_larger_than_the_printed_shares_allow() -> None:
    for street, largest_m in (
        (slides_gis.street_2_original(), 2.33),
        (slides_gis.street_2_augmented(), 2.02),
    ):
        assert street.largest_mean_m == pytest.approx(largest_m, abs=0.005)
        assert street.mean_error_m > largest_m


def test_the_first_street_has_no_shares_but_that_below_2_m() -> None:
    street = slides_gis.street_1()
    assert (street.bins, street.largest_mean_m, street.below_2m) == (None, None, 0.586)
    assert round(street.localized * street.below_2m) == 34


def test_virtual_views_and_regression_have_the_printed_rows() -> None:
    views = slides_gis.virtual_views()
    assert [(row.distance_m, row.invalid_positions) for row in views] == [(2, 0), (4, 3), (6, 11), (8, 27)]
    assert [row.share_with_null_pixels for row in views] == [0, 0.125, 0.5, 1]
    assert [row.distance_m for row in views if row.is_uniform] == [4, 6]
    rows = {row.sequence: row for row in slides_gis.pose_regression()}
    assert (rows["1"].features_m, rows["1"].network_m) == (2.85, 7.62)
    assert (rows["F"].features_m, rows["3"].network_m) == (None, None)
    assert all(row.virtual_views == 40 * row.panoramas for row in rows.values())
