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

"""The U-Net decoder of the ICRA paper (section III)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.decoders.base import Decoder, first_logit, resized
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps


class UNet(Decoder):
    """U-Net of transposed convolutions with two skip connections, LeakyReLU and batch norm.

    The late map is doubled to the stride of the second skip and joined with it, doubled to the stride of the
    first skip and joined with it, then doubled to the size of the image.  With AlexNet and the truncated
    ResNet18 these are the authors' layers and channels.  The maps of other encoders keep their number of
    channels, up to `WIDEST`, and are doubled as often as their strides require.  Maps whose sides do not
    double evenly are resized to the size of the skip, and the output to that of the image.
    """

    name = "unet"
    SLOPE = 0.02
    WIDEST = 256
    FIRST_SPAN = 2.0
    """Change of the depth's logit per unit of the last map, before training."""

    def __init__(self, encoder: Encoder, scale: DepthScale, uncertainty: bool = False) -> None:
        """See `Decoder`."""
        super().__init__(encoder, scale, uncertainty)
        first, second = encoder.skips
        late = encoder.late
        width = min(late.channels, self.WIDEST)
        self.to_second = nn.Sequential(
            *self._doublings(late.channels, width, late.stride // second.stride),
            *self._layer(nn.Conv2d(width, width * 3 // 2, 3, padding=1, bias=False)),
            *self._layer(nn.Conv2d(width * 3 // 2, second.channels, 3, padding=1, bias=False)),
        )
        self.to_first = nn.Sequential(
            *self._doublings(2 * second.channels, first.channels, second.stride // first.stride)
        )
        outputs = 2 if uncertainty else 1
        # Without the last LeakyReLU: on a single channel it would flatten all depth nearer than the mean.
        to_depth = self._doublings(2 * first.channels, outputs, first.stride // 2, kernel=6)[:-1]
        self.to_image = nn.Sequential(*to_depth, self._enlargement(outputs, scale))

    def logits(self, maps: FeatureMaps) -> tuple[Tensor, ...]:
        """See `Decoder.logits`: one level, of the image's size up to rounding."""
        first, second = maps.skips
        x = resized(self.to_second(maps.late), second)
        x = resized(self.to_first(torch.cat([x, second], dim=1)), first)
        return (self.to_image(torch.cat([x, first], dim=1)),)

    @classmethod
    def _enlargement(cls, channels: int, scale: DepthScale) -> nn.ConvTranspose2d:
        """Returns the last doubling, without a batch norm after it.

        Before training it is bilinear, to logits that span near and far around `first_logit`.
        """
        up = nn.ConvTranspose2d(channels, channels, 6, stride=2, padding=2)
        side = torch.tensor([0.0, 0.25, 0.75, 0.75, 0.25, 0.0])
        assert up.bias is not None
        with torch.no_grad():
            up.weight[0, 0] = cls.FIRST_SPAN * side[:, None] * side
            up.bias.zero_()
            up.bias[0] = first_logit(scale)
        return up

    @classmethod
    def _doublings(cls, channels_in: int, channels: int, factor: int, kernel: int = 4) -> list[nn.Module]:
        """Returns transposed convolutions that enlarge a map by `factor`, a power of 2."""
        layers: list[nn.Module] = []
        while factor > 1:
            up = nn.ConvTranspose2d(
                channels_in, channels, kernel, stride=2, padding=kernel // 2 - 1, bias=False
            )
            layers += cls._layer(up)
            channels_in, factor = channels, factor // 2
        return layers

    @classmethod
    def _layer(cls, convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
        batch_norm = nn.BatchNorm2d(convolution.out_channels)
        return [convolution, batch_norm, nn.LeakyReLU(cls.SLOPE, inplace=True)]
