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

"""A second opinion on a rejected pose: what the keyframes around it show.

In sparse maps, by night and through other lenses a right pose has a low inlier ratio: few of a keyframe's
features are the nearest neighbours of their own among all of an image's, and of panoramas, 10 to 50 m apart,
most of the retrieved keyframes show none of the place.  The keyframes around the pose show it if the pose is
right.  Features are matched again with those that the pose has near to them, among which many more find their
own, and the pose is fitted to these matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import Pose, position_error_m
from scene_geo_loc.localization.estimate import Candidate, Matches, PoseEstimate, Status
from scene_geo_loc.localization.pnp import refine_pnp
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.second_look.guided_matches import guided_matches
from scene_geo_loc.localization.solution import Solution, all_of
from scene_geo_loc.localization.verification.confidence import guided_model_of, model_of
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.localization.verification.verifier import PRECISE, Verifier
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.base import GuidedLimits, Matcher

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer

FARTHEST_M = 30.0
"""Largest distance of a keyframe around a pose, metres: beyond, hardly any features match."""

MAX_TURN_DEG = 45.0
"""Largest angle between the viewing directions."""

DEG_PER_M = 4.0
"""Angle that counts as a distance of one metre when the nearest are chosen."""

STRICTER = 1.25
"""The inlier ratio that such a pose needs, as a multiple of that of a first one: more can agree by chance."""

LOOKED_AT = frozenset(
    {
        RejectionKind.INLIERS,
        RejectionKind.INLIER_RATIO,
        RejectionKind.PRECISE_RATIO,
        RejectionKind.CONFIDENCE,
    }
)
"""Rejections of poses for lack of support; more of it does not help against others.

Nor against too little coverage: matches that are looked for near a pose cover the image by chance.
"""

DOUBTED, APART_M = 0.9, 1.0
"""Confidence below which an accepted pose is looked at again, too, and the distance from which on another
replaces it.

On a street with a keyframe every 10 m such poses were up to 2.9 m off, one window further along it.
"""

REACHES = (2.8, 2.8, 2.1)
"""Distances, as multiples of an inlier's largest error, within which a pose is looked for matches again.

By chance 1 / 2.1^2 = 23 % of the matches of the last time are inliers, and 2.5 % precise ones.
"""

STARTS_M = (0.0, -1.0, 1.0, -2.5, 2.5)
"""Distances along the view by which a pose is moved before its matches are looked for again, metres.

Façades repeat, and a pose that is one window off along the street stays there; its best matches do not.
"""

OTHER_FOCALS = (0.9, 1.1)
"""Focal lengths, in multiples of that of the intrinsics, by which matches are looked for again near a pose.

Matches that are looked for by the intrinsics agree with these, so that a focal length fitted to them does not
tell of another lens; the number of precise ones does, where it grows by more than its square root.
"""

GUIDED_FARTHEST_M = 15.0
"""Largest distance of a pose by such matches from the nearest keyframe, metres.

Farther ones stayed where the first pose had been, up to 2.4 m off, as its matches were looked for around it.
"""

GUIDED_EXCESS = 2.0
"""Factor on the standard deviations by residuals of such poses, for the same reason."""

GUIDED_KEYFRAMES = 8
"""Number of keyframes around a pose whose features are matched near to where it has them."""

MIN_INLIERS = 15
"""Least number of inliers of a pose whose surroundings are looked at."""

SECOND_PANORAMA = 15
"""Inliers with other panoramas than the one that most are with, by which these confirm a pose.

Matches that are looked for near a pose agree with it, and those with the views of one panorama with many a
wrong one: every 50 m, 32 of 292 poses that one panorama alone confirmed were off by more than 1 m, the worst
by 75 m; of 202 poses by two panoramas 4, by 2.4 m at most.  On drives, whose depth is not coarse, 18 of 19
poses by a single keyframe were right.
"""

ALONE_INLIERS, ALONE_RATIO, ALONE_PRECISE = 100, 0.5, 0.2
"""Least number of inliers, and shares of inliers and precise ones, of such matches with one panorama alone.

