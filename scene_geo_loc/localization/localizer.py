"""From an image to a pose, as in Perspective-n-Learned-Point.

Describe, retrieve, order, match, lift, solve, verify.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.localization.covariance import block_count, covariance_of, normal_equations
from scene_geo_loc.localization.estimate import (
    Candidate,
    LocalizerSettings,
    Matches,
    PoseEstimate,
    PosePrior,
    Status,
)
from scene_geo_loc.localization.pnp import (
    FIT_WIDTH,
    PnPSolution,
    agreeing_matches,
    ideal_pixels,
    refine_pnp,
    reprojection_errors,
    solve_pnp,
    spread,
)
from scene_geo_loc.localization.view import View
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers import LocalFeatures, make_matcher
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import digest, load_checkpoint
from scene_geo_loc.networks.runtime.extractor import Extractor, SceneFeatures, has_contrast

MIN_AGREEING = 12
"""Fewer quick matches that agree say nothing of a candidate.

Ordered by fewer, too, SIFT localized 44 of 47 images of a walk indoors, and all 47 otherwise.
"""
QUICK_WIDTH = 2.0
"""Inliers of the few, coarse matches that candidates are ordered by may be so many times as far off."""

MIN_SPREAD = 0.05
"""Least standard deviation of inliers' pixels across the line that they lie along, in input heights."""


