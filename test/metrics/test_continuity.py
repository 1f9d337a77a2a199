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

"""Continuity, mean error and shares of a drive: known answers, among them the slides' printed table."""

from __future__ import annotations

import pytest

from scene_geo_loc.metrics.continuity import continuity
from scene_geo_loc.metrics.published import slides_gis


def test_shares_are_of_the_localized_images_and_continuity_of_all() -> None:
    drive = continuity([0.0, 0.5, None, 1.0, 2.5, None, 4.0, 9.0])
    assert (drive.localized, drive.queries, drive.share) == (6, 8, 0.75)
    assert drive.mean_m == pytest.approx(17 / 6)
    assert drive.median_m == pytest.approx(1.75)
    assert drive.bins == pytest.approx((2 / 6, 1 / 6, 1 / 6, 0))
    assert drive.beyond == pytest.approx(2 / 6)  # 4 m itself is beyond
    assert drive.below_1m == pytest.approx(2 / 6)
    assert drive.below_2m == pytest.approx(3 / 6)


@pytest.mark.parametrize("errors", [[], [None, None]])
def test_nothing_localized_has_no_errors(errors: list[float | None]) -> None:
    drive = continuity(errors)
    assert (drive.localized, drive.queries) == (0, len(errors))
    assert (drive.mean_m, drive.median_m, drive.bins, drive.beyond) == (None, None, None, None)
    assert (drive.below_1m, drive.below_2m) == (None, None)
    assert drive.share == (0.0 if errors else None)


@pytest.mark.parametrize(
    ("printed", "counts"),
    [(slides_gis.street_2_original(), (30, 39, 61, 7)), (slides_gis.street_2_augmented(), (116, 77, 54, 34))],
)
def test_the_printed_shares_are_counts_of_the_localized_images(
    printed: slides_gis.PrintedContinuity, counts: tuple[int, ...]
) -> None:
    errors: list[float | None] = [bin + 0.5 for bin, count in enumerate(counts) for _ in range(count)]
    drive = continuity(errors + [None] * (printed.queries - printed.localized))
    assert (drive.localized, drive.queries) == (printed.localized, printed.queries)
    assert printed.bins is not None
    assert drive.bins == pytest.approx(printed.bins, abs=1e-4)
    assert drive.below_2m == pytest.approx(printed.below_2m, abs=5e-4)
    assert drive.share == pytest.approx(printed.continuity)