Of those 292 poses, 136 have them; they are off by at most 0.93 m.
"""


Fit = tuple[Solution, list[QueryMatches]]
"""A pose, and the images with the matches that were looked for near it."""


class Surroundings:
    """Verifies rejected and doubted poses by the keyframes around them.

    Attributes:
        guided_verifier: decides on poses whose matches were looked for near them; None where none are.

    Args:
        localizer: of a map that they help in, see `help_in`.
    """

    def __init__(self, localizer: Localizer) -> None:
        self._localizer = localizer
        self._map, verifier = localizer.map, localizer.verifier
        self._verifier = verifier.stricter(STRICTER * verifier.limits.inlier_ratio)
        self._guided = _guided_limits(localizer.map, localizer.matcher)
        self.guided_verifier: Verifier | None = None
        if self._guided is not None:
            limits = replace(
                verifier.limits,
                inlier_ratio=max(self._guided.inlier_ratio, verifier.limits.inlier_ratio),
                precise_ratio=max(self._guided.precise_ratio, verifier.limits.precise_ratio),
                coverage=max(self._guided.coverage, verifier.limits.coverage),
                confidence=max(self._guided.confidence, verifier.limits.confidence),
            )
            model = guided_model_of(localizer.matcher) or model_of(localizer.matcher)
            self.guided_verifier = verifier.having(limits, model, GUIDED_EXCESS)

    @staticmethod
    def help_in(reference_map: ReferenceMap, matcher: Matcher) -> bool:
        """Returns whether rejected poses in a map are verified by the keyframes around them.

        Those around a pose on a drive are mostly those that were retrieved: without matches that are looked
        for near the pose they show nothing new.
        """
        return reference_map.info.geo_tags is not None or _guided_limits(reference_map, matcher) is not None

    def are_asked_about(self, estimate: PoseEstimate) -> bool:
        """Returns whether a pose is rejected for lack of support, or accepted and yet in doubt."""
        if estimate.status is not Status.LOCALIZED or self.guided_verifier is None:
            return estimate.kind in LOOKED_AT
        return estimate.confidence is not None and estimate.confidence < DOUBTED

    def second_opinion(
        self, estimate: PoseEstimate, solution: Solution | None, queries: Sequence[QueryMatches]
    ) -> tuple[PoseEstimate, Solution, list[QueryMatches]] | None:
        """Returns the estimate that takes the place of a rejected or doubted one; None where that one stays.

        Args:
            estimate: of the pose of the solution.
            solution, queries: as of `verify`.
        """
        confirmed = self.verify(solution, queries)
        if confirmed is None or solution is None or estimate.status is not Status.LOCALIZED:
            return confirmed
        is_apart = position_error_m(solution.T_map_base, confirmed[1].T_map_base) >= APART_M
        return confirmed if is_apart else None

    def verify(
        self, solution: Solution | None, queries: Sequence[QueryMatches]
    ) -> tuple[PoseEstimate, Solution, list[QueryMatches]] | None:
        """Returns the estimate by the keyframes around a pose, with its solution and matches.

        Returns None where these confirm no pose.

        Args:
            solution: the pose that was rejected; None where none was found.
            queries: the images, with the candidates that were retrieved.
        """
        if solution is None or solution.count < MIN_INLIERS:
            return None
        around = [self._matched_around(solution.T_map_base, query) for query in queries]
        found = self._localizer.solve(around) if any(len(query.matches) for query in around) else None
        if found is not None:
            if self.guided_verifier is None:
                confirmed = self._verifier.verify(found, around)
                if confirmed.status is Status.LOCALIZED:
                    return confirmed, found, around
            if found.count >= MIN_INLIERS:
                solution = found
        return self.verify_guided(solution.T_map_base, queries)

    def keyframes_around(self, T_map_camera: Pose, count: int) -> list[int]:
        """Returns the keyframes that look the same way from near a pose, nearest first."""
        near = self._map.within(T_map_camera[:3, 3], FARTHEST_M)
        poses = self._map.T_map_camera[near]
        distance_m = np.linalg.norm(poses[:, :3, 3] - T_map_camera[:3, 3], axis=1)
        cosine = poses[:, :3, 2] @ T_map_camera[:3, 2]
        angle_deg = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        seen = np.flatnonzero(angle_deg <= MAX_TURN_DEG)
        apart = distance_m[seen] + angle_deg[seen] / DEG_PER_M
        return [int(k) for k in near[seen[np.argsort(apart, kind="stable")]][:count]]

    def verify_guided(
        self, T_map_base: Pose, queries: Sequence[QueryMatches]
    ) -> tuple[PoseEstimate, Solution, list[QueryMatches]] | None:
        """Returns the estimate by matches that a pose has near each other; None where they confirm none."""
        if self.guided_verifier is None:
            return None
        fit = self._best_guided(T_map_base, queries)
        if fit is None or self._distance_m(fit[0].T_map_base, queries) > GUIDED_FARTHEST_M:
            return None
        confirmed = self.guided_verifier.verify(*fit)
        if confirmed.status is not Status.LOCALIZED or not self._panoramas_suffice(fit):
            return None
        return None if self._asks_for_other_lens(fit, queries) else (confirmed, *fit)

    def _panoramas_suffice(self, fit: Fit) -> bool:
        """Returns whether two panoramas agree with a pose, or one by many matches; True of drives."""
        if self._map.info.geo_tags is None:
            return True
        solution, queries = fit
        keyframes = [
            query.matches.keyframe[inlier] for query, inlier in zip(queries, solution.inliers, strict=True)
        ]
        _, of_panorama = np.unique(self._map.tag_number[np.concatenate(keyframes)], return_counts=True)
        if solution.count - of_panorama.max() >= SECOND_PANORAMA:
            return True
        matches = sum(len(query.matches) for query in queries)
        return (
            solution.count >= ALONE_INLIERS
            and solution.count >= ALONE_RATIO * matches
            and self._precise_count(fit) >= ALONE_PRECISE * matches
        )

    def _asks_for_other_lens(self, fit: Fit, queries: Sequence[QueryMatches]) -> bool:
        """Returns whether clearly more matches agree precisely with a pose by another focal length."""
        count = self._precise_count(fit)
        for scale in OTHER_FOCALS:
            zoomed = [
                replace(q, camera=replace(q.camera, fx=scale * q.camera.fx, fy=scale * q.camera.fy))
                for q in queries
            ]
            other = self._best_guided(fit[0].T_map_base, zoomed)
            if other is not None and self._precise_count(other) > count + count**0.5:
                return True
        return False

    def _best_guided(self, T_map_base: Pose, queries: Sequence[QueryMatches]) -> Fit | None:
        """Returns the fit of several starts that most matches agree with precisely; None without one."""
        first, *others = REACHES
        starts = [self._fit_guided(start, queries, first) for start in _starts(T_map_base, queries[0])]
        fit = max((start for start in starts if start is not None), key=self._precise_count, default=None)
        for reach in others:
            if fit is not None:
                fit = self._fit_guided(fit[0].T_map_base, queries, reach)
        return fit

    def _fit_guided(self, T_map_base: Pose, queries: Sequence[QueryMatches], reach: float) -> Fit | None:
        """Returns a pose fitted to the matches that it has near each other, and these; None for too few.

        Args:
            reach: multiple of an inlier's largest error.
        """
        limit = self._verifier.max_error_px
        guided = [self._guided_around(T_map_base, query, reach * limit) for query in queries]
        geometry = [query.geometry for query in guided]
        if sum(len(matches) for matches in geometry) < MIN_INLIERS:
            return None
        T_map_base = refine_pnp(T_map_base, [matches for matches in geometry if len(matches)], limit)
        return Solution(T_map_base, all_of(geometry), []).at(T_map_base, geometry, limit), guided

    def _precise_count(self, fit: Fit) -> int:
        """Returns the number of matches that agree precisely with a pose."""
        (solution, queries), limit = fit, PRECISE * self._verifier.max_error_px
        return sum(int((query.geometry.errors(solution.T_map_base) <= limit).sum()) for query in queries)

    def _distance_m(self, T_map_base: Pose, queries: Sequence[QueryMatches]) -> float:
        """Returns the distance of the nearest keyframe from any camera at a pose of the base, metres."""
        cameras = [(T_map_base @ query.T_base_camera)[:3, 3] for query in queries]
        return min(self._map.nearest(camera)[1] for camera in cameras)

    def _guided_around(self, T_map_base: Pose, query: QueryMatches, reach_px: float) -> QueryMatches:
        """Returns an image's matches with keyframes around its pose that the pose has near each other."""
        assert self._guided is not None
        keyframes = self.keyframes_around(T_map_base @ query.T_base_camera, GUIDED_KEYFRAMES)
        if query.features is None or not keyframes:
            return replace(query, matches=Matches.none())
        return replace(
            query,
            candidates=_candidates(query, keyframes),
            matches=guided_matches(
                query,
                self._localizer.at_input_size(query.features, query.input_size),
                {k: self._localizer.stored_keyframe(k) for k in keyframes},
                T_map_base,
                reach_px,
                self._guided.similarity,
            ),
        )

    def _matched_around(self, T_map_base: Pose, query: QueryMatches) -> QueryMatches:
        """Returns an image's matches with the keyframes around its camera's pose."""
        if query.features is None:
            return query
        T_map_camera = T_map_base @ query.T_base_camera
        keyframes = self.keyframes_around(T_map_camera, self._localizer.settings.candidates)
        if not keyframes:
            return query
        return replace(
            query,
            candidates=_candidates(query, keyframes),
            matches=self._localizer.match(query.features, keyframes, query.input_size),
            first_T_map_base=T_map_base,
        )


def _guided_limits(reference_map: ReferenceMap, matcher: Matcher) -> GuidedLimits | None:
    """Returns the limits of matches near a pose; None where poses are not verified by these.

    A map without depth has rays instead of points, which lie near many features.  The limits alone were
    chosen on panoramas; on a drive a model says how probable it is that so many matches agree by chance.
    """
    if reference_map.info.has_rays:
        return None
    is_judged = reference_map.info.geo_tags is not None or guided_model_of(matcher) is not None
    return matcher.guided if is_judged else None


def _starts(T_map_base: Pose, query: QueryMatches) -> Iterator[Pose]:
    """Yields a pose moved along the view of an image's camera by each of the distances."""
    view = (T_map_base @ query.T_base_camera)[:3, 2]
    for distance_m in STARTS_M:
        start = T_map_base.copy()
        start[:3, 3] += distance_m * view
        yield start


def _candidates(query: QueryMatches, keyframes: Sequence[int]) -> list[Candidate]:
    """Returns keyframes as candidates, with what retrieval knows of those that it found."""
    retrieved = {candidate.keyframe: candidate for candidate in query.candidates}
    return [retrieved.get(k, Candidate(k, 0.0)) for k in keyframes]
