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

"""Keypoints of a network whose graph is described, such as a user's SuperPoint or ALIKED."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.matchers import USER
from scene_geo_loc.matchers.features import unit
from scene_geo_loc.matchers.keypoints import RERANK_KEYPOINTS, SparseMatcher
from scene_geo_loc.matchers.storage import KeypointStorage
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures
from scene_geo_loc.networks.user.description import Keypoints
from scene_geo_loc.networks.user.image_network import KeypointNetwork
from scene_geo_loc.networks.user.user_network import UserNetwork


class NetworkKeypointMatcher(SparseMatcher):
    """Base of the matchers of keypoints that a described graph detects.

    Attributes:
        is_packed: whether a map keeps four bits of each number of a descriptor instead of eight.
    """

    is_packed: ClassVar[bool] = False

    def start(self, network: UserNetwork[Keypoints], device: str) -> None:
        """Takes the network. Raises InferenceError where it cannot be run."""
        self.keypoint_network = KeypointNetwork(network, device)
        started = self.keypoint_network.network
        assert started.length is not None
        self.storage = KeypointStorage(
            started.description.stored_keypoints,
            started.length,
            RERANK_KEYPOINTS,
            self.input_size,
            is_packed=self.is_packed,
        )

    def find(
        self, image: NDArray[np.uint8], features: SceneFeatures
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], tuple[int, int]]:
        """See `SparseMatcher.find`. Raises InferenceError where the outputs cannot be used."""
        pixels, descriptors, (width, height) = self.keypoint_network.detect(image, self.scale_of(features))
        return pixels, unit(descriptors), (int(width), int(height))


class UserKeypointMatcher(NetworkKeypointMatcher):
    """A user's network, of which the map keeps a copy.

    The thresholds are cautious, as nothing is known of the network.
    """

    name = USER
    min_inlier_ratio = 0.15
    min_coverage = 0.35

    def __init__(
        self,
        network: InferenceNetwork,
        weights_path: Path | None = None,
        device: str = "auto",
        given: UserNetwork[Keypoints] | None = None,
    ) -> None:
        """Takes the file that `save` wrote, or the user's network for a new map.

        Raises CheckpointError where there is neither, InferenceError where the network cannot be run.
        """
        super().__init__(network, weights_path)
        if given is None:
            if weights_path is None:
                raise CheckpointError("The map keeps no network that detects keypoints: copy the map again.")
            given = UserNetwork.read_copy(weights_path, Keypoints)
        self.start(given, device)

    def save(self, path: Path) -> None:
        """Writes the network with its description."""
        self.keypoint_network.network.save_copy(path)
