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

"""RGBtD: a descriptor of the image and one of the depth inferred from it (ICRA paper, section III)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.descriptors.base import DescriptorSystem, Inference, SystemParts
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps
from scene_geo_loc.networks.architecture.pooling import Pooling


class RGBtD(DescriptorSystem):
    """Image descriptor, and a depth descriptor of the depth that a decoder infers from the image's maps.

    No gradient goes from the decoder to the image encoder.  With the colouring "jet", none goes from the
    depth descriptor to the decoder either, which is then trained by the depth loss alone; with "smooth", the
    triplet losses reach it too.
    """

    name = "rgbtd"
    title = "RGBtD"
    has_second_encoder = True
    has_decoder = True
    infers_depth = True
    needs_depth_maps = True

    def __init__(self, encoder: Encoder, parts: SystemParts) -> None:
        super().__init__(encoder, parts)
        self.colouring = parts.colouring

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        inferred = self.decode(images, maps)
        late = self.encode_depth(inferred.depth)
        return Inference((maps.late, late), inferred.depth, inferred.log_scale)

    def encode_depth(self, depth: Tensor) -> Tensor:
        """Returns late maps of depth (B, 1, H, W) in 0..1, coloured and normalised for the second encoder."""
        encoder = self.second_encoder
        assert encoder is not None
        colours = self.colouring(depth)
        mean = colours.new_tensor(encoder.mean)[:, None, None]
        std = colours.new_tensor(encoder.std)[:, None, None]
        return cast(Tensor, encoder((255 * colours - mean) / std).late)

    @torch.no_grad()
    def fit_to_depth(self, depth: Sequence[Tensor]) -> None:
        """See `DescriptorSystem.fit_to_depth`; true depth is needed since the decoder is untrained."""
        assert self.second_encoder is not None
        pooling = cast(Pooling, self.poolings[1])
        late = (self.encode_depth(batch) for batch in depth)
        features = [pooling.local_features(batch).flatten(0, 1).cpu().numpy() for batch in late]
        pooling.fit(np.concatenate(features), self.second_encoder.netvlad_sharpness)


class RGBPlus(RGBtD):
    """The layers of RGBtD trained without depth, which shows the effect of their number (ICRA paper, table
    II).

    The triplet losses train the decoder through a differentiable colouring.  The output of the decoder is no
    depth then, and `Description.depth` is None.
    """

    name = "rgb_plus"
    title = "RGB+"
    infers_depth = False
    needs_depth_maps = False
    fixed_colouring = "smooth"

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        return Inference(super().infer(images, maps).late)

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """Weights trained by the triplet losses: those of RGBtD, and the decoder."""
        assert self.decoder is not None
        return [*super().descriptor_parameters(), *self.decoder.parameters()]

    def fit_to_depth(self, depth: Sequence[Tensor]) -> None:
        """Does nothing: the second part does not describe depth."""
