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

"""Camera localization in a reference map, as in Perspective-n-Learned-Point (Piasco et al., BMVC 2019).

Describe, retrieve K keyframes, compare, re-rank, match, lift by depth, solve, verify.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import InferenceError, MapError, SearchError
from scene_geo_loc.core.parallel import available_cores
from scene_geo_loc.geometry.camera import Camera
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
from scene_geo_loc.localization.map_networks import descriptor_of, network_of
from scene_geo_loc.localization.pnp import depth_is_known
from scene_geo_loc.localization.pose_localizer import PoseLocalizer
from scene_geo_loc.localization.pose_solver import PoseSolver
from scene_geo_loc.localization.query import CameraImage, Query, QueryMatches, Stopwatch, camera_images
from scene_geo_loc.localization.ray_intersection import intersected
from scene_geo_loc.localization.reading_size import reading_size, resized_pixels
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, no_images
from scene_geo_loc.localization.retrieval.retriever import Retriever
from scene_geo_loc.localization.rolling_shutter import RollingRows
from scene_geo_loc.localization.second_look.second_look import SecondLook
from scene_geo_loc.localization.second_look.surroundings import Surroundings
from scene_geo_loc.localization.solution import Solution
from scene_geo_loc.localization.solvers.robust_pnp import rerank_inliers
from scene_geo_loc.localization.stored_keyframes import StoredKeyframe, StoredKeyframes
from scene_geo_loc.localization.uncertainty.covariance import (
    BLOCK_PX,
    RESIDUALS_ONLY,
    block_count,
    blocks_of,
)
from scene_geo_loc.localization.verification.confidence import model_of
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.verification.verifier import RIVAL_SIMILARITY, Limits, Verifier
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers import make_matcher
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures, Matched
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.forward_pass import INPUT_AREA
from scene_geo_loc.networks.runtime.extractor import Extractor, has_contrast

_log = logging.getLogger(__name__)

MIN_RERANK_INLIERS = 12
"""Candidates with fewer re-ranking inliers keep their order: so few can agree by chance.

With this limit SIFT localized all 47 images of a walk indoors, without it 44.
"""
RERANK_WIDTH = 2.0
"""Re-ranking of single candidates takes this multiple of an inlier's largest error: their matches are few."""

CAMERAS = 64
"""Number of cameras whose reading size is kept."""


