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

"""Scale of a pose whose keyframes' features have no depth: the matches that fix it, and how many are enough.

Keyframes at one place, such as the views of a panorama, give the direction of a camera from there and no
distance.  Matches with depth, or with keyframes at a second place, fix it; a few of them agree by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scene_geo_loc.localization.pnp import RAY_ERROR
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.solution import Solution
from scene_geo_loc.localization.solvers.ray_pairs import place_numbers
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind

MIN_SCALE_INLIERS = 12
"""Least number of inliers that fix the scale: those with depth, and those of the second best place."""

CHANCE_FACTOR = 3.0
"""They must be this many times as many as agree by chance."""


@dataclass(frozen=True)
class ScaleSupport:
    """Inliers that fix the scale of a pose, and how many of them are needed.

    Attributes:
        inliers: inliers with depth, and those without of all places but the one with most.
        needed: least number that counts.
    """

    inliers: int
    needed: int

    @classmethod
    def of(
        cls, solution: Solution | None, queries: Sequence[QueryMatches], max_error_px: float
    ) -> ScaleSupport:
        """Returns the support of a solution's scale; of no solution, that there is none.

        A pixel lies within the error of an inlier of any epipolar line with the probability that the band
        around the line takes of the image, of which `CHANCE_FACTOR` times as many must agree.
        """
        with_depth = sum(int(query.geometry.has_depth.sum()) for query in queries)
        if solution is None or all(query.geometry.has_depth.all() for query in queries):
            return cls(with_depth, 0 if with_depth else MIN_SCALE_INLIERS)
        with_depth, origins, inliers, chance = 0, [], [], 0.0
        for query, inlier in zip(queries, solution.inliers, strict=True):
            matches = query.geometry
            with_depth += int((inlier & matches.has_depth).sum())
            origins.append(matches.where(~matches.has_depth).rays[0])
            inliers.append(inlier[~matches.has_depth])
            chance = max(chance, 2 * max_error_px / RAY_ERROR / query.camera.height)
        place, agrees = place_numbers(np.concatenate(origins)), np.concatenate(inliers)
        counts = np.bincount(place[agrees], minlength=int(place.max(initial=0)) + 1)
        others = np.ones(len(place), bool) if counts.size == 0 else place != counts.argmax()
        needed = max(MIN_SCALE_INLIERS, round(CHANCE_FACTOR * chance * int(others.sum())))
        return cls(with_depth + int((others & agrees).sum()), needed)

    @property
    def rejection(self) -> Rejection | None:
        """Why the scale is not fixed, or None."""
        if self.inliers >= self.needed:
            return None
        return Rejection(RejectionKind.NO_SCALE, self.inliers, self.needed)
