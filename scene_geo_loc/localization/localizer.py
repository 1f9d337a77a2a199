"""Camera localization in a reference map, as in Perspective-n-Learned-Point (Piasco et al., BMVC 2019).

Describe, retrieve K keyframes, re-rank, match, lift by depth, solve, verify.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import inverse, transform
from scene_geo_loc.localization.covariance import block_count, pose_covariance
from scene_geo_loc.localization.estimate import (
    CameraEstimate,
    Candidate,
    LocalizerSettings,
    Matches,
    PoseEstimate,
    PosePrior,
    Status,
)
from scene_geo_loc.localization.pnp import FIT_WIDTH, ideal_pixels, refine_pnp, spread
from scene_geo_loc.localization.query import CameraImage, Query, QueryMatches, Stopwatch, camera_images
from scene_geo_loc.localization.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.robust_pnp import rerank_inliers
from scene_geo_loc.localization.solution import Solution, by_camera, by_candidate, propose
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers import make_matcher
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import digest, load_checkpoint
from scene_geo_loc.networks.runtime.extractor import Extractor, SceneFeatures, has_contrast

MIN_RERANK_INLIERS = 12
"""Candidates with fewer re-ranking inliers keep their order by similarity: so few can agree by chance.

With this limit SIFT localized all 47 images of a walk indoors, without it 44.
"""
RERANK_WIDTH = 2.0
"""Re-ranking takes this multiple of an inlier's largest error: its matches are few and coarse."""

MIN_SPREAD = 0.05
"""Least standard deviation of the inliers' pixels across their principal axis, in heights of the input."""


