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

"""Numbers printed in the slides on localization in street-view panoramas (Moutarde, 2019), beside ours.

Visual ego-Localization with Deep-Learning using GIS images & on-board camera, F. Moutarde, MINES ParisTech,
October 2019, on the work of L. Yu (PhD thesis, MINES ParisTech, 2018).  All were measured with a car's camera
(57.6° field of view, 640 x 480, 20 images a second) in geo-tagged panoramas of real streets; the ground truth
is RTK GPS of better than 0.2 m.  Shares are of the localized images.

The printed mean errors of the second street (3.82 and 3.19 m) are larger than any mean that its printed
shares allow (2.33 and 2.02 m, `PrintedContinuity.largest_mean_m`); both are kept as printed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

SLIDES = "Visual ego-Localization with Deep-Learning using GIS images (slides, 2019)"


@dataclass(frozen=True)
class PrintedContinuity:
    """Continuity and errors that the slides print for a drive along one street.

    Attributes:
        street_m: length of the street.
        panoramas: number of panoramas in it.
        virtual_panoramas: number of views between them, made of their images and depth.
        localized, queries: number of localized images, and of all.
        mean_error_m: mean error of the localized images; of the first street an upper bound.
        bins: shares of the localized images with an error of 0 to 1, 1 to 2, 2 to 3 and 3 to 4 m; None where
            they are not printed.
        below_2m: share of the localized images with an error below 2 m.
    """

    street_m: float
    panoramas: int
    virtual_panoramas: int
    localized: int
    queries: int
    mean_error_m: float
    bins: tuple[float, ...] | None
    below_2m: float

    @property
    def spacing_m(self) -> float:
        """Mean distance between panoramas."""
        return self.street_m / self.panoramas

    @property
    def continuity(self) -> float:
        """Share of the images that were localized."""
        return self.localized / self.queries

    @property
    def largest_mean_m(self) -> float | None:
        """Largest mean error that the printed shares allow; None where they are not printed."""
        return None if self.bins is None else sum(i * share for i, share in enumerate(self.bins, start=1))


@dataclass(frozen=True)
class PrintedVirtualViews:
    """Numbers that the slides print for virtual views at one distance from their panorama.

    Attributes:
        distance_m: distance ahead of and behind the panorama.
        invalid_positions: number of positions where no camera can be.
        is_uniform: whether panoramas and virtual views are evenly spread along the street.
        share_with_null_pixels: share of the virtual views that have pixels without content.
    """

    distance_m: float
    invalid_positions: int
    is_uniform: bool
    share_with_null_pixels: float


@dataclass(frozen=True)
class PrintedRegression:
    """Mean errors that the slides print for one drive; None where the method failed.

    Attributes:
        sequence: name of the drive.
        length_m: its length.
        images, panoramas, virtual_views: number of queries, of panoramas and of views made of these.
        features_m: mean error of image features and geometry.
        network_m: mean error of a network that regresses x, y and the heading.
    """

    sequence: str
    length_m: float
    images: int
    panoramas: int
    virtual_views: int
    features_m: float | None
    network_m: float | None


@cache
def _tables() -> dict[str, Any]:
    return json.loads(files("scene_geo_loc.metrics.published").joinpath("slides_gis.json").read_text())


def street_1() -> PrintedContinuity:
    """Returns the numbers of the first street: 13 panoramas in 287 m."""
    return _continuity("street_1")


def street_2_original() -> PrintedContinuity:
    """Returns the numbers of the second street: 28 panoramas in 498 m."""
    return _continuity("street_2_original")


def street_2_augmented() -> PrintedContinuity:
    """Returns the numbers of the second street with virtual views 4 m ahead of and behind its panoramas."""
    return _continuity("street_2_augmented")


def virtual_views() -> list[PrintedVirtualViews]:
    """Returns the numbers of virtual views by their distance, nearest first."""
    return [PrintedVirtualViews(*row) for row in _tables()["virtual_views"]["rows"]]


def pose_regression() -> list[PrintedRegression]:
    """Returns the errors of features and of a network, drive by drive."""
    return [PrintedRegression(*row) for row in _tables()["pose_regression"]["rows"]]


def _continuity(name: str) -> PrintedContinuity:
    row = dict(_tables()[name])
    percent = row.pop("bins_percent", None)
    bins = None if percent is None else tuple(value / 100 for value in percent)
    below = row.pop("below_2m_percent", None)
    if below is None:
        assert percent is not None, "each street has the shares or that below 2 m"
        below = percent[0] + percent[1]
    return PrintedContinuity(**row, bins=bins, below_2m=below / 100)
