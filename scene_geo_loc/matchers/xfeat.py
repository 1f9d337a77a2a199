"""XFeat's sparse local features (Potje et al., CVPR 2024)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.matchers.keypoints import KeypointMatcher
from scene_geo_loc.networks.checkpoint import GRAPH, read_tensors
from scene_geo_loc.networks.forward_pass import IMAGE, check_graph
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.backends import (
    Backend,
    Work,
    graph_backends,
    start_first,
)

PUBLISHED = Path(__file__).with_name("xfeat.onnx")
"""Graph with the published weights, which are licensed under Apache-2.0: see xfeat.LICENSE beside it."""
OUTPUTS = ("pixels", "descriptors", "scores")
"""The strongest keypoints (1, N, 2), their unit descriptors (1, N, 64), and scores (1, N), 0 for none."""


class XFeatMatcher(KeypointMatcher):
    """A small network that detects and describes keypoints, 0.7 M parameters, on the CPU."""

    name = "xfeat"
    min_inlier_ratio = 0.15
    min_coverage = 0.35
    capacity = 700
    channels = 64
    multiple = 32

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self._graph = _graph_of(weights_path)
        check_graph(self._graph, [IMAGE], OUTPUTS, str(weights_path or PUBLISHED))
        self._backends: dict[tuple[int, ...], Backend] = {}

    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """See `KeypointMatcher.detect`."""
        found = self._backend(grey.shape).run(grey)
        is_keypoint = found["scores"] > 0
        return found["pixels"][is_keypoint].astype(np.float64), found["descriptors"][is_keypoint]

    def save(self, path: Path) -> None:
        """Writes the graph, so that a map stays as it is when the package has another one."""
        write_aside(path, safetensors.numpy.save({GRAPH: np.frombuffer(self._graph, np.uint8)}))

    def _backend(self, shape: tuple[int, ...]) -> Backend:
        """Returns the backend for images of a shape; the cameras of a map have few."""
        if shape not in self._backends:
            work = Work(self._graph, OUTPUTS, (1, *shape))
            self._backends[shape] = start_first(graph_backends(work, "cpu"), "cpu")
        return self._backends[shape]


def _graph_of(path: Path | None) -> bytes:
    """Returns the graph that a map keeps, or the published one.

    Maps of before kept the weights alone: torch makes the graph of them.
    """
    if path is None:
        return PUBLISHED.read_bytes()
    kept = read_tensors(path)
    if GRAPH in kept:
        return kept[GRAPH].tobytes()
    try:
        from scene_geo_loc.networks.architecture.xfeat import load_saved, xfeat_graph
    except ImportError as error:
        raise CheckpointError(
            f"{path} keeps weights without a graph, which only torch can make ({error}): install the extra "
            "`training`, or upgrade the map on a machine that has it."
        ) from error
    return xfeat_graph(load_saved(path))
