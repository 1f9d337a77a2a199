"""Camera localization in a reference map, as in Perspective-n-Learned-Point (Piasco et al., BMVC 2019).

Describe, retrieve K keyframes, compare, re-rank, match, lift by depth, solve, verify.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import InferenceError, MapError
from scene_geo_loc.core.parallel import available_cores
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, position_error_m, rotation_error_deg
from scene_geo_loc.localization.confidence import MODELS, PoseSupport
from scene_geo_loc.localization.covariance import (
    BLOCK_PX,
    RESIDUALS_ONLY,
    MapErrors,
    block_count,
    blocks_of,
    move_covariance,
    pose_covariance,
)
from scene_geo_loc.localization.estimate import (
    SECOND_LOOK,
    CameraEstimate,
    Candidate,
    LocalizerSettings,
    Matches,
    PoseEstimate,
    PosePrior,
    Status,
)
from scene_geo_loc.localization.lens import fit_lens
from scene_geo_loc.localization.pnp import FIT_WIDTH, CameraMatches, refine_pnp, spread
from scene_geo_loc.localization.query import CameraImage, Query, QueryMatches, Stopwatch, camera_images
from scene_geo_loc.localization.reading_size import reading_size, resized_pixels
from scene_geo_loc.localization.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, no_images
from scene_geo_loc.localization.retrieval.retriever import Retriever
from scene_geo_loc.localization.second_look import SecondLook
from scene_geo_loc.localization.solution import Solution, all_of, by_camera, by_candidate, propose
from scene_geo_loc.localization.solvers.robust_pnp import FIRST_SEARCH, rerank_inliers
from scene_geo_loc.localization.stored_keyframes import StoredKeyframe, StoredKeyframes
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers import make_matcher
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures, Matched
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.forward_pass import INPUT_AREA
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor, has_contrast
from scene_geo_loc.networks.user.description import GlobalDescriptor
from scene_geo_loc.networks.user.image_network import DescriptorNetwork
from scene_geo_loc.networks.user.user_network import UserNetwork

_log = logging.getLogger(__name__)

MIN_RERANK_INLIERS = 12
"""Candidates with fewer re-ranking inliers keep their order: so few can agree by chance.

With this limit SIFT localized all 47 images of a walk indoors, without it 44.
"""
RERANK_WIDTH = 2.0
"""Re-ranking of single candidates takes this multiple of an inlier's largest error: their matches are few."""

RERANK_MATCHES = 400
"""Largest number of matches of all candidates together that a first pose is searched with."""

WIDE_FIT_STEP = 3
"""The fit that brings a first pose near to all matches takes every n-th of them."""

WIDE_FIT_STEPS = 3
"""Number of Gauss-Newton steps of that fit; the fit after it is in full."""

MIN_SPREAD = 0.05
"""Least standard deviation of the inliers' pixels across their principal axis, in heights of the input."""

PRECISE = 1 / 3
"""Largest error of a match that agrees precisely, as a share of an inlier's largest error."""

RIVAL_SIMILARITY = 0.95
"""Least similarity of a keyframe of a rival place, as a multiple of that of the best keyframe of the pose."""

RIVAL_SHARE = 0.6
"""Least number of inliers of a rival's keyframe, as a multiple of those of the pose's best keyframe."""

MIN_RIVAL_INLIERS = 20
"""Least number of inliers of a rival's keyframe."""

RIVAL_APART = 1.0
"""Least distance of a rival pose, metres; ten degrees count as one."""

MAX_CONFIDENCE = 0.99
"""Most confidence that a map's own look-alikes make a pose need: some poses pass in any map."""

CAMERAS = 64
"""Number of cameras whose reading size is kept."""


