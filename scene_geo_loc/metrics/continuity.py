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

"""Continuity of a drive and the errors of its localized images, as the street-view slides print them.

Protocol (Moutarde, 2019; see `published.slides_gis`): continuity is the number of localized images over all
images.  The mean error and all shares are over the localized images; the error is the distance of the camera
from its true position, here in three dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BIN_EDGES_M = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Bounds of the bins that shares are given for, metres; an error on a bound belongs to the bin above."""


@dataclass(frozen=True)
class Continuity:
    """Numbers of one drive.

    Attributes:
        queries, localized: number of images with a known true pose, and of localized ones among them.
        mean_m, median_m: errors of the localized images; None if there are none.
        bins: shares of the localized images with an error in the bins of `BIN_EDGES_M`.
        beyond: share of the localized images with an error of 4 m or more.
    """

    queries: int
    localized: int
    mean_m: float | None
    median_m: float | None
    bins: tuple[float, ...] | None
    beyond: float | None

    @property
    def share(self) -> float | None:
        """Share of the images that were localized; None if there are no images."""
        return self.localized / self.queries if self.queries else None

    @property
    def below_1m(self) -> float | None:
        """Share of the localized images with an error below 1 m."""
        return None if self.bins is None else self.bins[0]

    @property
    def below_2m(self) -> float | None:
        """Share of the localized images with an error below 2 m."""
        return None if self.bins is None else self.bins[0] + self.bins[1]


def continuity(errors_m: Sequence[float | None]) -> Continuity:
    """Returns the numbers of a drive from the error of each image, None for one that was not localized."""
    errors = np.array([error for error in errors_m if error is not None], np.float64)
    if len(errors) == 0:
        return Continuity(len(errors_m), 0, None, None, None, None)
    bins = [float(np.mean((errors >= low) & (errors < high))) for low, high in pairwise(BIN_EDGES_M)]
    return Continuity(
        queries=len(errors_m),
        localized=len(errors),
        mean_m=float(errors.mean()),
        median_m=float(np.median(errors)),
        bins=tuple(bins),
        beyond=float(np.mean(errors >= BIN_EDGES_M[-1])),
    )