class Localizer:
    """Estimates poses of cameras in a reference map.

    Attributes:
        map: the reference map.
        settings: the given settings.
        extractor: runs the map's network.
        matcher: matcher of the map's local features.
        min_inlier_ratio, min_coverage: those of the settings, or else of the matcher.
    """

    def __init__(
        self,
        reference_map: ReferenceMap,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        extractor: Extractor | None = None,
        matcher: type[Matcher] | None = None,
    ) -> None:
        """Loads the map's network, or takes an `extractor` of it (`network_of`) that others share.

        A map that was built with a custom `matcher` needs the same matcher here.

        Raises CheckpointError where the network is damaged, MapError where the map was built with another
        network or matcher.
        """
        self.map = reference_map
        self.settings = settings or LocalizerSettings()
        self.extractor = extractor or Extractor(network_of(reference_map), device)
        network = self.extractor.network
        config = network.config
        self._input_size = (config.input_width, config.input_height)
        self._map_cameras = [camera.resized(*self._input_size) for camera in reference_map.cameras]
        self.matcher = make_matcher(reference_map.info.matcher, network, reference_map.matcher_file, matcher)
        asked, own = self.settings, self.matcher
        self.min_inlier_ratio = (
            own.min_inlier_ratio if asked.min_inlier_ratio is None else asked.min_inlier_ratio
        )
        self.min_coverage = own.min_coverage if asked.min_coverage is None else asked.min_coverage

    def localize(self, query: Query, prior: PosePrior | None = None) -> PoseEstimate:
        """Estimates the pose of one image, or of a rig from images that its cameras took at one instant.

        Args:
            query: a frame or an image, or one image of each camera of a rig.  Its images are described,
                retrieved and matched each on its own; one pose is solved from the matches of all.
            prior: restricts the search to keyframes around a guessed pose.

        Raises SceneGeoLocError where there is no image, or one of another size than its camera.
        """
        images = camera_images(query)
        stopwatch = Stopwatch()
        queries = [self._match_image(image, prior, stopwatch) for image in images]
        if all(query.rejection for query in queries):
            inliers = [np.zeros(0, bool) for _ in queries]
            estimate = PoseEstimate(Status.LOST, rejection=queries[0].rejection)
        else:
            with stopwatch.step("solve"):
                solution = self._solve(queries)
                estimate = self._verify(solution, queries)
            inliers = [np.zeros(len(query.matches), bool) for query in queries]
            if solution is not None:
                inliers = solution.inliers
        estimate.cameras = [
            CameraEstimate(
                image.T_base_camera,
                query.counted(inlier),
                self._at_full_size(replace(query.matches, inlier=inlier), image),
                query.rejection,
            )
            for image, query, inlier in zip(images, queries, inliers, strict=True)
        ]
        estimate.timings_ms = stopwatch.times_ms
        return estimate

    def _match_image(self, image: CameraImage, prior: PosePrior | None, stopwatch: Stopwatch) -> QueryMatches:
        """Describes an image, retrieves and re-ranks candidates, matches the best and lifts the matches."""
        query = QueryMatches(image.T_base_camera, image.camera.resized(*self._input_size))
        if not has_contrast(image.image):
            query.rejection = Rejection(RejectionKind.NO_CONTRAST)
            return query
        with stopwatch.step("describe"):
            features = self.extractor.extract(image.image)
        with stopwatch.step("retrieve"):
            query.rejection = self._retrieve(features, prior, query)
        if query.rejection is not None:
            return query
        with stopwatch.step("detect"):
            local = self.matcher.extract(image.image, features)
            query.blocks = block_count(local.pixels)
        with stopwatch.step("rerank"):
            query.candidates = self._rerank(local, query)
        with stopwatch.step("match"):
            query.matches = Matches.concatenate(
                [
                    self._match_keyframe(local, candidate.keyframe)
                    for candidate in query.candidates[: self.settings.candidates]
                ]
            )
        return query

    def _retrieve(
        self, features: SceneFeatures, prior: PosePrior | None, query: QueryMatches
    ) -> Rejection | None:
        """Finds the keyframes with the nearest global descriptors (eq. 1)."""
        assert features.global_descriptor is not None, "a map's network is fitted"
        among = None
        if prior is not None:
            away = np.linalg.norm(self.map.T_map_camera[:, :3, 3] - prior.T_map_camera[:3, 3], axis=1)
            among = np.flatnonzero(away <= prior.radius_m)
            if len(among) == 0:
                return Rejection(RejectionKind.NO_KEYFRAME_NEAR_PRIOR, float(away.min()), prior.radius_m)
        keyframes, similarities = self.map.index.search(
            features.global_descriptor, max(self.settings.retrieved, self.settings.candidates), among
        )
        query.candidates = [Candidate(int(k), float(s)) for k, s in zip(keyframes, similarities, strict=True)]
        similarity, limit = query.candidates[0].similarity, self.settings.min_similarity
        return Rejection(RejectionKind.UNKNOWN_PLACE, similarity, limit) if similarity < limit else None

    def _rerank(self, local: LocalFeatures, query: QueryMatches) -> list[Candidate]:
        """Orders the candidates by the inliers of a pose from a subset of the features, most first.

        Candidates below `MIN_RERANK_INLIERS` stay in order of similarity, and so do all where no more are
        retrieved than are matched in full.
        """
        if len(query.candidates) <= self.settings.candidates:
            return query.candidates
        subset = self.matcher.rerank_subset[self.matcher.rerank_subset < len(local.pixels)]
        few = LocalFeatures(local.pixels[subset], local.descriptors[subset])
        limit = RERANK_WIDTH * self.settings.max_reprojection_error_px

        def rated(candidate: Candidate) -> Candidate:
            matches = self._match_keyframe(few, candidate.keyframe, is_subset=True)
            pixels = ideal_pixels(query.camera, matches.query_pixels)
            inliers = rerank_inliers(pixels, matches.points_map, query.camera, limit)
            return replace(candidate, rerank_inliers=inliers)

        def rank(candidate: Candidate) -> int:
            return candidate.rerank_inliers if candidate.rerank_inliers >= MIN_RERANK_INLIERS else 0

        return sorted(map(rated, query.candidates), key=rank, reverse=True)

    def _match_keyframe(self, query: LocalFeatures, k: int, is_subset: bool = False) -> Matches:
        """Matches with a keyframe, or with a subset of its features, lifted by their depth (eq. 2).

        Pixels are those of the network's input.
        """
        keyframe = self.matcher.storage.read(self.map.features_of(k), is_subset)
        query_pixels, in_keyframe = self.matcher.match(query, keyframe)
        stored = self.matcher.rerank_subset[in_keyframe] if is_subset else in_keyframe
        depth = self.map.depth[k][stored].astype(np.float64)
        known = np.isfinite(depth)
        pixels = keyframe.pixels[in_keyframe[known]]
        lifted = self._map_cameras[self.map.camera_index[k]].back_project(pixels, depth[known])
        return Matches(
            query_pixels=query_pixels[known],
            keyframe=np.full(len(pixels), k),
            keyframe_pixels=pixels,
            points_map=transform(self.map.T_map_camera[k], lifted),
            points_sigma=self._sigma(k, stored[known], lifted),
            inlier=np.zeros(len(pixels), bool),
        )

    def _sigma(self, k: int, stored: NDArray[np.intp], lifted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns `Matches.points_sigma` of points (M, 3) in the camera of keyframe k."""
        if self.map.depth_sigma is None:
            return np.zeros_like(lifted)
        relative = self.map.depth_sigma[k][stored].astype(np.float64)
        return (relative[:, None] * lifted) @ self.map.T_map_camera[k][:3, :3].T

    def _solve(self, queries: Sequence[QueryMatches]) -> Solution | None:
        """Returns the pose that most matches agree with (section 3.4).

        With the refinement "per_candidate", the paper's rule, a pose is solved from the matches of each
        candidate, and the one with the best inlier ratio is taken.  With "pooled", one pose is solved from
        all matches together, which the known poses of the keyframes allow.  If that pose is rejected, because
        too few candidates show the place, a pose is solved for each camera and then for each candidate, and
        the one with most inliers is taken.
        """
        limit = self.settings.max_reprojection_error_px
        matches = [query.geometry for query in queries]
        if self.settings.refinement == "per_candidate":
            proposals = [
                propose(matches, voters, limit, only_voters=True) for voters in by_candidate(queries)
            ]
            found = [proposal for proposal in proposals if proposal is not None]
            return max(found, key=lambda proposal: max(proposal.ratios), default=None)
        best = propose(matches, [np.ones(len(camera), bool) for camera in matches], limit)
        for groups in (by_camera(matches), by_candidate(queries)):
            if best is not None and self._reject(best, queries) is None:
                break
            proposals = [best, *(propose(matches, voters, limit) for voters in groups)]
            found = [proposal for proposal in proposals if proposal is not None]
            best = max(found, key=lambda proposal: proposal.count, default=None)
        if best is None or not self.settings.final_fit:
            return best
        confirming = [matches[i] for i in best.confirming(self.min_inlier_ratio)]
        refined = best.at(refine_pnp(best.T_map_base, confirming, limit), matches, limit)
        return refined if refined.count else best

    def _reject(self, solution: Solution, queries: Sequence[QueryMatches]) -> Rejection | None:
        """Returns why a pose is not accepted, or None.

        Besides the paper's inlier ratio, the inliers must cover the part of the image that has features:
        streets look alike in the middle of the image, where the road meets the sky.  Cameras whose inlier
        ratio is too low, because they are in the dark or wrong keyframes were retrieved, do not count for or
        against the pose; the other cameras together must reach the coverage required of a single one.
        """
        best = max(solution.ratios)
        if best < self.min_inlier_ratio:
            return Rejection(RejectionKind.INLIER_RATIO, best, self.min_inlier_ratio)
        confirming = [
            queries[i].geometry.pixels[solution.inliers[i]]
            for i in solution.confirming(self.min_inlier_ratio)
        ]
        widest, limit = max(map(spread, confirming)), MIN_SPREAD * self._input_size[1]
        if widest < limit:
            return Rejection(RejectionKind.INLIER_SPREAD, widest, limit)
        coverage = sum(map(block_count, confirming)) / max(query.blocks for query in queries)
        if coverage < self.min_coverage:
            return Rejection(RejectionKind.COVERAGE, coverage, self.min_coverage)
        return None

    def _verify(self, solution: Solution | None, queries: Sequence[QueryMatches]) -> PoseEstimate:
        """Returns the pose if it passes all checks, else the retrieved pose with the reason."""
        similar = max(
            (query for query in queries if query.rejection is None),
            key=lambda query: query.candidates[0].similarity,
        )
        T_map_keyframe = self.map.T_map_camera[similar.candidates[0].keyframe]
        estimate = PoseEstimate(Status.RETRIEVED_ONLY, T_map_keyframe @ inverse(similar.T_base_camera))
        if solution is None:
            count = sum(len(query.matches) for query in queries)
            kind = RejectionKind.NO_POSE if count else RejectionKind.NO_DEPTH
            estimate.rejection = Rejection(kind, count)
            return estimate
        cameras = solution.confirming(self.min_inlier_ratio)
        voted = np.concatenate([solution.inliers[i][solution.voters[i]] for i in cameras])
        estimate.inliers, estimate.inlier_ratio = int(voted.sum()), float(voted.mean())
        estimate.rejection = self._reject(solution, queries)
        if estimate.rejection is not None:
            return estimate
        pose, limit = solution.T_map_base, FIT_WIDTH * self.settings.max_reprojection_error_px
        matches = [queries[i].geometry for i in cameras]
        fitted = [camera.where(camera.errors(pose) <= limit) for camera in matches]
        estimate.covariance = pose_covariance(pose, fitted)
        if estimate.covariance is None:
            estimate.rejection = Rejection(RejectionKind.UNDETERMINED)
            return estimate
        estimate.status, estimate.T_map_base = Status.LOCALIZED, pose
        return estimate

    def _at_full_size(self, matches: Matches, image: CameraImage) -> Matches:
        """Returns matches in pixels of the images rather than of the network's input."""
        size = np.array([image.camera.width, image.camera.height])
        sizes = np.array([(camera.width, camera.height) for camera in self.map.cameras])
        keyframe_sizes = sizes[self.map.camera_index[matches.keyframe]]
        return replace(
            matches,
            query_pixels=(matches.query_pixels + 0.5) * size / self._input_size - 0.5,
            keyframe_pixels=(matches.keyframe_pixels + 0.5) * keyframe_sizes / self._input_size - 0.5,
        )


def network_of(reference_map: ReferenceMap) -> SceneNetwork:
    """Returns the network that a map was built with, without its depth decoder, which queries do not need.

    Raises CheckpointError where it is damaged, MapError where the map was built with another.
    """
    network, _ = load_checkpoint(reference_map.path / "network.safetensors")
    if digest(network) != reference_map.info.network_digest:
        raise MapError(
            f"{reference_map.path} was built with another network than its network.safetensors: "
            "copy the map again, or build it again."
        )
    return network.without_depth()
