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

"""Finds the keyframes of a map that look most like an image (PnlP, eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.estimate import Candidate, LocalizerSettings, PosePrior
from scene_geo_loc.localization.retrieval.drive_spread import DriveSpread
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, KeyframeVotes, sequence_votes
from scene_geo_loc.localization.retrieval.place_check import agreement
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.co_similarity import CoSimilarity
from scene_geo_loc.mapping.search.place_keypoints import place_keypoints, row_shape, signs_and_places
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

EXPANDED = 5
"""Number of the best keyframes whose co-similar ones are candidates too."""


PANORAMAS_CO_SIMILARITY = 1.0
"""Weight of the support among keyframes in maps of panoramas, whose places are metres apart."""


@dataclass(frozen=True)
class Retrieval:
    """Keyframes that look like an image.

    Attributes:
        candidates: the best, best first.
        votes: of the image alone; None where it was rejected.
        rejection: reason why none is used, or None.
    """

    candidates: list[Candidate] = field(default_factory=list)
    votes: KeyframeVotes | None = None
    rejection: Rejection | None = None


class Retriever:
    """Searches a map by global descriptor, then orders the best by layout and by the images before.

    Raises MapError where the map's place keypoints are of another network.
    """

    def __init__(self, reference_map: ReferenceMap, network: InferenceNetwork) -> None:
        self._map = reference_map
        self._input_size = (network.input_width, network.input_height)
        stored = reference_map.place_keypoints
        expected = row_shape(network.signature.local_features.channels)
        if stored is not None and (stored.shape[1:], stored.dtype) != (expected, np.uint8):
            raise MapError(
                f"The place keypoints of {reference_map.path} have the shape {stored.shape[1:]} of "
                f"{stored.dtype}, and its network gives {expected} of uint8: copy the map again, or build it "
                "again."
            )
        self._spread = DriveSpread(reference_map)

    def retrieve(
        self,
        features: SceneFeatures,
        settings: LocalizerSettings,
        prior: PosePrior | None,
        T_base_camera: Pose,
        earlier: EarlierImages,
    ) -> Retrieval:
        """Returns the candidates of one image.

        Args:
            prior: restricts the search to keyframes around a guessed pose.
            T_base_camera: pose of the image's camera in the base.
            earlier: images before this one, see `ImageSequence`.
        """
        assert features.global_descriptor is not None, "a map's network is fitted"
        among = None
        if prior is not None:
            among = self._map.within(prior.point, prior.radius_m)
            if len(among) == 0:
                _, away_m = self._map.nearest(prior.point)
                kind = RejectionKind.NO_KEYFRAME_NEAR_PRIOR
                return Retrieval(rejection=Rejection(kind, away_m, prior.radius_m))
        count = max(settings.retrieved, settings.candidates)
        share = settings.other_drives
        keyframes, cosines = self._spread.search(
            features.global_descriptor, max(count, settings.compared), among, count, share
        )
        similarities = cosines.astype(np.float64)
        # Visual words find no keyframe that shares none with the image.
        best = float(similarities[0]) if len(keyframes) else 0.0
        limit = settings.min_similarity
        if best < limit or len(keyframes) == 0:
            candidates = [Candidate(int(k), float(s)) for k, s in zip(keyframes, similarities, strict=True)]
            return Retrieval(candidates, rejection=Rejection(RejectionKind.UNKNOWN_PLACE, best, limit))
        agreements = self._agreements(features, keyframes, settings)
        scores = similarities + agreements
        votes = KeyframeVotes.of(keyframes, scores)
        support = np.zeros(len(keyframes))
        weight, graph = self._co_similarity(settings), self._map.co_similarity
        if weight > 0 and graph is not None:
            best_first = keyframes[np.argsort(-scores, kind="stable")]
            added, more = self._around(best_first, features.global_descriptor, graph, among)
            keyframes, similarities = np.append(keyframes, added), np.append(similarities, more)
            agreements = np.append(agreements, np.zeros(len(added)))
            scores = similarities + agreements
            support = weight * graph.support(keyframes, votes.keyframes, votes.votes)
        votes_before = sequence_votes(keyframes, T_base_camera, earlier(), self._map.T_map_camera)
        ranked = np.argsort(-(scores + votes_before + support), kind="stable")
        ranked = ranked[self._spread.choose(keyframes[ranked], count, share)]
        columns = (keyframes, similarities, agreements, votes_before, support)
        rows = zip(*(column[ranked].tolist() for column in columns), strict=True)
        return Retrieval([Candidate(*row) for row in rows], votes)

    def _co_similarity(self, settings: LocalizerSettings) -> float:
        """Returns the weight of support among keyframes.

        The keyframes of a drive are so near each other that it changes nothing for the better there.
        """
        if settings.co_similarity is not None:
            return settings.co_similarity
        return 0.0 if self._map.info.geo_tags is None else PANORAMAS_CO_SIMILARITY

    def _around(
        self,
        best_first: NDArray[np.int64],
        descriptor: NDArray[np.float32],
        graph: CoSimilarity,
        among: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns keyframes co-similar to the best ones that were not retrieved, and their similarities.

        Args:
            best_first: the retrieved keyframes.
            descriptor: (D,) of the image.
            graph: co-similarity of the map.
            among: the keyframes that may be returned; None: all.
        """
        neighbours = [graph.neighbours(int(keyframe))[0] for keyframe in best_first[:EXPANDED]]
        added = np.setdiff1d(np.concatenate(neighbours), best_first)
        if among is not None:
            added = np.intersect1d(added, among)
        similarities = np.zeros(len(added))
        if len(added):
            found, cosines = self._map.index.search(descriptor, len(added), added)
            similarities[np.searchsorted(added, found)] = cosines  # others share no word with the image
        return added, similarities

    def _agreements(
        self, features: SceneFeatures, keyframes: NDArray[np.int64], settings: LocalizerSettings
    ) -> NDArray[np.float64]:
        """Returns how far the best keypoints lie as in each keyframe (K,), see `Candidate.agreement`.

        Nothing is compared where no more are retrieved than are matched in full.
        """
        agreements = np.zeros(len(keyframes))
        compared, stored = keyframes[: settings.compared], self._map.place_keypoints
        if stored is None or features.strongest is None or len(compared) <= settings.candidates:
            return agreements
        query = place_keypoints(features.strongest, features.input_size)
        signs, places = signs_and_places(stored[compared], self._input_size)
        agreements[: len(compared)] = agreement(query, signs, places)
        return agreements
