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

"""The pose that the matches of a query agree with (Piasco et al., BMVC 2019, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.pnp import CameraMatches, refine_pnp
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.rolling_shutter import FITS
from scene_geo_loc.localization.solution import Solution, all_of, by_camera, by_candidate, propose
from scene_geo_loc.localization.solvers.robust_pnp import FIRST_SEARCH
from scene_geo_loc.localization.verification.verifier import Verifier

FIRST_MATCHES = 400
"""Largest number of matches of all candidates together that a first pose is searched with."""

WIDE_FIT_WIDTH = 2.0
"""The fit that brings a first pose near to all matches takes this multiple of an inlier's largest error."""

WIDE_FIT_STEP = 3
"""That fit takes every n-th of the matches."""

WIDE_FIT_STEPS = 3
"""Number of Gauss-Newton steps of that fit; the fit after it is in full."""


class PoseSolver:
    """Solves poses from the matches of all cameras of a query.

    Args:
        settings: how poses are proposed, and whether they are fitted.
        verifier: judges proposals.
        limit: largest error of an inlier, pixels of the network's input.
        has_rays: True if the keyframes have rays in place of depth.
    """

    def __init__(
        self, settings: LocalizerSettings, verifier: Verifier, limit: float, *, has_rays: bool
    ) -> None:
        self._settings, self._verifier = settings, verifier
        self._limit, self._has_rays = limit, has_rays

    def first_pose(self, rough: QueryMatches) -> Solution | None:
        """Returns a pose from some of the matches with all candidates if it passes the checks, else None."""
        matches, limit = [rough.geometry], self._limit
        some = np.zeros(len(rough.matches), bool)
        some[:: -(-len(some) // FIRST_MATCHES) or 1] = True
        solution = propose(matches, [some], limit, effort=FIRST_SEARCH)
        if solution is None or self._verifier.reject(solution, [rough]) is not None:
            return None
        return solution

    def solve(self, queries: Sequence[QueryMatches]) -> Solution | None:
        """Returns the pose that most matches agree with (section 3.4).

        With the refinement "per_candidate", the paper's rule, a pose is solved from the matches of each
        candidate, and the one with the best inlier ratio is taken.  With "pooled", one pose is solved from
        all matches together, which the known poses of the keyframes allow.  If that pose is rejected, because
        too few candidates show the place, a pose is solved for each camera and then for each candidate, and
        the one with most inliers is taken.

        The pixels of a rolling shutter are set by the depth of their points at that pose, and it is fitted
        again.
        """
        solution = self._solve(queries)
        if solution is None or all(query.rolling is None for query in queries):
            return solution
        for _ in range(FITS):
            for query in queries:
                query.set_rows_at(solution.T_map_base)
            matches = [query.geometry for query in queries]
            solution = self._fitted(solution.at(solution.T_map_base, matches, self._limit), matches)
        return solution

    def _solve(self, queries: Sequence[QueryMatches]) -> Solution | None:
        """Returns the pose by the pixels as they are; see `solve`."""
        limit = self._limit
        matches = [query.geometry for query in queries]
        if self._settings.refinement == "per_candidate":
            proposals = [
                propose(matches, voters, limit, only_voters=True) for voters in by_candidate(queries)
            ]
            found = [proposal for proposal in proposals if proposal is not None]
            return max(found, key=lambda proposal: max(proposal.ratios), default=None)
        # Without depth, a pose by a subset of the features is too rough to start from.
        if self._settings.final_fit and not self._has_rays:
            first = [query.first_T_map_base for query in queries if query.first_T_map_base is not None]
            fitted = [self._fitted(self._widely_fitted(T, matches), matches) for T in first]
            best = max(fitted, key=lambda solution: solution.count, default=None)
            if best is not None and self._verifier.reject(best, queries) is None:
                return best
        best = propose(matches, all_of(matches), limit)
        for groups in (by_camera(matches), by_candidate(queries)):
            if best is not None and self._verifier.reject(best, queries) is None:
                break
            proposals = [best, *(propose(matches, voters, limit) for voters in groups)]
            found = [proposal for proposal in proposals if proposal is not None]
            best = max(found, key=lambda proposal: proposal.count, default=None)
        return self._fitted(best, matches) if best is not None and self._settings.final_fit else best

    def _widely_fitted(self, T_map_base: Pose, matches: Sequence[CameraMatches]) -> Solution:
        """Returns the solution of a fit to all matches near a first pose, which is less precise than theirs.

        Matches with near points are off by more than an inlier may be: a narrow fit would leave them out.
        """
        limit = self._limit
        some = [camera.where(slice(None, None, WIDE_FIT_STEP)) for camera in matches]
        T = refine_pnp(T_map_base, some, WIDE_FIT_WIDTH * limit, WIDE_FIT_STEPS)
        return Solution(T, all_of(matches), []).at(T, matches, limit)

    def _fitted(self, solution: Solution, matches: Sequence[CameraMatches]) -> Solution:
        """Returns the solution of a robust fit to the matches of the cameras that confirm a pose."""
        limit = self._limit
        confirming = [matches[i] for i in solution.confirming(self._verifier.limits.inlier_ratio)]
        if not confirming:  # nothing matches in full, although some of the features agreed
            return solution
        refined = solution.at(refine_pnp(solution.T_map_base, confirming, limit), matches, limit)
        return refined if refined.count else solution
