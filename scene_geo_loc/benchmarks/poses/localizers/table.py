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

"""Table of the localizers side by side, as text."""

from __future__ import annotations

from scene_geo_loc.benchmarks.poses.errors import BOUNDS, Place
from scene_geo_loc.benchmarks.poses.localizers.results import LocalizerResult
from scene_geo_loc.benchmarks.poses.text import Line, number, share

NOTE = (
    "Medians are over all queries; one that is not localized keeps the pose before verification. Covered: "
    "per cent of the poses whose 95 % ellipsoid holds the true position. Rank: rank correlation of the "
    "stated standard deviation with the error. Unseen: per cent of the images of another place that were "
    "localized, all of them wrongly, and the area under the ROC curve of telling the places apart by the "
    "inlier ratio or, without inliers, by the stated deviation. Minutes: to make the map. "
    "In the pictures a full mark stands for a localizer that localized half of the images or more."
)


def headings(place: Place) -> list[str]:
    """Returns the headings of the columns after the localizer's name."""
    within = [f"within {name}" for name in BOUNDS[place]]
    return [
        "images",
        "metres",
        "degrees",
        *within,
        "localized",
        "wrong fixes",
        "covered",
        "rank",
        "unseen localized",
        "unseen area",
        "map MB",
        "minutes",
        "ms",
    ]


def lines(place: Place, localizers: list[LocalizerResult]) -> list[Line]:
    """Returns a line for each localizer."""
    return [Line(result.name, _cells(place, result)) for result in localizers]


def _cells(place: Place, result: LocalizerResult) -> list[str]:
    unseen = result.unseen
    return [
        number(result.images, 0),
        number(result.median_m, 3),
        number(result.median_deg, 2),
        *(share(float(result.within(bound).mean())) for bound in BOUNDS[place].values()),
        share(result.localized_share),
        number(result.wrong_fixes(place), 0),
        share(result.covered_share),
        number(result.rank_correlation, 2),
        share(None if unseen is None else unseen.localized / unseen.queries),
        number(None if unseen is None else unseen.area, 2),
        number(result.map_mb, 1),
        number(result.minutes, 1),
        number(result.median_ms, 1),
    ]
