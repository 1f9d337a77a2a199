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

"""Verification of a pose: the limits that it must pass, its covariance, and how probably it is right."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse, position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import Candidate, LocalizerSettings, PoseEstimate, Status
from scene_geo_loc.localization.pnp import FIT_WIDTH, CameraMatches, spread
from scene_geo_loc.localization.query import QueryMatches
from scene_geo_loc.localization.solution import Solution, propose
from scene_geo_loc.localization.solvers.robust_pnp import FIRST_SEARCH
from scene_geo_loc.localization.uncertainty.covariance import (
    RESIDUALS_ONLY,
    MapErrors,
    block_count,
    move_covariance,
    pose_covariance,
)
from scene_geo_loc.localization.uncertainty.geo_tag_errors import GeoTagErrors
from scene_geo_loc.localization.verification.confidence import ConfidenceModel, PoseSupport
from scene_geo_loc.localization.verification.lens_fit import fit_lens
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.verification.scale import ScaleSupport
from scene_geo_loc.mapping.reference_map import AnyMap, ReferenceMap
from scene_geo_loc.matchers.base import Matcher

MIN_SPREAD = 0.05
"""Least standard deviation of the inliers' pixels across their principal axis, in heights of the input."""

PRECISE = 1 / 3
"""Largest error of a match that agrees precisely, as a share of an inlier's largest error."""

RIVAL_SIMILARITY = 0.95
"""Least similarity of a keyframe that is matched as one of a rival place, as a multiple of that of the best
keyframe of the pose."""

RIVAL_SHARE = 0.6
"""Least number of inliers of a rival's keyframe, as a multiple of those of the pose's best keyframe."""

MIN_RIVAL_INLIERS = 20
"""Least number of inliers of a rival's keyframe."""

RIVAL_APART = 1.0
"""Least distance of a rival pose, metres; ten degrees count as one."""

MAX_STD_M = 1.0
"""Largest standard deviation by residuals of a position in maps with features without depth, metres."""

RAY_EXCESS = 3.0
"""Factor on the standard deviations by residuals in these maps, where they are too small.

With 2, the ellipsoids for 95 % held 90 % of the positions in sun and 77 % in snow, by panoramas 18 m apart.
"""

MAX_CONFIDENCE = 0.99
"""Most confidence that a map's own look-alikes make a pose need: some poses pass in any map."""


@dataclass(frozen=True)
class Limits:
    """Least support of a pose that is accepted.

    Attributes:
        inliers, inlier_ratio, precise_ratio, coverage: those of the settings, or else of the matcher; see
            `LocalizerSettings`.
        confidence: that of the settings, and more where the map has places that look alike.
    """

    inliers: int
    inlier_ratio: float
    precise_ratio: float
    coverage: float
    confidence: float

    @classmethod
    def of(cls, settings: LocalizerSettings, matcher: Matcher, reference_map: ReferenceMap) -> Limits:
        """Returns the limits of a localizer."""
        found = reference_map.info.look_alikes
        by_map = 0.0 if found is None else min(found.confidence, MAX_CONFIDENCE)

        def chosen(asked: float | None, own: float) -> float:
            return own if asked is None else asked

        return cls(
            int(chosen(settings.min_inliers, matcher.min_inliers)),
            chosen(settings.min_inlier_ratio, matcher.min_inlier_ratio),
            chosen(settings.min_precise_ratio, matcher.min_precise_ratio),
            chosen(settings.min_coverage, matcher.min_coverage),
            max(settings.min_confidence, by_map),
        )


