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

"""XFeat's sparse local features (Potje et al., CVPR 2024)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.numpy

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.matchers.keypoints import XFeatThresholds
from scene_geo_loc.matchers.user_keypoints import NetworkKeypointMatcher
from scene_geo_loc.networks.checkpoint import GRAPH, read_tensors
from scene_geo_loc.networks.forward_pass import IMAGE, check_graph
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.user.description import Keypoints
from scene_geo_loc.networks.user.user_network import UserNetwork

PUBLISHED = Path(__file__).with_name("xfeat.onnx")
"""Graph with the published weights, which are licensed under Apache-2.0: see xfeat.LICENSE beside it."""
OUTPUTS = ("pixels", "descriptors", "scores")
"""The strongest keypoints (1, N, 2), their unit descriptors (1, N, 64), and scores (1, N), 0 for none."""
DESCRIPTION = Keypoints(input=IMAGE, layout="nhw", colour="grey", multiple=32, keypoints="pixels")
CHANNELS = 64
"""Length of a descriptor."""


class XFeatMatcher(XFeatThresholds, NetworkKeypointMatcher):
    """A small network that detects and describes keypoints, 0.7 M parameters, on the CPU."""

    name = "xfeat"
    is_packed = True

    def __init__(self, network: InferenceNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        graph = _graph_of(weights_path)
        check_graph(graph, [IMAGE], OUTPUTS, str(weights_path or PUBLISHED))
        self.start(UserNetwork(self.name, graph, DESCRIPTION, CHANNELS), "cpu")

    def save(self, path: Path) -> None:
        """Writes the graph, so that a map stays as it is when the package has another one."""
        graph = np.frombuffer(self.keypoint_network.network.graph, np.uint8)
        write_aside(path, safetensors.numpy.save({GRAPH: graph}))


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