class Localizer:
    """Estimates poses of cameras in a reference map.

    Attributes:
        map: the reference map.
        settings: the given settings.
        extractor: runs the map's network.
        matcher: matcher of the map's local features.
        min_inliers, min_inlier_ratio, min_precise_ratio, min_coverage: those of the settings, or else of the
            matcher.
        min_confidence: that of the settings, and more where the map has places that look alike.
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
        network or matcher, InferenceError where a user's network cannot be run.
        """
        self.map = reference_map
        self.settings = settings or LocalizerSettings()
        self.extractor = extractor or Extractor(
            network_of(reference_map), device, descriptor_of(reference_map, device)
        )
        network = self.extractor.network
        if self.extractor.descriptor_size != reference_map.index.size:
            raise MapError(
                f"The descriptors of {reference_map.path} have {reference_map.index.size} numbers, and those "
                f"of its network {self.extractor.descriptor_size}: copy the map again, or build it again."
            )
        self._input_size = self.extractor.input_size
        enlarged = max(1.0, (network.input_width * network.input_height / INPUT_AREA) ** 0.5)
        self._max_error_px = self.settings.max_reprojection_error_px * enlarged
        self._block_px = BLOCK_PX * enlarged
        map_cameras = [camera.resized(*self._input_size) for camera in reference_map.cameras]
        self.matcher = make_matcher(
            reference_map.info.matcher,
            network,
            reference_map.matcher_file,
            matcher,
            pair_path=reference_map.pair_matcher_file,
            device=device,
        )
        self._check_features()
        self._keyframes = StoredKeyframes(reference_map, self.matcher.storage, map_cameras)
        self._retriever = Retriever(reference_map, network)
        self._threads_count = available_cores()
        # The thread of the query is one of them.
        self._threads = ThreadPoolExecutor(max(1, self._threads_count - 1), thread_name_prefix="match")
        asked, own = self.settings, self.matcher
        self.min_inliers = own.min_inliers if asked.min_inliers is None else asked.min_inliers
        self.min_inlier_ratio = (
            own.min_inlier_ratio if asked.min_inlier_ratio is None else asked.min_inlier_ratio
        )
        self.min_coverage = own.min_coverage if asked.min_coverage is None else asked.min_coverage
        self.min_precise_ratio = (
            own.min_precise_ratio if asked.min_precise_ratio is None else asked.min_precise_ratio
        )
        look_alikes = reference_map.info.look_alikes
        self.min_confidence = max(
            asked.min_confidence, 0.0 if look_alikes is None else min(look_alikes.confidence, MAX_CONFIDENCE)
        )
        self._map_errors = MapErrors.of(reference_map.info.accuracy)
        self._reading_size = lru_cache(CAMERAS)(self._choose_size)
        self._second_look = SecondLook(self, asked.second_look_share)

    def _check_features(self) -> None:
        """Raises MapError where the map's keypoints are not as its matcher stores them."""
        storage, stored = self.matcher.storage, self.map.features["local_features"]
        if isinstance(storage, KeypointStorage) and not storage.can_read(stored.shape[1:], stored.dtype):
            raise MapError(
                f"The local features of {self.map.path} have the shape {stored.shape[1:]} of {stored.dtype}, "
                f"and those of its matcher have {storage.channels} numbers: copy the map again, or build it "
                "again."
            )

    def _choose_size(self, camera: Camera) -> tuple[int, int]:
        """Returns the network's input size for a camera's images; another one than the map's is logged."""
        if not self.matcher.is_resizable:
            return self._input_size
        size = reading_size(camera, self.map.cameras, self.extractor.network)
        if size.input_size != self._input_size:
            _log.info("%s", size.describe(camera, self._input_size))
        return size.input_size

    def localize(
        self, query: Query, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        """Estimates the pose of one image, or of a rig from images that its cameras took at one instant.

        Args:
            query: a frame or an image, or one image of each camera of a rig.  Its images are described,
                retrieved and matched each on its own; one pose is solved from the matches of all.
            prior: restricts the search to keyframes around a guessed pose.
            earlier: images before this one, which the order of the retrieved keyframes takes into account.

        Raises SceneGeoLocError where there is no image, or one of another size than its camera.
        """
        images = camera_images(query)
        stopwatch = Stopwatch()
        sizes = [self._reading_size(image.camera) for image in images]
        estimate = self.look(images, sizes, prior, earlier, stopwatch)
        if self._second_look.is_due(estimate):
            with stopwatch.step(SECOND_LOOK):
                estimate = self._second_look.decide(images, sizes, prior, earlier, estimate)
        estimate.timings_ms = stopwatch.times_ms
        return estimate

    def localize_keyframe(self, keyframe: int, others: Sequence[int]) -> PoseEstimate:
        """Estimates the pose of a keyframe from its stored features and some other keyframes.

        The covariance is by the residuals alone, without the accuracy of the map, which is measured so.
        """
        features = self._keyframes.all_features(keyframe).features
        camera = self.map.camera_of(keyframe).resized(*self._input_size)
        query = QueryMatches(np.eye(4), camera, [Candidate(other, 1.0) for other in others])
        query.matches = self._match(features, others, query.input_size)
        query.blocks = block_count(features.pixels, self._block_px)
        return self._verify(self._solve([query]), [query], RESIDUALS_ONLY)

    def look(
        self,
        images: Sequence[CameraImage],
        sizes: Sequence[tuple[int, int]],
        prior: PosePrior | None,
        earlier: EarlierImages,
        stopwatch: Stopwatch,
    ) -> PoseEstimate:
        """Estimates the pose from one look at the images; other arguments as of `localize`.

        Args:
            sizes: width and height of the network's input for each image, see `ReadingSize`.
        """
        queries = [
            self._match_image(image, size, prior, earlier, stopwatch)
            for image, size in zip(images, sizes, strict=True)
        ]
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
                self._at_full_size(replace(query.matches, inlier=inlier), image, query.input_size),
                query.rejection,
                query.votes,
                None if query.lens is None else query.lens.of(image.camera),
            )
            for image, query, inlier in zip(images, queries, inliers, strict=True)
        ]
        return estimate

    def _match_image(
        self,
        image: CameraImage,
        input_size: tuple[int, int],
        prior: PosePrior | None,
        earlier: EarlierImages,
        stopwatch: Stopwatch,
    ) -> QueryMatches:
        """Describes an image, retrieves and re-ranks candidates, matches the best and lifts the matches."""
        query = QueryMatches(image.T_base_camera, image.camera.resized(*input_size))
        if not has_contrast(image.image):
            query.rejection = Rejection(RejectionKind.NO_CONTRAST)
            return query
        try:
            return self._describe_and_match(image, prior, earlier, stopwatch, query)
        except InferenceError as error:
            return replace(
                query, candidates=[], rejection=Rejection(RejectionKind.INFERENCE, detail=str(error))
            )

    def _describe_and_match(
        self,
        image: CameraImage,
        prior: PosePrior | None,
        earlier: EarlierImages,
        stopwatch: Stopwatch,
        query: QueryMatches,
    ) -> QueryMatches:
        """Returns the matches of an image that shows anything.

        Raises InferenceError where a user's network cannot be run, or gives outputs that cannot be used.
        """
        with stopwatch.step("describe"):
            features = self.extractor.extract(image.image, query.input_size)
        with stopwatch.step("retrieve"):
            found = self._retriever.retrieve(features, self.settings, prior, image.T_base_camera, earlier)
            query.candidates, query.votes, query.rejection = found.candidates, found.votes, found.rejection
        if query.rejection is not None:
            return query
        with stopwatch.step("detect"):
            local = self.matcher.extract(image.image, features)
            pixels = resized_pixels(local.pixels, self._input_size, query.input_size)
            query.blocks = min(
                block_count(pixels, self._block_px), blocks_of(*self._input_size, self._block_px)
            )
        with stopwatch.step("rerank"):
            self._rerank(local, query)
        with stopwatch.step("match"):
            best = query.candidates[: self.settings.candidates]
            query.matches = self._match(local, [candidate.keyframe for candidate in best], query.input_size)
        return query

    def _rerank(self, local: LocalFeatures, query: QueryMatches) -> None:
        """Orders the candidates by their inliers among matches of a subset of the features, most first.

        One pose is searched for all candidates together, as all of them show the place if retrieval is right.
        If it passes the checks, it counts the inliers, and it is the first pose of `_solve`.  Else a pose is
        searched for each candidate.  Candidates below `MIN_RERANK_INLIERS` stay in their order, and
        so do all where no more are retrieved than are matched in full.
        """
        if len(query.candidates) <= self.settings.candidates:
            return
        subset = self.matcher.rerank_subset
        few = LocalFeatures(local.pixels[subset], local.descriptors[subset])
        keyframes = [candidate.keyframe for candidate in query.candidates]
        rough = replace(query, matches=self._match(few, keyframes, query.input_size, is_subset=True))
        solution = None
        if self.settings.refinement == "pooled":
            solution = self._first_pose(rough)
        limit = RERANK_WIDTH * self._max_error_px
        if solution is not None:
            query.first_T_map_base = solution.T_map_base
            inlier = solution.inliers[0]
            inliers = [int(inlier[part].sum()) for part in rough.parts(keyframes)]
        else:
            pixels, points_map = rough.geometry.pixels, rough.matches.points_map
            inliers = [
                rerank_inliers(pixels[part], points_map[part], query.camera, limit)
                for part in rough.parts(keyframes)
            ]
        rated = [
            replace(candidate, rerank_inliers=count)
            for candidate, count in zip(query.candidates, inliers, strict=True)
        ]

        def rank(candidate: Candidate) -> int:
            return candidate.rerank_inliers if candidate.rerank_inliers >= MIN_RERANK_INLIERS else 0

        query.candidates = self._with_rival(sorted(rated, key=rank, reverse=True))

    def _with_rival(self, ranked: list[Candidate]) -> list[Candidate]:
        """Returns ranked candidates, the last that is matched replaced by one of a rival place.

        That is a candidate as similar as the best ones whose matches do not agree with theirs.  Where there
        is none, the candidates stay as they are.
        """
        last = self.settings.candidates - 1
        supporting = [c for c in ranked[:last] if c.rerank_inliers >= MIN_RERANK_INLIERS]
        least = RIVAL_SIMILARITY * max((c.similarity for c in supporting), default=np.inf)
        rivals = [c for c in ranked[last:] if c.rerank_inliers < MIN_RERANK_INLIERS and c.similarity >= least]
        if not rivals or ranked[last] in rivals:
            return ranked
        rival = max(rivals, key=lambda c: c.similarity)
        others = [c for c in ranked if c is not rival]
        return [*others[:last], rival, *others[last:]]

    def _first_pose(self, rough: QueryMatches) -> Solution | None:
        """Returns a pose from some of the matches with all candidates if it passes the checks, else None."""
        matches, limit = [rough.geometry], self._max_error_px
        some = np.zeros(len(rough.matches), bool)
        some[:: -(-len(some) // RERANK_MATCHES) or 1] = True
        solution = propose(matches, [some], limit, effort=FIRST_SEARCH)
        if solution is None or self._reject(solution, [rough]) is not None:
            return None
        return solution

    def _match(
        self,
        query: LocalFeatures,
        keyframes: Sequence[int],
        input_size: tuple[int, int],
        is_subset: bool = False,
    ) -> Matches:
        """Matches with keyframes, or with a subset of their features, lifted by their depth (eq. 2).

        Pixels are those of the network's input, which has the size `input_size` for the query.
        """
        read = self._keyframes.subset if is_subset else self._keyframes.all_features

        def match(some: Sequence[int]) -> Matches:
            stored = [read(k) for k in some]
            match_all = self.matcher.match_subset if is_subset else self.matcher.match_all
            matched = match_all(query, [keyframe.features for keyframe in stored])
            return Matches.concatenate(list(map(lifted, some, stored, matched)))

        size = -(-len(keyframes) // self._threads_count)
        parts = [keyframes[i : i + size] for i in range(0, len(keyframes), size)]
        others = [self._threads.submit(match, part) for part in parts[1:]]
        matches = Matches.concatenate([match(parts[0]), *(other.result() for other in others)])
        pixels = resized_pixels(matches.query_pixels, self._input_size, input_size)
        return replace(matches, query_pixels=pixels)

    def _solve(self, queries: Sequence[QueryMatches]) -> Solution | None:
        """Returns the pose that most matches agree with (section 3.4).

        With the refinement "per_candidate", the paper's rule, a pose is solved from the matches of each
        candidate, and the one with the best inlier ratio is taken.  With "pooled", one pose is solved from
        all matches together, which the known poses of the keyframes allow.  If that pose is rejected, because
        too few candidates show the place, a pose is solved for each camera and then for each candidate, and
        the one with most inliers is taken.
        """
        limit = self._max_error_px
        matches = [query.geometry for query in queries]
        if self.settings.refinement == "per_candidate":
            proposals = [
                propose(matches, voters, limit, only_voters=True) for voters in by_candidate(queries)
            ]
            found = [proposal for proposal in proposals if proposal is not None]
            return max(found, key=lambda proposal: max(proposal.ratios), default=None)
        if self.settings.final_fit:
            first = [query.first_T_map_base for query in queries if query.first_T_map_base is not None]
            fitted = [self._fitted(self._widely_fitted(T, matches), matches) for T in first]
            best = max(fitted, key=lambda solution: solution.count, default=None)
            if best is not None and self._reject(best, queries) is None:
                return best
        best = propose(matches, all_of(matches), limit)
        for groups in (by_camera(matches), by_candidate(queries)):
            if best is not None and self._reject(best, queries) is None:
                break
            proposals = [best, *(propose(matches, voters, limit) for voters in groups)]
            found = [proposal for proposal in proposals if proposal is not None]
            best = max(found, key=lambda proposal: proposal.count, default=None)
        return self._fitted(best, matches) if best is not None and self.settings.final_fit else best

    def _widely_fitted(self, T_map_base: Pose, matches: Sequence[CameraMatches]) -> Solution:
        """Returns the solution of a fit to all matches near a first pose, which is less precise than theirs.

        Matches with near points are off by more than an inlier may be: a narrow fit would leave them out.
        """
        limit = self._max_error_px
        some = [camera.where(slice(None, None, WIDE_FIT_STEP)) for camera in matches]
        T = refine_pnp(T_map_base, some, RERANK_WIDTH * limit, WIDE_FIT_STEPS)
        return Solution(T, all_of(matches), []).at(T, matches, limit)

    def _fitted(self, solution: Solution, matches: Sequence[CameraMatches]) -> Solution:
        """Returns the solution of a robust fit to the matches of the cameras that confirm a pose."""
        limit = self._max_error_px
        confirming = [matches[i] for i in solution.confirming(self.min_inlier_ratio)]
        if not confirming:  # nothing matches in full, although some of the features agreed
            return solution
        refined = solution.at(refine_pnp(solution.T_map_base, confirming, limit), matches, limit)
        return refined if refined.count else solution

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
        cameras = solution.confirming(self.min_inlier_ratio)
        least = round(self.min_inliers * max(self._relative_size(queries[i]) for i in cameras))
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
        if coverage < self.min_coverage:
            return Rejection(RejectionKind.COVERAGE, coverage, self.min_coverage)
        return None

    def _coverage(self, solution: Solution, queries: Sequence[QueryMatches]) -> float:
        """Returns the share of an image's blocks with features that the inliers of all cameras lie in."""
        confirming = solution.confirming(self.min_inlier_ratio)
        pixels = [queries[i].geometry.pixels[solution.inliers[i]] for i in confirming]
        covered = sum(block_count(part, self._block_px) for part in pixels)
        return covered / max(query.blocks for query in queries)

    def _precise_ratio(self, solution: Solution, queries: Sequence[QueryMatches]) -> float:
        """Returns the share of the matches that agree precisely, of the best camera."""
        matches = [queries[i].geometry for i in solution.confirming(self.min_inlier_ratio)]
        near = [camera.errors(solution.T_map_base) <= PRECISE * self._max_error_px for camera in matches]
        return max(float(mask.mean()) for mask in near)

    def _reject_look_alike(self, solution: Solution, queries: Sequence[QueryMatches]) -> Rejection | None:
        """Returns why a fitted pose is not accepted that agrees with its matches, but only roughly, or None.

        Another place that looks alike, built of the same parts in other places, agrees within the error of an
        inlier; the place itself mostly within a third of it.
        """
        share = self._precise_ratio(solution, queries)
        if share < self.min_precise_ratio:
            return Rejection(RejectionKind.PRECISE_RATIO, share, self.min_precise_ratio)
        return None

    def _rival(
        self, solution: Solution, queries: Sequence[QueryMatches]
    ) -> tuple[Pose, tuple[int, int]] | None:
        """Returns a pose elsewhere that keyframes as similar as the solution's agree with as well, or None.

        Keyframes of another place that looks the same support a pose of their own, and not the solution.

        Returns:
            The pose, and the inliers of the best keyframe of the solution and of the rival.
        """
        best, least_similarity = 0, 0.0
        unsupporting = []
        for query in queries:
            # Also of keyframes that the solution was not found from.
            inlier = query.geometry.errors(solution.T_map_base) <= self._max_error_px
            counted = [c for c in query.counted(inlier) if c.matches]
            most = max((c.inliers for c in counted), default=0)
            supporting = [c.similarity for c in counted if 2 * c.inliers >= most > 0]
            least_similarity = RIVAL_SIMILARITY * max(supporting, default=np.inf)
            best = max(best, most)
            rivals = [
                c.keyframe for c in counted if 10 * c.inliers < most and c.similarity >= least_similarity
            ]
            unsupporting.append(np.isin(query.matches.keyframe, rivals))
        needed = max(MIN_RIVAL_INLIERS, RIVAL_SHARE * best)
        if max(int(mask.sum()) for mask in unsupporting) < needed:
            return None
        matches = [query.geometry for query in queries]
        rival = propose(matches, unsupporting, self._max_error_px, only_voters=True, effort=FIRST_SEARCH)
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

    def _relative_size(self, query: QueryMatches) -> float:
        """Returns the side of the input that an image was read at in the map's, 1 at most.

        An image that is read at a smaller size has fewer features.
        """
        width, height = query.input_size
        return min(1.0, float((width * height / np.prod(self._input_size)) ** 0.5))

    def _verify(
        self, solution: Solution | None, queries: Sequence[QueryMatches], map_errors: MapErrors | None = None
    ) -> PoseEstimate:
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
            if not any(query.blocks for query in queries):
                kind = RejectionKind.NO_FEATURES
            estimate.rejection = Rejection(kind, count)
            return estimate
        cameras = solution.confirming(self.min_inlier_ratio)
        voted = np.concatenate([solution.inliers[i][solution.voters[i]] for i in cameras])
        estimate.inliers, estimate.inlier_ratio = int(voted.sum()), float(voted.mean())
        estimate.rejection = self._reject(solution, queries) or self._reject_look_alike(solution, queries)
        if estimate.rejection is not None:
            return estimate
        rival = self._rival(solution, queries)
        if rival is not None:
            T_map_rival, counts = rival
            estimate.alternatives = [solution.T_map_base, T_map_rival]
            places = " and ".join(
                "x {:.1f} y {:.1f} z {:.1f} m".format(*T[:3, 3]) for T in estimate.alternatives
            )
            estimate.rejection = Rejection(RejectionKind.AMBIGUOUS, *counts, detail=places)
            return estimate
        pose, limit = solution.T_map_base, FIT_WIDTH * self._max_error_px
        self._fit_lenses(pose, [queries[i] for i in cameras])
        other = next((fit for i in cameras if (fit := queries[i].lens) is not None and fit.is_other), None)
        if other is not None:
            estimate.rejection = Rejection(RejectionKind.OTHER_LENS, other.scale)
            return estimate
        matches = [queries[i].geometry for i in cameras]
        fitted = [camera.where(camera.errors(pose) <= limit) for camera in matches]
        by_residuals = pose_covariance(pose, fitted, self._block_px, RESIDUALS_ONLY)
        if by_residuals is None:
            estimate.rejection = Rejection(RejectionKind.UNDETERMINED)
            return estimate
        estimate.confidence = self._confidence(solution, queries, estimate.inlier_ratio, by_residuals)
        if estimate.confidence is not None and estimate.confidence < self.min_confidence:
            estimate.rejection = Rejection(RejectionKind.CONFIDENCE, estimate.confidence, self.min_confidence)
            return estimate
        estimate.covariance = (map_errors or self._map_errors).added_to(by_residuals)
        if len(cameras) == 1:
            estimate.covariance += self._doubt_of_lens(pose, queries[cameras[0]])
        estimate.status, estimate.T_map_base = Status.LOCALIZED, pose
        return estimate

    def _confidence(
        self,
        solution: Solution,
        queries: Sequence[QueryMatches],
        inlier_ratio: float,
        covariance: NDArray[np.float64],
    ) -> float | None:
        """Returns the probability that a pose is right, or None for matchers that have no model of it."""
        model = MODELS.get(self.matcher.name)
        if model is None:
            return None
        spreads = [
            spread(queries[i].geometry.pixels[solution.inliers[i]]) / queries[i].camera.height
            for i in solution.confirming(self.min_inlier_ratio)
        ]
        rotation_std = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
        support = PoseSupport(
            inlier_ratio, self._precise_ratio(solution, queries), max(spreads), rotation_std
        )
        return model.probability(support)

    def _fit_lenses(self, T_map_base: Pose, queries: Sequence[QueryMatches]) -> None:
        """Sets the fit of the focal length of each camera that confirms a pose."""
        for query in queries:
            T_map_camera = T_map_base @ query.T_base_camera
            query.lens = fit_lens(T_map_camera, query.geometry, self._max_error_px, self._block_px)

    @staticmethod
    def _doubt_of_lens(T_map_base: Pose, query: QueryMatches) -> NDArray[np.float64]:
        """Returns the covariance (6, 6) that the doubt of the only camera's focal length adds to a pose."""
        if query.lens is None:
            return np.zeros((6, 6))
        lever = T_map_base[:3, 3] - (T_map_base @ query.T_base_camera)[:3, 3]
        return move_covariance(query.lens.pose_covariance, lever)

    def _at_full_size(self, matches: Matches, image: CameraImage, input_size: tuple[int, int]) -> Matches:
        """Returns matches in pixels of the images rather than of the network's input."""
        size = np.array([image.camera.width, image.camera.height])
        sizes = np.array([(camera.width, camera.height) for camera in self.map.cameras])
        keyframe_sizes = sizes[self.map.camera_index[matches.keyframe]]
        return replace(
            matches,
            query_pixels=(matches.query_pixels + 0.5) * size / input_size - 0.5,
            keyframe_pixels=(matches.keyframe_pixels + 0.5) * keyframe_sizes / self._input_size - 0.5,
        )


def lifted(k: int, stored: StoredKeyframe, matched: Matched) -> Matches:
    """Returns the matches with keyframe `k` whose depth is known, in pixels of the network's input."""
    query_pixels, rows = matched
    points = stored.points_map[rows]
    known = np.isfinite(points[:, 2])
    if not known.all():
        query_pixels, rows, points = query_pixels[known], rows[known], points[known]
    return Matches(
        query_pixels=query_pixels,
        keyframe=np.full(len(rows), k),
        keyframe_pixels=stored.features.pixels[rows],
        points_map=points,
        points_sigma=stored.points_sigma[rows],
        inlier=np.zeros(len(rows), bool),
    )


def network_of(reference_map: ReferenceMap) -> InferenceNetwork:
    """Returns the network that a map was built with, without its depth decoder, which queries do not need.

    Raises CheckpointError where it is damaged, MapError where the map was built with another.
    """
    network, _ = load_network(reference_map.path / "network.safetensors")
    if network.digest != reference_map.info.network_digest:
        raise MapError(
            f"{reference_map.path} was built with another network than its network.safetensors: "
            "copy the map again, or build it again."
        )
    return network.without_depth()


def descriptor_of(reference_map: ReferenceMap, device: str) -> DescriptorNetwork | None:
    """Returns the user's network that made a map's descriptors, or None where `network_of` did.

    Raises CheckpointError where it is damaged, MapError where the map was built with another.
    """
    path = reference_map.descriptor_file
    if path is None:
        return None
    network = UserNetwork.read_copy(path, GlobalDescriptor)
    record = reference_map.info.user_networks.get("descriptor")
    if record is None or record.sha256 != network.sha256:
        raise MapError(
            f"{reference_map.path} was built with another network than its {path.name}: copy the map again, "
            "or build it again."
        )
    return DescriptorNetwork(network, device)
