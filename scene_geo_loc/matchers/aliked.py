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

"""ALIKED keypoints (Zhao et al., T-IM 2023), matched by LightGlue (Lindenberger et al., ICCV 2023)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.matchers.features import LocalFeatures, Matched
from scene_geo_loc.matchers.keypoints import KeypointMatcher
from scene_geo_loc.networks.checkpoint import read_tensors
from scene_geo_loc.networks.forward_pass import IMAGE, check_graph
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.backends import GraphBackend, Work, graph_backends, start_first

DETECTED = ("pixels", "descriptors", "scores")
"""The strongest keypoints (1, N, 2), their unit descriptors (1, N, 128), and scores (1, N), 0 for none."""
MATCHED = ("rows", "probabilities")
"""Rows (1, N) of the second image that match the first image's keypoints, and probabilities (1, N)."""
DETECTOR, LIGHTGLUE = "aliked.onnx", "lightglue.onnx"
"""Tensors of the matcher's file with the graphs."""
KEYPOINTS = 512
"""Number of keypoints of each image."""
LAYERS = 3
"""Number of LightGlue's layers.  3 find 95 % of the right matches that all 9 find, and fewer wrong ones.

That was on 40 pairs of images of a walk indoors, also rolled by 15° and 30°; each layer takes the same time.
"""
MIN_PROBABILITY = 0.1
"""Least probability of a match, as published."""


class AlikedMatcher(KeypointMatcher):
    """Keypoints with deformable descriptors, matched by attention: accurate, and slower than the others.

    A map keeps the graphs, so a robot needs neither torch nor the package with the published weights.
    """

    name = "aliked"
    min_inlier_ratio = 0.2
    min_coverage = 0.35
    capacity = KEYPOINTS
    channels = 128
    multiple = 32

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self._graphs = published_graphs() if weights_path is None else _kept_graphs(weights_path)
        for name, outputs in ((DETECTOR, DETECTED), (LIGHTGLUE, MATCHED)):
            check_graph(self._graphs[name], [IMAGE], outputs, f"{name} of {weights_path or 'the matcher'}")
        self._detectors: dict[tuple[int, ...], GraphBackend] = {}
        self._lightglue: GraphBackend | None = None
        self._matching = threading.Lock()

    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """See `KeypointMatcher.detect`."""
        if grey.shape not in self._detectors:  # the cameras of a map have few
            self._detectors[grey.shape] = self._started(DETECTOR, DETECTED, (1, *grey.shape))
        found = self._detectors[grey.shape].run(grey)
        is_keypoint = found["scores"] > 0
        return found["pixels"][is_keypoint].astype(np.float64), found["descriptors"][is_keypoint]

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Returns LightGlue's matches; several threads may call it at once, and wait for each other."""
        counts = [min(len(features.pixels), KEYPOINTS) for features in (query, reference)]
        if not all(counts):
            return Matched(np.zeros((0, 2)), np.zeros(0, np.intp))
        packed = np.zeros((2, KEYPOINTS, self.channels + 3), np.float32)
        for image, features, count in zip(packed, (query, reference), counts, strict=True):
            image[:count, :-3] = features.descriptors[:count]
            places = features.pixels[:count] + 0.5 - self.input_size / 2
            image[:count, -3:-1] = places / (self.input_size.max() / 2)
            image[:count, -1] = 1
        with self._matching:
            if self._lightglue is None:
                self._lightglue = self._started(LIGHTGLUE, MATCHED, (1, *packed.shape))
            found = self._lightglue.run(packed)
        in_query = np.flatnonzero(found["probabilities"][: counts[0]] > MIN_PROBABILITY)
        return Matched(query.pixels[in_query], found["rows"][in_query].astype(np.intp))

    def match_subset(self, query: LocalFeatures, references: Sequence[LocalFeatures]) -> list[Matched]:
        """Returns the mutual nearest neighbours, which are fast enough for many candidates."""
        return [super(AlikedMatcher, self).match(query, reference) for reference in references]

    def save(self, path: Path) -> None:
        """Writes the graphs."""
        tensors = {name: np.frombuffer(graph, np.uint8) for name, graph in self._graphs.items()}
        write_aside(path, safetensors.numpy.save(tensors))

    def _started(self, graph: str, outputs: tuple[str, ...], shape: tuple[int, ...]) -> GraphBackend:
        return start_first(graph_backends(Work(self._graphs[graph], outputs, shape), "cpu"), "cpu")


def published_graphs() -> dict[str, bytes]:
    """Returns the graphs of the published weights, which torch makes of them, by the names of the tensors.

    Raises CheckpointError where torch or the package with the weights is not installed.
    """
    try:
        from scene_geo_loc.networks.architecture import lightglue
    except ImportError as error:
        raise CheckpointError(
            f"A new map of the matcher aliked needs torch ({error}): install the extra `accurate`. Existing "
            "maps of it do not."
        ) from error
    return dict(zip((DETECTOR, LIGHTGLUE), lightglue.published_graphs(KEYPOINTS, LAYERS), strict=True))


def _kept_graphs(path: Path) -> dict[str, bytes]:
    """Returns the graphs that a map keeps. Raises CheckpointError where one is missing."""
    tensors = read_tensors(path)
    missing = [name for name in (DETECTOR, LIGHTGLUE) if name not in tensors]
    if missing:
        raise CheckpointError(f"{path} lacks {' and '.join(missing)}: copy the map again.")
    return {name: graph.tobytes() for name, graph in tensors.items()}
