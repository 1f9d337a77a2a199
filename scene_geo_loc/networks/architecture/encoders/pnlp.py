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

"""The encoder of Perspective-n-Learned-Point, which is trained on depth from scratch."""

from __future__ import annotations

from torch import Tensor, nn

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.encoders.base import Encoder, FeatureMaps, Stage


class PnlpEncoder(Encoder):
    """Eight convolutions, every other one halving the image, 6.4 M parameters (BMVC 2019, section 4.1).

    All but the first have a group norm with two channels a group, and all have a leaky ReLU.  The map of the
    third layer is matched, that of the last one pooled and decoded.  The head is the last two convolutions.
    """

    name = "pnlp"
    title = "PnLP"
    mean, std = (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)
    skips = (Stage(128, 4, offset=1.5), Stage(256, 8, offset=3.5))
    early = skips[0]
    late = Stage(256, 16, offset=7.5)
    multiple = 16
    LAYERS = ((32, 16), (64, 5), (128, 4), (256, 5), (256, 4), (256, 5), (256, 4), (256, 5))
    """Channels and kernel of each convolution."""
    EARLY, TRUNK_END = 3, 6
    """Numbers of layers up to the early map and up to the head."""
    SLOPE = 0.2

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        layers: list[nn.Module] = []
        for number, (width, kernel) in enumerate(self.LAYERS):
            stride = 2 if number % 2 == 0 else 1
            padding = (kernel - stride + 1) // 2
            layer: list[nn.Module] = [nn.Conv2d(channels, width, kernel, stride, padding)]
            if number:
                layer.append(nn.GroupNorm(width // 2, width))
            layers.append(nn.Sequential(*layer, nn.LeakyReLU(self.SLOPE, inplace=True)))
            channels = width
        self.layers = nn.Sequential(*layers)

    def trunk(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the third and the sixth layer: (B, 128, 56, 56), (B, 256, 28, 28) of 224 x 224."""
        early = self.layers[: self.EARLY](images)
        return early, self.layers[self.EARLY : self.TRUNK_END](early)

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """Returns the feature maps; the late map is (B, 256, 14, 14) for 224 x 224 pixels."""
        early, second = trunk
        return FeatureMaps(early, self.layers[self.TRUNK_END :](second), (early, second))

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The seventh and the eighth layer."""
        return tuple(self.layers[self.TRUNK_END :])

    def load_imagenet_weights(self) -> None:
        """Raises CheckpointError: there are none."""
        raise CheckpointError(
            "The encoder pnlp has no ImageNet weights, since it is trained on depth from scratch: name "
            "weights of your own, or none."
        )
