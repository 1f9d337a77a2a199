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

"""Matching of the keypoints of two images by a user's network, such as LightGlue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import CheckpointError, InferenceError
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.matchers.features import LocalFeatures, Matched
from scene_geo_loc.matchers.keypoints import SparseMatcher
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.runtime.extractor import SceneFeatures
from scene_geo_loc.networks.user.description import MAX_PIXELS, PairMatches
from scene_geo_loc.networks.user.image_network import GraphRunner
from scene_geo_loc.networks.user.user_network import UserNetwork, without_batch


class PairNetworkMatcher(Matcher):
    """The keypoints of another matcher, matched by a network instead of by their nearest neighbours.

    Candidates are re-ranked by nearest neighbours, since the network would run for each of them.

    Args:
        keypoints: detects and stores the keypoints.
        network: matches them.
        device: "auto", "cpu" or "cuda", see `graph_backends`.
    """

    storage: KeypointStorage

    def __init__(self, keypoints: SparseMatcher, network: UserNetwork[PairMatches], device: str) -> None:
        self.keypoints, self.pair_network = keypoints, network
        self.name = keypoints.name  # type: ignore[misc]  # of the stored features
        self.input_size, self.storage = keypoints.input_size, keypoints.storage
        self.rerank_subset, self.is_resizable = keypoints.rerank_subset, keypoints.is_resizable
        self.min_inlier_ratio = keypoints.min_inlier_ratio
        self.min_precise_ratio, self.min_coverage = keypoints.min_precise_ratio, keypoints.min_coverage
        outputs = (network.description.matches, network.description.scores)
        self._runner = GraphRunner(network, [name for name in outputs if name is not None], device)
        self._check_channels()

    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        return self.keypoints.extract(image, features)

    def rows(
        self, image: NDArray[np.uint8], features: SceneFeatures, known: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
        """See `Matcher.rows`."""
        return self.keypoints.rows(image, features, known)

    def save(self, path: Path) -> None:
        """Writes the weights of the detector; the network has a file of its own, see `complete_map`."""
        self.keypoints.save(path)

    def match_subset(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matched]:
        """Returns the mutual nearest neighbours with each of several keyframes."""
        return self.keypoints.match_subset(query, references)

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Returns the matches by the network.

        Raises InferenceError where it cannot be run, or gives no such matches.
        """
        if len(query.pixels) == 0 or len(reference.pixels) == 0:
            return Matched(np.zeros((0, 2)), np.zeros(0, np.intp))
        outputs = self._runner.run(self._inputs(query, reference))
        pairs = self._pairs(outputs, len(query.pixels))
        counts = (len(query.pixels), len(reference.pixels))
        if len(pairs) and (pairs.min() < 0 or (pairs >= counts).any()):
            raise InferenceError(
                f"{self.pair_network.name} matches rows {pairs.min()} to {pairs.max()} of {counts[0]} and "
                f"{counts[1]} keypoints: check `form` in its YAML file."
            )
        return Matched(query.pixels[pairs[:, 0]], pairs[:, 1])

    def _inputs(self, query: LocalFeatures, reference: LocalFeatures) -> list[NDArray]:
        """Returns the inputs of the graph in its order."""
        description = self.pair_network.description
        size = self.input_size * (MAX_PIXELS / self.input_size.prod()) ** 0.5
        by_name: dict[str | None, NDArray] = {}
        for number, found in enumerate((query, reference)):
            pixels = (found.pixels + 0.5) * size / self.input_size - 0.5
            coordinates = description.coordinates.of_pixels(pixels, size)
            if description.order == "yx":
                coordinates = coordinates[:, ::-1]
            described = found.descriptors if description.descriptor_axes == "nc" else found.descriptors.T
            by_name[getattr(description, f"keypoints{number}")] = coordinates
            by_name[getattr(description, f"descriptors{number}")] = described
            by_name[getattr(description, f"size{number}")] = size
        return [
            np.ascontiguousarray(by_name[given.name][None], given.dtype)
            for given in self.pair_network.inputs.values()
        ]

    def _pairs(self, outputs: dict[str, NDArray], count: int) -> NDArray[np.intp]:
        """Returns the matches (M, 2): rows of the query and of the reference."""
        description, name = self.pair_network.description, self.pair_network.name
        is_pairs = description.form == "pairs"
        try:
            found = without_batch(outputs[description.matches], 2 if is_pairs else 1).astype(np.intp)
            scores = None
            if description.scores is not None:
                scores = without_batch(outputs[description.scores], 1)
        except ValueError as error:
            raise InferenceError(
                f"An output of {name} has {error}: check `form` in its YAML file."
            ) from error
        fits = found.shape[1] in (2, 3) if is_pairs else len(found) == count
        if not fits or (scores is not None and len(scores) != len(found)):
            given = "none" if scores is None else scores.shape
            raise InferenceError(
                f"{name} gives matches {found.shape} and scores {given} for {count} keypoints of image 0: "
                "check `form` in its YAML file."
            )
        if scores is not None:
            is_sure = scores > description.min_score
            found = found[is_sure] if is_pairs else np.where(is_sure, found, -1)
        if is_pairs:
            return found[:, -2:]
        rows = np.flatnonzero(found >= 0)
        return np.stack([rows, found[rows]], axis=1)

    def _check_channels(self) -> None:
        """Raises CheckpointError where the network takes descriptors of another length."""
        description, channels = self.pair_network.description, self.storage.channels
        axis = 1 + description.descriptor_axes.index("c")
        wanted = self.pair_network.inputs[description.descriptors0].shape[axis]
        if wanted not in (None, channels):
            raise CheckpointError(
                f"{self.pair_network.name} matches descriptors of {wanted} numbers, and those of the local "
                f"features have {channels}: name the network that it was trained for."
            )
