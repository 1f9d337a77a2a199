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

"""AlexNet as in the ICRA paper."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders.base import FeatureMaps, Stage
from scene_geo_loc.networks.architecture.encoders.torchvision_encoder import TorchvisionEncoder


class AlexNet(TorchvisionEncoder):
    """torchvision's AlexNet up to its fifth convolution without the ReLU after it, 2.5 M parameters.

    The padding does not cover the right and lower border of the image: 224 pixels give 55, 27 and 13
    cells.  The head is the last two convolutions.
    """

    name = "alexnet"
    title = "AlexNet"
    abbreviation = "A"
    imagenet_weights = "AlexNet_Weights.IMAGENET1K_V1"
    skips = (Stage(64, 4, offset=3, margin=3), Stage(192, 8, offset=7, margin=7))
    early = skips[1]
    late = Stage(256, 16, offset=15, margin=15)
    multiple = 16
    netvlad_sharpness = 60.0
    # Numbers of layers of torchvision's `features` up to the end of each part.
    SKIPS_END = (2, 5)
    TRUNK_END = 8
    HEAD_END = 11

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import alexnet

        # Built without memory: the unused classifier would take 55 M random numbers.
        with torch.device("meta"):
            features = alexnet().features[: self.HEAD_END]
        self.features = features.to_empty(device="cpu")
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()

    def trunk(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps after the first three ReLUs: (B, 64, 55, 55), (B, 192, 27, 27), (B, 384, 13, 13) of 224 x
        224.
        """
        first = self.features[: self.SKIPS_END[0]](images)
        second = self.features[self.SKIPS_END[0] : self.SKIPS_END[1]](first)
        return first, second, self.features[self.SKIPS_END[1] : self.TRUNK_END](second)

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """Returns the feature maps; the late map is (B, 256, 13, 13) for 224 x 224 pixels."""
        first, second, third = trunk
        return FeatureMaps(second, self.features[self.TRUNK_END :](third), (first, second))

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The fourth and the fifth convolution."""
        return tuple(self.features[self.TRUNK_END :])