class Verifier:
    """Decides whether a pose is accepted.

    Attributes:
        limits: least support of a pose.
        max_error_px: largest reprojection error of an inlier.

    Args:
        reference_map: the map.
        limits, max_error_px: see the attributes.
        input_size: width and height at which images of the map are read.
        block_px: side of the blocks of an image.
        confidence_model: states the probability that a pose is right; None: none is stated.
    """

    def __init__(
        self,
        reference_map: AnyMap,
        limits: Limits,
        input_size: tuple[int, int],
        max_error_px: float,
        block_px: float,
        confidence_model: ConfidenceModel | None = None,
    ) -> None:
        self.limits = limits
        self._T_map_camera = reference_map.T_map_camera
        self._has_rays = reference_map.info.has_rays
        self._excess, self._lens_excess = RAY_EXCESS if self._has_rays else 1.0, 1.0
        self._geo_tag_errors = GeoTagErrors(reference_map)
        self._map_errors = MapErrors.of(reference_map.info.accuracy)
        self._confidence_model, self._input_size = confidence_model, input_size
        self.max_error_px, self._block_px = max_error_px, block_px

    def stricter(self, inlier_ratio: float) -> Verifier:
        """Returns a verifier that requires another inlier ratio."""
        return self.having(replace(self.limits, inlier_ratio=inlier_ratio), self._confidence_model)

    def having(
        self, limits: Limits, confidence_model: ConfidenceModel | None, excess: float = 1.0
    ) -> Verifier:
        """Returns a verifier with other limits and another model of the confidence.

        Args:
            excess: further factor on the standard deviations by residuals, also of the focal length.
        """
        other = copy.copy(self)
        other.limits, other._confidence_model = limits, confidence_model
        other._excess, other._lens_excess = excess * self._excess, excess
        return other

    def verify(
        self, solution: Solution | None, queries: Sequence[QueryMatches], map_errors: MapErrors | None = None
    ) -> PoseEstimate:
        """Returns the pose if it passes all checks, else the retrieved pose with the reason."""
        similar = max(
            (query for query in queries if query.rejection is None),
            key=lambda query: query.candidates[0].similarity,
        )
        T_map_keyframe = self._T_map_camera[similar.candidates[0].keyframe]
        estimate = PoseEstimate(Status.RETRIEVED_ONLY, T_map_keyframe @ inverse(similar.T_base_camera))
        if solution is None:
            count = sum(len(query.matches) for query in queries)
            kind = RejectionKind.NO_POSE if count else RejectionKind.NO_DEPTH
            if not any(query.blocks for query in queries):
                kind = RejectionKind.NO_FEATURES
            estimate.rejection = self._reject_scale(None, queries) or Rejection(kind, count)
            return estimate
        cameras = solution.confirming(self.limits.inlier_ratio)
        voted = np.concatenate([solution.inliers[i][solution.voters[i]] for i in cameras])
        estimate.inliers, estimate.inlier_ratio = int(voted.sum()), float(voted.mean())
        estimate.rejection = self.reject(solution, queries) or self._reject_look_alike(solution, queries)
        if estimate.rejection is None:
            self._judge(estimate, solution, queries, map_errors or self._map_errors)
        return estimate

    def _judge(
        self,
        estimate: PoseEstimate,
        solution: Solution,
        queries: Sequence[QueryMatches],
        map_errors: MapErrors,
    ) -> None:
        """Completes the estimate of a pose with enough support: localized, or rejected for another reason."""
        cameras = solution.confirming(self.limits.inlier_ratio)
        rival = self._rival(solution, queries)
        if rival is not None:
            T_map_rival, counts = rival
            estimate.alternatives = [solution.T_map_base, T_map_rival]
            places = " and ".join(
                "x {:.1f} y {:.1f} z {:.1f} m".format(*T[:3, 3]) for T in estimate.alternatives
            )
            estimate.rejection = Rejection(RejectionKind.AMBIGUOUS, *counts, detail=places)
            return
        pose = solution.T_map_base
        self._fit_lenses(pose, [queries[i] for i in cameras])
        other = next((fit for i in cameras if (fit := queries[i].lens) is not None and fit.is_other), None)
        if other is not None:
            estimate.rejection = Rejection(RejectionKind.OTHER_LENS, other.scale)
            return
        estimate.rejection = self._reject_scale(solution, queries)
        if estimate.rejection is not None:
            return
        by_residuals = self._residual_covariance(solution, queries)
        if by_residuals is None:
            estimate.rejection = Rejection(RejectionKind.UNDETERMINED)
            return
        estimate.rejection = self._reject_distance(by_residuals)
        if estimate.rejection is not None:
            return
        if self._confidence_model is not None:
            support = self._support(solution, queries, by_residuals)
            estimate.confidence = self._confidence_model.probability(support)
        if estimate.confidence is not None and estimate.confidence < self.limits.confidence:
            estimate.rejection = Rejection(
                RejectionKind.CONFIDENCE, estimate.confidence, self.limits.confidence
            )
            return
        by_matches = by_residuals * self._excess**2
        estimate.covariance = map_errors.added_to(by_matches) + self._geo_tag_errors.covariance(
            pose, self._near(solution, queries)
        )
        if len(cameras) == 1:
            estimate.covariance += self._doubt_of_lens(pose, queries[cameras[0]])
        estimate.status, estimate.T_map_base = Status.LOCALIZED, pose

    def reject(self, solution: Solution, queries: Sequence[QueryMatches]) -> Rejection | None:
        """Returns why a pose is not accepted, or None.

        Besides the paper's inlier ratio, the inliers must cover the part of the image that has features:
        streets look alike in the middle of the image, where the road meets the sky.  Cameras whose inlier
        ratio is too low, because they are in the dark or wrong keyframes were retrieved, do not count for or
        against the pose; the other cameras together must reach the coverage required of a single one.
        """
        best = max(solution.ratios)
        if best < self.limits.inlier_ratio:
            return Rejection(RejectionKind.INLIER_RATIO, best, self.limits.inlier_ratio)
        cameras = solution.confirming(self.limits.inlier_ratio)
        least = round(self.limits.inliers * max(self._relative_size(queries[i]) for i in cameras))
        if solution.count < least:
            return Rejection(RejectionKind.INLIERS, solution.count, least)
        confirming = [queries[i].geometry.pixels[solution.inliers[i]] for i in cameras]
        spreads = [
            (spread(pixels), MIN_SPREAD * queries[i].camera.height)
            for i, pixels in zip(cameras, confirming, strict=True)
        ]
        if all(widest < limit for widest, limit in spreads):
            return Rejection(RejectionKind.INLIER_SPREAD, *max(spreads))
        coverage = self._coverage(solution, queries)
        if coverage < self.limits.coverage:
            return Rejection(RejectionKind.COVERAGE, coverage, self.limits.coverage)
        return None

    def _reject_look_alike(self, solution: Solution, queries: Sequence[QueryMatches]) -> Rejection | None:
        """Returns why a fitted pose is not accepted that agrees with its matches, but only roughly, or None.

        Another place that looks alike, built of the same parts in other places, agrees within the error of an
        inlier; the place itself mostly within a third of it.
        """
        share = self._precise_ratio(solution, queries)
        if share < self.limits.precise_ratio:
            return Rejection(RejectionKind.PRECISE_RATIO, share, self.limits.precise_ratio)
        return None

    def _reject_scale(self, solution: Solution | None, queries: Sequence[QueryMatches]) -> Rejection | None:
        """Returns why the scale of a pose without depth is not known, or None."""
        if not self._has_rays or not any(len(query.matches) for query in queries):
            return None
        return ScaleSupport.of(solution, queries, self.max_error_px).rejection

    def _reject_distance(self, covariance: NDArray[np.float64]) -> Rejection | None:
        """Returns why the position by matches without depth is of no use, or None.

        On the line through two keyframes the direction to both is the same, and the position on it is open.
        """
        if not self._has_rays:
            return None
        std = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
        return Rejection(RejectionKind.NO_DISTANCE, std, MAX_STD_M) if std > MAX_STD_M else None

    def _rival(
        self, solution: Solution, queries: Sequence[QueryMatches]
    ) -> tuple[Pose, tuple[int, int]] | None:
        """Returns a pose elsewhere that other keyframes agree with as well as the solution's, or None.

        Keyframes of another place that looks the same support a pose of their own, and not the solution.

        Returns:
            The pose, and the inliers of the best keyframe of the solution and of the rival.
        """
        best = most_of_rival = 0
        unsupporting = []
        for query in queries:
            # Also of keyframes that the solution was not found from.
            inlier = query.geometry.errors(solution.T_map_base) <= self.max_error_px
            counted = [c for c in query.counted(inlier) if c.matches]
            most = max((c.inliers for c in counted), default=0)
            best = max(best, most)
            rivals = [c for c in counted if 10 * c.inliers < most]
            most_of_rival = max([most_of_rival, *(c.matches for c in rivals)])
            unsupporting.append(np.isin(query.matches.keyframe, [c.keyframe for c in rivals]))
        needed = max(MIN_RIVAL_INLIERS, RIVAL_SHARE * best)
        if most_of_rival < needed:
            return None
        matches = [query.geometry for query in queries]
        rival = propose(matches, unsupporting, self.max_error_px, only_voters=True, effort=FIRST_SEARCH)
        if rival is None:
            return None
        count = max(
            c.inliers
            for query, inlier in zip(queries, rival.inliers, strict=True)
            for c in [*query.counted(inlier), Candidate(-1, 0.0)]
        )
        T, T_rival = solution.T_map_base, rival.T_map_base
        apart = float(position_error_m(T, T_rival) + rotation_error_deg(T, T_rival) / 10)
        return (T_rival, (best, count)) if count >= needed and apart >= RIVAL_APART else None

    def _coverage(self, solution: Solution, queries: Sequence[QueryMatches]) -> float:
        """Returns the share of an image's blocks with features that the inliers of all cameras lie in."""
        confirming = solution.confirming(self.limits.inlier_ratio)
        pixels = [queries[i].geometry.pixels[solution.inliers[i]] for i in confirming]
        covered = sum(block_count(part, self._block_px) for part in pixels)
        return covered / max(query.blocks for query in queries)

    def _precise_ratio(self, solution: Solution, queries: Sequence[QueryMatches]) -> float:
        """Returns the share of the matches that agree precisely, of the best camera."""
        matches = [queries[i].geometry for i in solution.confirming(self.limits.inlier_ratio)]
        near = [camera.errors(solution.T_map_base) <= PRECISE * self.max_error_px for camera in matches]
        return max(float(mask.mean()) for mask in near)

    def _relative_size(self, query: QueryMatches) -> float:
        """Returns the side of the input that an image was read at in the map's, 1 at most.

        An image that is read at a smaller size has fewer features.
        """
        width, height = query.input_size
        return min(1.0, float((width * height / np.prod(self._input_size)) ** 0.5))

    def support(self, solution: Solution, queries: Sequence[QueryMatches]) -> PoseSupport | None:
        """Returns the support of a pose, accepted or not; None where the matches do not determine it."""
        covariance = self._residual_covariance(solution, queries)
        return None if covariance is None else self._support(solution, queries, covariance)

    def _support(
        self, solution: Solution, queries: Sequence[QueryMatches], covariance: NDArray[np.float64]
    ) -> PoseSupport:
        cameras = solution.confirming(self.limits.inlier_ratio)
        voted = np.concatenate([solution.inliers[i][solution.voters[i]] for i in cameras])
        spreads = [
            spread(queries[i].geometry.pixels[solution.inliers[i]]) / queries[i].camera.height
            for i in cameras
        ]
        rotation_std = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
        return PoseSupport(
            float(voted.mean()), self._precise_ratio(solution, queries), max(spreads), rotation_std
        )

    def _residual_covariance(
        self, solution: Solution, queries: Sequence[QueryMatches]
    ) -> NDArray[np.float64] | None:
        """Returns the covariance (6, 6) by the residuals of the matches near a pose, or None."""
        near = self._near(solution, queries)
        return pose_covariance(solution.T_map_base, near, self._block_px, RESIDUALS_ONLY)

    def _near(self, solution: Solution, queries: Sequence[QueryMatches]) -> list[CameraMatches]:
        """Returns the matches near a pose of the cameras that confirm it."""
        pose, limit = solution.T_map_base, FIT_WIDTH * self.max_error_px
        matches = [queries[i].geometry for i in solution.confirming(self.limits.inlier_ratio)]
        return [camera.where(camera.errors(pose) <= limit) for camera in matches]

    def _fit_lenses(self, T_map_base: Pose, queries: Sequence[QueryMatches]) -> None:
        """Sets the fit of the focal length of each camera that confirms a pose."""
        for query in queries:
            T_map_camera = T_map_base @ query.T_base_camera
            lens = fit_lens(T_map_camera, query.geometry, self.max_error_px, self._block_px)
            query.lens = None if lens is None else replace(lens, std=self._lens_excess * lens.std)

    @staticmethod
    def _doubt_of_lens(T_map_base: Pose, query: QueryMatches) -> NDArray[np.float64]:
        """Returns the covariance (6, 6) that the doubt of the only camera's focal length adds to a pose."""
        if query.lens is None:
            return np.zeros((6, 6))
        lever = T_map_base[:3, 3] - (T_map_base @ query.T_base_camera)[:3, 3]
        return move_covariance(query.lens.pose_covariance, lever)
