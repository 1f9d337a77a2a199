"""From an image to a pose, as in Perspective-n-Learned-Point.

Describe, retrieve, match, lift, solve, verify.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.errors import MapError, SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.localization.estimate import (
    Candidate,
    LocalizerSettings,
    Matches,
    PoseEstimate,
    PosePrior,
    Status,
)
from scene_geo_loc.localization.matching import mutual_nearest
from scene_geo_loc.localization.pnp import (
    FIT_WIDTH,
    PnPSolution,
    blocks_of,
    ideal_pixels,
    pose_covariance,
    pull_covariance,
    refine_pnp,
    reprojection_errors,
    solve_pnp,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.networks.checkpoint import digest, load_checkpoint
from scene_geo_loc.networks.extractor import Extractor, SceneFeatures, has_contrast


class Localizer:
    """Finds the pose of images in a reference map."""

    def __init__(
        self, reference_map: ReferenceMap, settings: LocalizerSettings | None = None, device: str = "auto"
    ) -> None:
        """Loads the map's network.

        Raises CheckpointError where it is damaged, MapError where it is not the one the map was built with.
        """
        self.map = reference_map
        self.settings = settings or LocalizerSettings()
        network, _ = load_checkpoint(reference_map.path / "network.safetensors")
        if digest(network) != reference_map.info.network_digest:
            raise MapError(
                f"{reference_map.path} was built with another network than its network.safetensors: "
                "copy the map again, or build it again."
            )
        self.extractor = Extractor(network, device)
        config = network.config
        self._input_size = (config.input_width, config.input_height)
        self._cells = network.cell_centres()
        self._map_cameras = [camera.resized(*self._input_size) for camera in reference_map.cameras]
        self._map_rays = [camera.rays(self._cells) for camera in self._map_cameras]

    def localize(
        self, image: NDArray[np.uint8], camera: Camera, prior: PosePrior | None = None
    ) -> PoseEstimate:
        """The pose of an RGB image (H, W, 3) uint8 taken by `camera`.

        A `prior` restricts the search to keyframes around a guessed pose.
        Raises SceneGeoLocError where the image is of another size than its camera.
        """
        if image.shape != (camera.height, camera.width, 3):
            raise SceneGeoLocError(
                f"The image is {image.shape[1]}x{image.shape[0]} and its camera info says "
                f"{camera.width}x{camera.height}: give the camera info of this image."
            )
        if not has_contrast(image):
            return PoseEstimate(Status.LOST, reason="The image is black, saturated or of one colour.")
        stopwatch = Stopwatch()
        with stopwatch.step("describe"):
            features = self.extractor.extract(image)
        with stopwatch.step("retrieve"):
            candidates = self._retrieve(features, prior)
        if not candidates:
            estimate = PoseEstimate(Status.LOST, reason="No keyframe lies near the given prior.")
        elif candidates[0].similarity < self.settings.min_similarity:
            estimate = PoseEstimate(
                Status.LOST, reason="No keyframe looks like the image.", candidates=candidates
            )
        else:
            query_camera = camera.resized(*self._input_size)
            with stopwatch.step("match"):
                matches = self._match_and_lift(features, candidates)
            with stopwatch.step("solve"):
                pixels = ideal_pixels(query_camera, matches.query_pixels)
                solution = self._solve(pixels, matches, query_camera, candidates)
                estimate = self._verify(solution, pixels, matches, query_camera, candidates)
            estimate.matches = self._at_full_size(estimate.matches, camera)
        estimate.timings_ms = stopwatch.times_ms
        return estimate

    def _retrieve(self, features: SceneFeatures, prior: PosePrior | None) -> list[Candidate]:
        """The keyframes whose global descriptors are nearest to the query's (eq. 1)."""
        assert features.global_descriptor is not None, "a map's network is fitted"
        among = None
        if prior is not None:
            away = np.linalg.norm(self.map.T_map_camera[:, :3, 3] - prior.T_map_camera[:3, 3], axis=1)
            among = np.flatnonzero(away <= prior.radius_m)
            if len(among) == 0:
                return []
        keyframes, similarities = self.map.index.search(
            features.global_descriptor, self.settings.candidates, among
        )
        return [Candidate(int(k), float(s)) for k, s in zip(keyframes, similarities, strict=True)]

    def _match_and_lift(self, features: SceneFeatures, candidates: list[Candidate]) -> Matches:
        """Mutual nearest neighbours with each candidate; its pixels become points by its depth (eq. 2).

        Pixels are those of the network's input.
        """
        query_features = features.local_features.reshape(len(self._cells), -1)
        parts = []
        for candidate in candidates:
            k = candidate.keyframe
            in_query, in_keyframe = mutual_nearest(query_features, self.map.features_of(k))
            depth = self.map.depth[k][in_keyframe].astype(np.float64)
            known = np.isfinite(depth)
            in_query, in_keyframe, depth = in_query[known], in_keyframe[known], depth[known]
            rays = self._map_rays[self.map.camera_index[k]][in_keyframe]
            points = transform(self.map.T_map_camera[k], rays * depth[:, None])
            parts.append(
                Matches(
                    query_pixels=self._cells[in_query],
                    keyframe=np.full(len(in_query), k),
                    keyframe_pixels=self._cells[in_keyframe],
                    points_map=points,
                    inlier=np.zeros(len(in_query), bool),
                )
            )
        return Matches.concatenate(parts)

    def _solve(
        self, pixels: NDArray[np.float64], matches: Matches, camera: Camera, candidates: list[Candidate]
    ) -> tuple[PnPSolution, float] | None:
        """The pose that most matches agree with, and its inlier ratio.

        Per candidate, each proposes a pose from its own matches and the best inlier ratio wins: the
        paper's rule.  Pooled, the matches of all candidates propose one together, since every
        keyframe's pose is known and so all their points live in one map.  Only where that one is in
        doubt, because few candidates show the place, each proposes its own and all matches judge.
        """
        limit = self.settings.max_reprojection_error_px

        def propose(group: NDArray[np.bool_]) -> PnPSolution | None:
            solution = solve_pnp(pixels[group], matches.points_map[group], camera, limit)
            if solution is None:
                return None
            errors = reprojection_errors(solution.T_map_camera, pixels, matches.points_map, camera)
            return PnPSolution(solution.T_map_camera, errors <= limit)

        groups = [matches.keyframe == candidate.keyframe for candidate in candidates]
        if self.settings.refinement == "per_candidate":
            found = [(s, g) for g in groups if (s := propose(g)) is not None]
            rated = [(replace(s, inlier=s.inlier & g), float(s.inlier[g].mean())) for s, g in found]
            return max(rated, key=lambda one: one[1], default=None)
        best = propose(np.ones(len(matches), bool))
        if best is None or self._doubt(best.inlier, float(best.inlier.mean()), pixels):
            proposals = [best, *(propose(group) for group in groups)]
            judged = [proposal for proposal in proposals if proposal is not None]
            if not judged:
                return None
            best = max(judged, key=lambda proposal: proposal.inlier.sum())
        best = refine_pnp(best, pixels, matches.points_map, camera, limit)
        return best, float(best.inlier.mean())

    def _doubt(self, inlier: NDArray[np.bool_], inlier_ratio: float, pixels: NDArray[np.float64]) -> str:
        """Why a pose cannot be believed, in a sentence; empty where it can.

        Besides the paper's inlier ratio, the inliers must lie all over the image: streets are alike in
        their middle, where the road meets the sky.
        """
        settings = self.settings
        if inlier_ratio < settings.min_inlier_ratio:
            return (
                f"Only {inlier_ratio:.1%} of the matches agree with the pose, "
                f"and {settings.min_inlier_ratio:.0%} are asked for."
            )
        coverage = len(blocks_of(pixels[inlier])) / len(blocks_of(self._cells))
        if coverage < settings.min_coverage:
            return (
                f"The matches that agree with the pose lie in {coverage:.0%} of the image, "
                f"and {settings.min_coverage:.0%} are asked for."
            )
        return ""

    def _verify(
        self,
        solution: tuple[PnPSolution, float] | None,
        pixels: NDArray[np.float64],
        matches: Matches,
        camera: Camera,
        candidates: list[Candidate],
    ) -> PoseEstimate:
        """Believes the pose if nothing speaks against it; else keeps the best candidate's, and says so."""
        retrieved = self.map.T_map_camera[candidates[0].keyframe].copy()
        estimate = PoseEstimate(Status.RETRIEVED_ONLY, retrieved, candidates=candidates, matches=matches)
        if solution is None:
            estimate.reason = "No keyframe that looks like the image has a depth where they match."
            if len(matches):
                estimate.reason = f"No pose agrees with the {len(matches)} matches that have a depth."
            return estimate
        pose, estimate.inlier_ratio = solution
        inlier = pose.inlier
        estimate.matches = replace(matches, inlier=inlier)
        estimate.inliers = len(np.unique(pixels[inlier], axis=0))
        own = [matches.keyframe == candidate.keyframe for candidate in candidates]
        estimate.candidates = [
            replace(candidate, matches=int(of.sum()), inliers=int((of & inlier).sum()))
            for candidate, of in zip(candidates, own, strict=True)
        ]
        estimate.reason = self._doubt(inlier, estimate.inlier_ratio, pixels)
        if estimate.reason:
            return estimate
        errors = reprojection_errors(pose.T_map_camera, pixels, matches.points_map, camera)
        fitted = errors <= FIT_WIDTH * self.settings.max_reprojection_error_px
        estimate.covariance = pose_covariance(
            pose.T_map_camera, pixels[fitted], matches.points_map[fitted], camera
        )
        if estimate.covariance is None:
            estimate.reason = "The matches that agree with the pose lie so that they do not fix it."
            return estimate
        keyframes, counts = np.unique(matches.keyframe[inlier], return_counts=True)
        estimate.covariance += pull_covariance(
            pose.T_map_camera,
            self.map.T_map_camera[keyframes],
            counts / counts.sum(),
            estimate.inlier_ratio,
        )
        estimate.status, estimate.T_map_camera = Status.LOCALIZED, pose.T_map_camera
        return estimate

    def _at_full_size(self, matches: Matches, camera: Camera) -> Matches:
        """Matches with the pixels of the images rather than of the network's input."""
        sizes = np.array([(c.width, c.height) for c in self.map.cameras])
        keyframe_sizes = sizes[self.map.camera_index[matches.keyframe]]
        return replace(
            matches,
            query_pixels=self._resize(matches.query_pixels, np.array([camera.width, camera.height])),
            keyframe_pixels=self._resize(matches.keyframe_pixels, keyframe_sizes),
        )

    def _resize(self, pixels: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.float64]:
        return (pixels + 0.5) * size / self._input_size - 0.5


class Stopwatch:
    """Milliseconds by step, and their "total"."""

    def __init__(self) -> None:
        self.times_ms: dict[str, float] = {"total": 0.0}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times what is done inside."""
        start = time.perf_counter()
        yield
        self.times_ms[name] = (time.perf_counter() - start) * 1e3
        self.times_ms["total"] += self.times_ms[name]
