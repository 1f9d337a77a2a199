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

"""Decoders: feature maps of an encoder to the depth of the scene."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.decoders.base import Decoder, InferredDepth
from scene_geo_loc.networks.architecture.decoders.pyramid import ConvLSTM, FullyConvolutional
from scene_geo_loc.networks.architecture.decoders.unet import UNet

__all__ = ["DECODERS", "Decoder", "InferredDepth"]

DECODERS: dict[str, type[Decoder]] = {
    decoder.name: decoder for decoder in (UNet, FullyConvolutional, ConvLSTM)
}
"""The decoders by their names in configs."""