class Localizer(PoseLocalizer):
    """Estimates poses of cameras in a reference map of keyframes.

    Attributes:
        map: the reference map.
        settings: the given settings.
        extractor: runs the map's network.
        matcher: matcher of the map's local features.
        verifier: decides whether a pose is accepted.
        surroundings: looks again at rejected poses; None in maps where that does not help.
    """

    map: ReferenceMap

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
        self._map_focal_px = min(camera.fx for camera in map_cameras)
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
        limits = Limits.of(self.settings, self.matcher, reference_map)
        self.verifier = Verifier(
            reference_map,
            limits,
            self._input_size,
            self._max_error_px,
            self._block_px,
            model_of(self.matcher),
        )
        self._solver = PoseSolver(
            self.settings, self.verifier, self._max_error_px, has_rays=reference_map.info.has_rays
        )
        self._reading_size = lru_cache(CAMERAS)(self._choose_size)
        helped = Surroundings.help_in(reference_map, self.matcher)
        self.surroundings = Surroundings(self) if helped else None
        self._second_look = SecondLook(self, self.settings.second_look_share)

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        *,
        verified: Collection[str] = (),
    ) -> Localizer:
        """See `PoseLocalizer.open`."""
        return cls(ReferenceMap.open(folder, verified=verified), settings, device)

    @property
    def device(self) -> str:
        """Device that was asked for."""
        return self.extractor.device

    @property
    def backend_name(self) -> str:
        """Name of the backend that runs the map's network."""
        return self.extractor.backend_name

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

        The covariance is by the residuals and the geo-tags, without the map's accuracy, which is measured so.
        """
        features = self._keyframes.all_features(keyframe).features
        return self.localize_features(features, self.map.camera_of(keyframe), others)

    def localize_features(
        self, features: LocalFeatures, camera: Camera, others: Sequence[int]
    ) -> PoseEstimate:
        """Estimates the pose of an image from its features, as a map stores them, and some keyframes.

        Args:
            features: in pixels of the network's input.
            camera: of the image.
            others: keyframes to match with.
        """
        query = QueryMatches(
            np.eye(4), camera.resized(*self._input_size), [Candidate(other, 1.0) for other in others]
        )
        query.matches = self.match(features, others, query.input_size)
        query.blocks = block_count(features.pixels, self._block_px)
        return self.verifier.verify(self.solve([query]), [query], RESIDUALS_ONLY)

    def at_input_size(self, features: LocalFeatures, input_size: tuple[int, int]) -> LocalFeatures:
        """Returns an image's features in pixels of the network's input for it, of a width and height."""
        return features._replace(pixels=resized_pixels(features.pixels, self._input_size, input_size))

    def stored_keyframe(self, keyframe: int) -> StoredKeyframe:
        """Returns the features of a keyframe and their points in the map."""
        return self._keyframes.all_features(keyframe)

    def points_of(self, keyframe: int) -> NDArray[np.float64]:
        """Returns the points (N, 3) in the map of a keyframe's features whose depth is known."""
        stored = self._keyframes.all_features(keyframe)
        has_depth = depth_is_known(stored.points_sigma, len(stored.points_sigma))
        return stored.points_map[has_depth & np.isfinite(stored.points_map[:, 0])]

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
                solution = self.solve(queries)
                estimate = self.verifier.verify(solution, queries)
            if self.surroundings is not None and self.surroundings.are_asked_about(estimate):
                with stopwatch.step("surroundings"):
                    confirmed = self.surroundings.second_opinion(estimate, solution, queries)
                if confirmed is not None:
                    estimate, solution, queries = confirmed
            inliers = [np.zeros(len(query.matches), bool) for query in queries]
            if solution is not None:
                inliers = solution.inliers
                for query in queries:
                    query.place_points(solution.T_map_base)
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
        except SearchError as error:
            return replace(query, candidates=[], rejection=Rejection(RejectionKind.SEARCH, detail=str(error)))

    def _describe_and_match(
        self,
        image: CameraImage,
        prior: PosePrior | None,
        earlier: EarlierImages,
        stopwatch: Stopwatch,
        query: QueryMatches,
    ) -> QueryMatches:
        """Returns the matches of an image that shows anything.

        Raises InferenceError where a user's network cannot be run, or gives outputs that cannot be used, and
        SearchError where the index is in a database that does not answer.
        """
        with stopwatch.step("describe"):
            features = self.extractor.extract(image.image, query.input_size)
        with stopwatch.step("retrieve"):
            found = self._retriever.retrieve(features, self.settings, prior, image.T_base_camera, earlier)
            query.candidates, query.votes, query.rejection = found.candidates, found.votes, found.rejection
        if query.rejection is not None:
            return query
        with stopwatch.step("detect"):
            local = query.features = self.matcher.extract(image.image, features)
            pixels = resized_pixels(local.pixels, self._input_size, query.input_size)
            query.blocks = min(
                block_count(pixels, self._block_px), blocks_of(*self._input_size, self._block_px)
            )
        motion = image.readout_motion()
        if motion is not None:
            query.rolling = RollingRows(motion, self.map.T_map_camera)
        with stopwatch.step("rerank"):
            self._rerank(local, query)
        with stopwatch.step("match"):
            best = query.candidates[: self.settings.candidates]
            query.matches = self.match(local, [candidate.keyframe for candidate in best], query.input_size)
        return query

    def _rerank(self, local: LocalFeatures, query: QueryMatches) -> None:
        """Orders the candidates by their inliers among matches of a subset of the features, most first.

        One pose is searched for all candidates together, as all of them show the place if retrieval is right.
        If it passes the checks, it counts the inliers, and it is the first pose of `solve`.  Else a pose is
        searched for each candidate.  Candidates below `MIN_RERANK_INLIERS` stay in their order, and
        so do all where no more are retrieved than are matched in full.
        """
        if len(query.candidates) <= self.settings.candidates:
            return
        subset = self.matcher.rerank_subset
        few = LocalFeatures(local.pixels[subset], local.descriptors[subset])
        keyframes = [candidate.keyframe for candidate in query.candidates]
        rough = replace(query, matches=self.match(few, keyframes, query.input_size, is_subset=True))
        solution = None
        if self.settings.refinement == "pooled":
            solution = self._solver.first_pose(rough)
        limit = RERANK_WIDTH * self._max_error_px
        if solution is not None:
            query.first_T_map_base = solution.T_map_base
            inlier = solution.inliers[0]
            inliers = [int(inlier[part].sum()) for part in rough.parts(keyframes)]
        else:
            inliers = [rerank_inliers(rough.geometry.where(part), limit) for part in rough.parts(keyframes)]
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

    def match(
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
        if self.map.info.has_rays:
            matches = intersected(matches, self._map_focal_px)
        pixels = resized_pixels(matches.query_pixels, self._input_size, input_size)
        return replace(matches, query_pixels=pixels)

    def solve(self, queries: Sequence[QueryMatches]) -> Solution | None:
        """Returns the pose that most matches agree with, see `PoseSolver.solve`."""
        return self._solver.solve(queries)

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
    """Returns the matches with keyframe `k` that have a point or a ray, in pixels of the network's input."""
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
