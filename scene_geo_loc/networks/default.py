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

"""The default network, which comes with the package and is used unless another one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.inference_network import InferenceNetwork

CHECKPOINT = Path(__file__).with_name("default.safetensors")
"""The checkpoint of the default network. Its input is adapted to the images:
`InferenceNetwork.with_input_for`.
"""
FITTED_SIZE = 512
"""Length of the descriptor of a network that is fitted to the images of a place."""


def default_network() -> tuple[InferenceNetwork, dict[str, Any]]:
    """Returns the network that comes with the package, and its provenance.

    Its encoder is trained; its pooling and projection may still have to be fitted to images of a place
    (`InferenceNetwork.is_fitted`).

    Raises CheckpointError if it is damaged.
    """
    return load_network(CHECKPOINT)