class Localizer:
    """Finds the pose of images in a reference map."""

    def __init__(
        self,
        reference_map: ReferenceMap,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        extractor: Extractor | None = None,
    ) -> None:
        """Loads the map's network, or takes an `extractor` of it (`network_of`), which others may use, too.

        Raises CheckpointError where it is damaged, MapError where it is not the one the map was built with.
        """
        self.map = reference_map
        self.settings = settings or LocalizerSettings()
        self.extractor = extractor or Extractor(network_of(reference_map), device)
        network = self.extractor.network
        config = network.config
        self._input_size = (config.input_width, config.input_height)
        self._map_cameras = [camera.resized(*self._input_size) for camera in reference_map.cameras]
        self.matcher = make_matcher(reference_map.info.matcher, network, reference_map.matcher_file)
        own = {name: getattr(self.matcher, name) for name in ("min_inlier_ratio", "min_coverage")}
        unset = {name: value for name, value in own.items() if not getattr(self.settings, name)}
        self.settings = self.settings.model_copy(update=unset)

    def localize(
        self, image: NDArray[np.uint8], camera: Camera, prior: PosePrior | None = None
    ) -> PoseEstimate:
        """The pose of an RGB image (H, W, 3) uint8 taken by `camera`.

        A `prior` restricts the search to keyframes around a guessed pose.
        Raises SceneGeoLocError where the image is of another size than its camera.
        """
        view = self.look(image, camera, prior)
        if view.reason:
            estimate = PoseEstimate(Status.LOST, reason=view.reason, candidates=view.candidates)
        else:
            with view.stopwatch.step("solve"):
                estimate = self._verify(self._solve(view), view)
            estimate.matches = self.at_full_size(estimate.matches, camera)
        estimate.timings_ms = view.stopwatch.times_ms
        return estimate

    def look(self, image: NDArray[np.uint8], camera: Camera, prior: PosePrior | None = None) -> View:
        """What an image alone tells, short of its pose; arguments and errors as of `localize`."""
        if image.shape != (camera.height, camera.width, 3):
            raise SceneGeoLocError(
                f"The image is {image.shape[1]}x{image.shape[0]} and its camera info says "
                f"{camera.width}x{camera.height}: give the camera info of this image."
            )
        view = View(camera.resized(*self._input_size))
        if not has_contrast(image):
            view.reason = "The image is black, saturated or of one colour."
            return view
        with view.stopwatch.step("describe"):
            features = self.extractor.extract(image)
        with view.stopwatch.step("retrieve"):
            view.candidates = self._retrieve(features, prior)
        if not view.candidates:
            view.reason = "No keyframe lies near the given prior."
        elif view.candidates[0].similarity < self.settings.min_similarity:
            view.reason = "No keyframe looks like the image."
        else:
            with view.stopwatch.step("detect"):
                query = self.matcher.extract(image, features)
                view.blocks = block_count(query.pixels)
            with view.stopwatch.step("order"):
                view.candidates = self._order(query, view.candidates, view.camera)
            with view.stopwatch.step("match"):
                view.matches = self._match_and_lift(query, view.candidates[: self.settings.candidates])
        return view

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
            features.global_descriptor, max(self.settings.retrieved, self.settings.candidates), among
        )
        return [Candidate(int(k), float(s)) for k, s in zip(keyframes, similarities, strict=True)]

    def _order(self, query: LocalFeatures, candidates: list[Candidate], camera: Camera) -> list[Candidate]:
        """The candidates by how many of a few quick matches agree on a pose, most first.

        Those of which no more agree than may by chance, and all where no more are retrieved than are matched
        in full, remain as they are: most similar first.
        """
        if len(candidates) <= self.settings.candidates:
            return candidates
        some = self.matcher.quick_rows[self.matcher.quick_rows < len(query.pixels)]
        quick = LocalFeatures(query.pixels[some], query.descriptors[some])
        limit = QUICK_WIDTH * self.settings.max_reprojection_error_px

        def judged(candidate: Candidate) -> Candidate:
            matches = self._match_one(quick, candidate.keyframe, quick=True)
            pixels = ideal_pixels(camera, matches.query_pixels)
            return replace(candidate, agreeing=agreeing_matches(pixels, matches.points_map, camera, limit))

        def counted(candidate: Candidate) -> int:
            return candidate.agreeing if candidate.agreeing >= MIN_AGREEING else 0

        return sorted(map(judged, candidates), key=counted, reverse=True)

    def _match_and_lift(self, query: LocalFeatures, candidates: list[Candidate]) -> Matches:
        """Matches with each candidate; its pixels become points by its depth (eq. 2).

        Pixels are those of the network's input.
        """
        return Matches.concatenate([self._match_one(query, candidate.keyframe) for candidate in candidates])

    def _match_one(self, query: LocalFeatures, k: int, quick: bool = False) -> Matches:
        """Matches with a keyframe, or with a few of its features."""
        keyframe = self.matcher.read(self.map.features_of(k), quick)
        query_pixels, in_keyframe = self.matcher.match(query, keyframe)
        stored = self.matcher.quick_rows[in_keyframe] if quick else in_keyframe
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
        """See `Matches.points_sigma`; `lifted` (M, 3) are the points in the keyframe's camera."""
        if self.map.depth_sigma is None:
            return np.zeros_like(lifted)
        relative = self.map.depth_sigma[k][stored].astype(np.float64)
        return (relative[:, None] * lifted) @ self.map.T_map_camera[k][:3, :3].T

    def _solve(self, view: View) -> tuple[PnPSolution, float] | None:
        """The pose that most matches agree with, and its inlier ratio.

        Per candidate, each proposes a pose from its own matches and the best inlier ratio wins: the
        paper's rule.  Pooled, the matches of all candidates propose one together, since every
        keyframe's pose is known and so all their points live in one map.  Only where that one is in
        doubt, because few candidates show the place, each proposes its own and all matches judge.
        """
        limit, matches = self.settings.max_reprojection_error_px, view.matches
        pixels, points_map, camera = view.pixels, matches.points_map, view.camera

        def propose(group: NDArray[np.bool_]) -> PnPSolution | None:
            solution = solve_pnp(pixels[group], points_map[group], camera, limit)
            if solution is None:
                return None
            errors = reprojection_errors(solution.T_map_camera, pixels, points_map, camera)
            return PnPSolution(solution.T_map_camera, errors <= limit)

        groups = [matches.keyframe == k for k in np.unique(matches.keyframe)]
        if self.settings.refinement == "per_candidate":
            found = [(s, g) for g in groups if (s := propose(g)) is not None]
            rated = [(replace(s, inlier=s.inlier & g), float(s.inlier[g].mean())) for s, g in found]
            return max(rated, key=lambda one: one[1], default=None)
        best = propose(np.ones(len(matches), bool))
        if best is None or self._doubt(best.inlier, float(best.inlier.mean()), view):
            proposals = [best, *(propose(group) for group in groups)]
            judged = [proposal for proposal in proposals if proposal is not None]
            if not judged:
                return None
            best = max(judged, key=lambda proposal: proposal.inlier.sum())
        if self.settings.final_fit:
            best = refine_pnp(best, pixels, points_map, camera, limit, matches.points_sigma)
        return best, float(best.inlier.mean())

    def _doubt(self, inlier: NDArray[np.bool_], inlier_ratio: float, view: View) -> str:
        """Why a pose cannot be believed, in a sentence; empty where it can.

        Besides the paper's inlier ratio, the inliers must lie all over the image, wherever it has features:
        streets are alike in their middle, where the road meets the sky.
        """
        settings = self.settings
        if inlier_ratio < settings.min_inlier_ratio:
            return (
                f"Only {inlier_ratio:.1%} of the matches agree with the pose, "
                f"and {settings.min_inlier_ratio:.0%} are asked for."
            )
        if spread(view.pixels[inlier]) < MIN_SPREAD * self._input_size[1]:
            return "The matches that agree with the pose lie on one line, or in one spot, of the image."
        coverage = block_count(view.pixels[inlier]) / view.blocks
        if coverage < settings.min_coverage:
            return (
                f"The matches that agree with the pose lie in {coverage:.0%} of the image, "
                f"and {settings.min_coverage:.0%} are asked for."
            )
        return ""

    def _verify(self, solution: tuple[PnPSolution, float] | None, view: View) -> PoseEstimate:
        """Believes the pose if nothing speaks against it; else keeps the best candidate's, and says so."""
        matches, candidates = view.matches, view.candidates
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
        estimate.inliers = int(inlier.sum())
        own = [matches.keyframe == candidate.keyframe for candidate in candidates]
        estimate.candidates = [
            replace(candidate, matches=int(of.sum()), inliers=int((of & inlier).sum()))
            for candidate, of in zip(candidates, own, strict=True)
        ]
        estimate.reason = self._doubt(inlier, estimate.inlier_ratio, view)
        if estimate.reason:
            return estimate
        errors = reprojection_errors(pose.T_map_camera, view.pixels, matches.points_map, view.camera)
        fitted = errors <= FIT_WIDTH * self.settings.max_reprojection_error_px
        equations = normal_equations(
            pose.T_map_camera,
            view.pixels[fitted],
            matches.points_map[fitted],
            view.camera,
            matches.points_sigma[fitted],
            matches.keyframe[fitted],
        )
        estimate.covariance = covariance_of(equations)
        if estimate.covariance is None:
            estimate.reason = "The matches that agree with the pose lie so that they do not fix it."
            return estimate
        estimate.status, estimate.T_map_camera = Status.LOCALIZED, pose.T_map_camera
        return estimate

    def at_full_size(self, matches: Matches, camera: Camera) -> Matches:
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


def network_of(reference_map: ReferenceMap) -> SceneNetwork:
    """The network that a map was built with, without the depth that queries do not need.

    Raises CheckpointError where it is damaged, MapError where it is not the one the map was built with.
    """
    network, _ = load_checkpoint(reference_map.path / "network.safetensors")
    if digest(network) != reference_map.info.network_digest:
        raise MapError(
            f"{reference_map.path} was built with another network than its network.safetensors: "
            "copy the map again, or build it again."
        )
    return network.without_depth()
