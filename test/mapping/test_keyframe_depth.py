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

"""The depth of a keyframe: choice of the source, its reliable part, and the part that a map stores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from room import Room

from scene_geo_loc.mapping.keyframe_depth.keyframe_depth import (
    KeyframeDepth,
    choose_depth,
    measured_depth,
    reliable_depth,
)
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures

NOTHING = np.zeros((1, 1, 1), np.float32)
INFERRED = SceneFeatures(
    NOTHING,
    NOTHING,
    None,
    keypoint_scores=None,
    depth=np.array([[2.0, 2.0, 19.5, 8.0]], np.float32),
    depth_error=np.array([[0.1, 1.0, 0.1, 1.9]], np.float32),
    input_size=(4, 1),
    pooled=(),
)


@pytest.fixture(scope="module")
def network() -> InferenceNetwork:
    """A network whose depth ends at 20 m."""
    config = NetworkConfig(
        encoder="efficientnet_lite0",
        pooling="mac",
        descriptor="rgb_depth",
        depth_scale="inverse_20m",
        uncertainty=True,
    )
    return inference_network(SceneNetwork(config))


def test_learned_depth_is_reliable_where_it_is_neither_far_nor_uncertain(network: InferenceNetwork) -> None:
    reliable = reliable_depth(INFERRED, network)
    assert reliable is not None
    np.testing.assert_array_equal(reliable.metres, [[2.0, np.nan, np.nan, 8.0]])
    np.testing.assert_array_equal(reliable.known, [[True, False, False, True]])
    of_every_error = reliable_depth(replace(INFERRED, depth_error=None), network)
    assert of_every_error is not None
    np.testing.assert_array_equal(of_every_error.metres, [[2.0, 2.0, np.nan, 8.0]])
    assert reliable_depth(replace(INFERRED, depth=None), network) is None


def test_measured_depth_goes_before_what_is_learned_unless_that_alone_is_wanted(
    network: InferenceNetwork, room: Room
) -> None:
    with_sensor = room.drive(1)[0]
    without = replace(with_sensor, depth=None)
    blind = replace(INFERRED, depth=None)

    def source(*of: object) -> str:
        measured = measured_depth(of[0], [], 0.0, (320, 240))  # type: ignore[arg-type]
        return choose_depth(measured, of[1], network, of[2]).source  # type: ignore[arg-type]

    assert source(with_sensor, INFERRED, "auto") == "sensor"
    assert source(with_sensor, INFERRED, "learned") == "learned"
    assert source(without, INFERRED, "auto") == "learned"
    assert source(without, INFERRED, "measured") == "none"
    assert source(without, blind, "auto") == "none"


def test_depth_is_read_at_features_with_its_error_as_a_part_of_it() -> None:
    metres = np.array([[1.0, 2.0], [4.0, np.nan]], np.float32)
    error = np.array([[0.1, 0.1], [1.0, 1.0]], np.float32)
    pixels = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0], [np.nan, np.nan]])
    depth, sigma = KeyframeDepth("learned", metres, error).at(pixels, np.array([4, 4]))
    np.testing.assert_array_equal(depth, np.array([1, 2, 4, np.nan, np.nan], np.float32))
    np.testing.assert_allclose(sigma, [0.1, 0.05, 0.25, np.nan, np.nan])
    depth, sigma = KeyframeDepth("sensor", metres).at(pixels, np.array([4, 4]))
    np.testing.assert_array_equal(depth, np.array([1, 2, 4, np.nan, np.nan], np.float32))
    np.testing.assert_array_equal(sigma, [0, 0, 0, np.nan, np.nan])
