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

"""The networks that a map was built with, from their copies in its folder."""

from __future__ import annotations

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.user_networks import network_of_map
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.image_descriptor import ImageDescriptor
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.user.description import GlobalDescriptor
from scene_geo_loc.networks.user.image_network import DescriptorNetwork
from scene_geo_loc.visual_words.image_descriptor import VisualWords
from scene_geo_loc.visual_words.vocabulary import Vocabulary


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


def descriptor_of(reference_map: ReferenceMap, device: str) -> ImageDescriptor | None:
    """Returns what made a map's descriptors where `network_of` did not: a user's network or visual words.

    Raises CheckpointError where it is damaged, MapError where the map was built with another.
    """
    path = reference_map.vocabulary_file
    if path is not None:
        vocabulary, built_with = Vocabulary.read(path), reference_map.info.vocabulary
        if built_with is None or built_with.digest != vocabulary.digest:
            raise MapError(
                f"{reference_map.path} was built with another vocabulary than its {path.name}: copy the map "
                "again, or build it again."
            )
        return VisualWords(vocabulary)
    network = network_of_map(reference_map, "descriptor", GlobalDescriptor)
    return None if network is None else DescriptorNetwork(network, device)
