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

"""Localizes images in the points of a place: prioritised matching, PnP in RANSAC, verification."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.estimate import (
    CameraEstimate,
    Candidate,
    LocalizerSettings,
    Matches,
    PoseEstimate,
    PosePrior,
    Status,
    UnverifiedPose,
)
from scene_geo_loc.localization.pnp import refine_pnp
from scene_geo_loc.localization.pose_localizer import PoseLocalizer
from scene_geo_loc.localization.query import CameraImage, Query, QueryMatches, Stopwatch, camera_images
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, no_images
from scene_geo_loc.localization.solution import Solution, all_of, propose
from scene_geo_loc.localization.structure_from_motion.active_search import ActiveSearch
from scene_geo_loc.localization.uncertainty.covariance import (
    BLOCK_PX,
    MapErrors,
    block_count,
    pose_covariance,
)
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.verification.verifier import Limits, Verifier
from scene_geo_loc.mapping.localizer_names import STRUCTURE_FROM_MOTION
from scene_geo_loc.mapping.reference_map import AnyMap
from scene_geo_loc.mapping.structure_from_motion.features import (
    PointFeatures,
    extract_points,
    working_camera,
)
from scene_geo_loc.mapping.structure_from_motion.point_map import PointMap
from scene_geo_loc.networks.forward_pass import INPUT_AREA
from scene_geo_loc.networks.runtime.extractor import has_contrast

ERROR_SHARE = 0.4
"""Largest reprojection error of an inlier as a share of the settings': SIFT and triangulated points are more
precise than the features and depths that these are for."""
MIN_INLIERS, MIN_INLIER_RATIO, MIN_COVERAGE = 15, 0.1, 0.1
"""Least support of an accepted pose where the settings have none."""
CANDIDATES = 10
"""Number of keyframes that an estimate lists."""
GROUPS, MIN_GROUP = 5, 8
"""Keyframes that a pose is solved from alone where that from all matches is rejected, and their matches."""


@dataclass(frozen=True)
class ReadImage:
    """Features of one image of a query.

    Attributes:
        T_base_camera: pose of its camera in the base.
        camera: its working camera, see `working_camera`.
        features: of the image; None where it shows nothing.
    """

    T_base_camera: Pose
    camera: Camera
    features: PointFeatures | None

    @property
    def ideal_camera(self) -> Camera:
        """The working camera without distortion, which the features are pixels of."""
        return replace(self.camera, model="none", distortion=())


class PointLocalizer(PoseLocalizer):
    """Estimates poses by matches with triangulated points (Sattler et al., TPAMI 2017).

    Attributes:
        map: the map, whose keyframes are the images that the points were triangulated from.
        settings: the given settings; those of retrieval and of the refinement do not concern it.
        points: the points of the map.
        verifier: decides whether a pose is accepted.
    """

    device, backend_name = "cpu", "NumPy"

    def __init__(self, opened: AnyMap, settings: LocalizerSettings | None = None) -> None:
        """Reads the points of a map. Raises MapError where they are damaged or not those of its keyframes."""
        if opened.info.localizer != STRUCTURE_FROM_MOTION or not opened.cameras or not len(opened):
            raise MapError(
                f"{opened.path} is no map by structure from motion: name one that was made so for a place."
            )
        self.map, self.settings = opened, settings or LocalizerSettings()
        self.points = PointMap.read(opened.path)
        if len(self.points.seen_by) == 0 or self.points.seen_by.max() >= len(opened):
            raise MapError(f"The points of {opened.path} were not seen by its keyframes: copy the map again.")
        camera = working_camera(opened.cameras[0], self.points.description.image_width)
        enlarged = (camera.width * camera.height / INPUT_AREA) ** 0.5
        self._max_error_px = ERROR_SHARE * self.settings.max_reprojection_error_px * enlarged
        self._block_px = BLOCK_PX * enlarged
        self._search = ActiveSearch(self.points, len(opened))
        given = self.settings
        limits = Limits(
            MIN_INLIERS if given.min_inliers is None else given.min_inliers,
            MIN_INLIER_RATIO if given.min_inlier_ratio is None else given.min_inlier_ratio,
            given.min_precise_ratio or 0.0,
            MIN_COVERAGE if given.min_coverage is None else given.min_coverage,
            given.min_confidence,
        )
        size = (camera.width, camera.height)
        self.verifier = Verifier(opened, limits, size, self._max_error_px, self._block_px)

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        *,
        verified: Collection[str] = (),
    ) -> PointLocalizer:
        """See `PoseLocalizer.open`; the device is not used, as there is no network."""
        return cls(AnyMap.open(folder, verified=verified), settings)

    def localize(
        self, query: Query, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        """See `PoseLocalizer.localize`; one pose is solved from the matches of all cameras of a rig."""
        images, stopwatch = camera_images(query), Stopwatch()
        with stopwatch.step("detect"):
            read = [self._read(image) for image in images]
        estimate = self.localize_features(read, prior, stopwatch)
        sizes = [np.array([image.camera.width, image.camera.height]) for image in images]
        estimate.cameras = [
            replace(camera, matches=_at_size(camera.matches, image.camera, size))
            for camera, image, size in zip(estimate.cameras, read, sizes, strict=True)
        ]
        return estimate

    def localize_features(
        self,
        images: Sequence[ReadImage],
        prior: PosePrior | None = None,
        stopwatch: Stopwatch | None = None,
        map_errors: MapErrors | None = None,
    ) -> PoseEstimate:
        """Estimates a pose from the features of images; pixels of its matches are those of the features.

        Args:
            images: one of each camera.
            prior: where the pose is searched for.
            stopwatch: receives the times of the steps.
            map_errors: errors of the map that the covariance includes; None: as they were measured.
        """
        stopwatch = stopwatch or Stopwatch()
        with stopwatch.step("match"):
            queries = [self._match(image, prior) for image in images]
        if all(query.rejection for query in queries):
            estimate, solution = PoseEstimate(Status.LOST, rejection=queries[0].rejection), None
        else:
            with stopwatch.step("solve"):
                solution = self._solve(queries)
                estimate = self.verifier.verify(solution, queries, map_errors)
        inliers = [np.zeros(len(query.matches), bool) for query in queries]
        if solution is not None:
            inliers = solution.inliers
            estimate.unverified = self._unverified(estimate, solution, queries)
        estimate.cameras = [
            CameraEstimate(
                query.T_base_camera,
                query.counted(inlier),
                replace(query.matches, inlier=inlier),
                query.rejection,
                lens=None if query.lens is None else query.lens.of(image.camera),
            )
            for image, query, inlier in zip(images, queries, inliers, strict=True)
        ]
        estimate.timings_ms = stopwatch.times_ms
        return estimate

    def _read(self, image: CameraImage) -> ReadImage:
        camera = working_camera(image.camera, self.points.description.image_width)
        features = None
        if has_contrast(image.image):
            features = extract_points(image.image, camera, self.points.description.features)
        return ReadImage(image.T_base_camera, camera, features)

    def _match(self, image: ReadImage, prior: PosePrior | None) -> QueryMatches:
        """Returns the matches of an image with points, and the keyframes that saw most of these."""
        query = QueryMatches(image.T_base_camera, image.ideal_camera)
        if image.features is None:
            query.rejection = Rejection(RejectionKind.NO_CONTRAST)
            return query
        if len(image.features) == 0:
            query.rejection = Rejection(RejectionKind.NO_FEATURES)
            return query
        allowed = None
        if prior is not None:
            distances = prior.distances(self.map.T_map_camera @ inverse(image.T_base_camera))
            if distances.min() > prior.radius_m:
                query.rejection = Rejection(
                    RejectionKind.NO_KEYFRAME_NEAR_PRIOR, float(distances.min()), prior.radius_m
                )
                return query
            allowed = self._search.visible_from(distances <= prior.radius_m)
        features, points = self._search.search(image.features.histograms, allowed)
        if len(points) == 0:
            query.rejection = Rejection(RejectionKind.NO_POSE, 0)
            return query
        votes = self._search.votes(points)
        keyframe = self._search.keyframes_of(points, votes)
        points_map = self.points.points[points] + self.points.centre
        query.matches = Matches(
            image.features.pixels[features].astype(np.float64),
            keyframe,
            self._keyframe_pixels(keyframe, points_map),
            points_map,
            self.points.sigma[points].astype(np.float64),
            np.zeros(len(points), bool),
        )
        query.blocks = block_count(image.features.pixels, self._block_px)
        own = np.bincount(keyframe, minlength=len(self.map))
        best = np.argsort(-own, kind="stable")[:CANDIDATES]
        query.candidates = [Candidate(int(k), float(votes[k] / len(points))) for k in best if own[k]]
        return query

    def _keyframe_pixels(
        self, keyframe: NDArray[np.int64], points_map: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Returns the pixels (M, 2) of points in the images of keyframes that saw them."""
        T_camera_map = inverse(self.map.T_map_camera[keyframe])
        local = np.einsum("nij,nj->ni", T_camera_map[:, :3, :3], points_map) + T_camera_map[:, :3, 3]
        pixels = np.zeros((len(keyframe), 2))
        for number, camera in enumerate(self.map.cameras):
            rows = self.map.camera_index[keyframe] == number
            pixels[rows] = camera.project(local[rows])
        return pixels

    def _solve(self, queries: Sequence[QueryMatches]) -> Solution | None:
        """Returns the pose that most matches agree with, or None."""
        limit, matches = self._max_error_px, [query.geometry for query in queries]
        best = propose(matches, all_of(matches), limit)
        if best is None or self.verifier.reject(best, queries) is not None:
            best = self._best_of_groups(queries, best)
        if best is None:
            return None
        confirming = [matches[i] for i in best.confirming(self.verifier.limits.inlier_ratio)]
        refined = best.at(refine_pnp(best.T_map_base, confirming, limit), matches, limit)
        return refined if refined.count else best

    def _unverified(
        self, estimate: PoseEstimate, solution: Solution, queries: Sequence[QueryMatches]
    ) -> UnverifiedPose | None:
        """Returns the pose that was found, accepted or not; None where its matches do not determine it."""
        covariance = estimate.covariance
        if covariance is None:
            near = [
                query.geometry.where(inlier) for query, inlier in zip(queries, solution.inliers, strict=True)
            ]
            if not any(map(len, near)):
                return None
            errors = MapErrors.of(self.map.info.accuracy)
            covariance = pose_covariance(solution.T_map_base, near, self._block_px, errors)
        return None if covariance is None else UnverifiedPose(solution.T_map_base, covariance)

    def _best_of_groups(self, queries: Sequence[QueryMatches], best: Solution | None) -> Solution | None:
        """Returns the pose with most inliers of those by the matches that single keyframes saw."""
        matches = [query.geometry for query in queries]
        found = [] if best is None else [best]
        keyframes = np.concatenate([query.matches.keyframe for query in queries])
        counts = np.bincount(keyframes, minlength=len(self.map))
        for keyframe in np.argsort(-counts, kind="stable")[:GROUPS]:
            if counts[keyframe] < MIN_GROUP:
                break
            voters = [query.matches.keyframe == keyframe for query in queries]
            proposed = propose(matches, voters, self._max_error_px)
            if proposed is not None:
                found.append(proposed)
        return max(found, key=lambda solution: solution.count, default=None)


def _at_size(matches: Matches, camera: Camera, size: NDArray[np.int64]) -> Matches:
    """Returns matches in pixels of an image of a size as its lens shows it.

    Args:
        matches: in ideal pixels of the working camera.
        camera: the working camera.
        size: (2,) width and height of the image.
    """
    rays = (matches.query_pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    shown = camera.project(np.hstack([rays, np.ones((len(rays), 1))])) if camera.is_distorted else None
    pixels = matches.query_pixels if shown is None else shown
    scale = size / (camera.width, camera.height)
    return replace(matches, query_pixels=(pixels + 0.5) * scale - 0.5)
