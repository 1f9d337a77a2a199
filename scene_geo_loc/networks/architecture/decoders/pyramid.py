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

"""The decoders of Perspective-n-Learned-Point (BMVC 2019, section 4.1), which infer depth level by level."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.decoders.base import Decoder, first_logit, resized
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps


def convolution(channels_in: int, channels: int) -> nn.Sequential:
    """Convolution of 5 x 5 cells, group norm with two channels a group, and leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 5, padding=2, bias=False),
        nn.GroupNorm(channels // 2, channels),
        nn.LeakyReLU(0.2, inplace=True),
    )


class ReNet(nn.Module):
    """Bidirectional LSTMs along the rows and along the columns of a map, concatenated.

    After Visin et al., ReNet, 2015: each cell sees its whole row and its whole column.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        """Creates the layers; the output has `channels` channels, a multiple of 4."""
        super().__init__()
        self.along_rows = nn.LSTM(channels_in, channels // 4, bidirectional=True, batch_first=True)
        self.along_columns = nn.LSTM(channels_in, channels // 4, bidirectional=True, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, C, H, W) for maps (B, C_in, H, W)."""
        # In float32: on CPUs torch cannot train LSTMs in lower precision.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            batch, channels, height, width = x.shape
            rows = x.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
            columns = x.permute(0, 3, 2, 1).reshape(batch * width, height, channels)
            in_rows = self.along_rows(rows)[0].reshape(batch, height, width, -1).permute(0, 3, 1, 2)
            in_columns = self.along_columns(columns)[0].reshape(batch, width, height, -1).permute(0, 3, 2, 1)
            return torch.cat([in_rows, in_columns], dim=1)


class Level(nn.Module):
    """Doubles the size of a map, joins it with the depth so far and the encoder's map, and refines depth."""

    def __init__(self, enlarged: nn.Module, channels: int, skip_channels: int, outputs: int) -> None:
        """Takes the layers `enlarged`, with `channels` channels, and makes a head with `outputs` channels."""
        super().__init__()
        self.enlarged = enlarged
        self.joined = convolution(channels + 1 + skip_channels, channels)
        self.head = nn.Conv2d(channels, outputs, 3, padding=1)

    def forward(self, x: Tensor, logits: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the map and the depth's logits, doubled in size or at the size of the encoder's map."""
        size = (2 * x.shape[2], 2 * x.shape[3]) if skip is None else (skip.shape[2], skip.shape[3])
        x = self.enlarged(F.interpolate(x, size, mode="nearest"))
        joined = [x, resized(logits[:, :1].sigmoid(), x), *([] if skip is None else [skip])]
        x = self.joined(torch.cat(joined, dim=1))
        return x, self.head(x)


class Pyramid(Decoder):
    """Infers depth at the level of the late map and at each finer one up to that of the first skip.

    With the encoder `pnlp` these have 14, 28 and 56 cells for 224 pixels; localization uses the last one.
    The authors' finest level, of half the image's size, is left out, since nothing reads it.
    """

    WIDEST = 256

    def __init__(self, encoder: Encoder, scale: DepthScale, uncertainty: bool = False) -> None:
        """See `Decoder`."""
        super().__init__(encoder, scale, uncertainty)
        late = encoder.late
        skips = {skip.stride: skip for skip in encoder.skips}
        strides = [stride for stride in (16, 8, 4, 2) if min(skips) <= stride < late.stride]
        channels = min(late.channels, self.WIDEST)
        outputs = [1] * len(strides) + [2 if uncertainty else 1]
        self.first = convolution(late.channels, channels)
        self.first_head = nn.Conv2d(channels, outputs[0], 3, padding=1)
        levels = []
        for stride, count in zip(strides, outputs[1:], strict=True):
            skip_channels = skips[stride].channels if stride in skips else 0
            width = min(channels, max(2 * skip_channels, 64) if stride == strides[-1] else self.WIDEST)
            levels.append(Level(self._enlarged(channels, width), width, skip_channels, count))
            channels = width
        self.levels = nn.ModuleList(levels)
        self._with_skip = [stride in skips for stride in strides]
        for head in [self.first_head, *(level.head for level in levels)]:
            nn.init.normal_(head.weight, std=0.01)
            assert head.bias is not None
            nn.init.zeros_(head.bias)
            with torch.no_grad():
                head.bias[0] = first_logit(scale)

    @abstractmethod
    def _enlarged(self, channels_in: int, channels: int) -> nn.Module:
        """Makes the layers that follow the enlargement of a map."""

    def logits(self, maps: FeatureMaps) -> tuple[Tensor, ...]:
        """See `Decoder.logits`."""
        x = self.first(maps.late)
        levels = [self.first_head(x)]
        skips = list(maps.skips)
        for level, has_skip in zip(self.levels, self._with_skip, strict=True):
            x, logits = level(x, levels[-1], skips.pop() if has_skip else None)
            levels.append(logits)
        return tuple(levels)


class FullyConvolutional(Pyramid):
    """Convolutions only, the paper's FC."""

    name = "fc"

    def _enlarged(self, channels_in: int, channels: int) -> nn.Module:
        return convolution(channels_in, channels)


class ConvLSTM(Pyramid):
    """An LSTM layer over rows and columns after each enlargement, the paper's C+LSTM."""

    name = "c_lstm"

    def _enlarged(self, channels_in: int, channels: int) -> nn.Module:
        return ReNet(channels_in, channels)
