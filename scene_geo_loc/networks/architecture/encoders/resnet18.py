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

"""ResNet18, whole and truncated, as in the ICRA paper."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders.base import FeatureMaps, Stage
from scene_geo_loc.networks.architecture.encoders.torchvision_encoder import TorchvisionEncoder


def _stage(channels: int, stride: int) -> Stage:
    # With symmetric padding and odd kernels the first cell is centred on the first pixel; sides round up.
    return Stage(channels, stride, offset=0, margin=1 - stride)


def _without_last_relu(blocks: nn.Module, x: Tensor) -> Tensor:
    """Applies a stage of two residual blocks; its output may be negative, like that of a convolution."""
    last: Any
    first, last = blocks.children()
    x = first(x)
    return x + last.bn2(last.conv2(last.relu(last.bn1(last.conv1(x)))))


class ResNet18(TorchvisionEncoder):
    """torchvision's ResNet18 without average pooling, classifier and its very last ReLU, 11.2 M parameters.

    The head is the third and the fourth stage.
    """

    name = "resnet18"
    title = "ResNet18"
    abbreviation = "R"
    imagenet_weights = "ResNet18_Weights.IMAGENET1K_V1"
    skips = (_stage(64, 4), _stage(128, 8))
    early = skips[1]
    late = _stage(512, 32)
    multiple = 32
    LAYERS: tuple[str, ...] = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    """Layers of torchvision's ResNet, by their names there."""

    conv1: nn.Module
    bn1: nn.Module
    relu: nn.Module
    maxpool: nn.Module
    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet18

        whole = resnet18(weights=None)
        for layer in self.LAYERS:
            self.add_module(layer, whole.get_submodule(layer))

    def trunk(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maps after max-pooling and after the second stage: (B, 64, H / 4, W / 4), (B, 128, H / 8, W /
        8).
        """
        pooled = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return pooled, self.layer2(self.layer1(pooled))

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """Returns the feature maps; the late map is (B, 512, H / 32, W / 32)."""
        pooled, second = trunk
        return FeatureMaps(second, _without_last_relu(self.layer4, self.layer3(second)), (pooled, second))

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The third and the fourth stage."""
        return self.layer3, self.layer4


class TruncatedResNet18(ResNet18):
    """ResNet18 up to its third stage without the last ReLU, 2.8 M parameters.

    NetVLAD works better with twice as many cells along a side (ICRA paper, section IV-B).  The head is the
    third stage.
    """

    name = "resnet18_truncated"
    title = "truncated ResNet18"
    abbreviation = "Rt"
    late = _stage(256, 16)
    multiple = 16
    netvlad_sharpness = 30.0
    LAYERS = ResNet18.LAYERS[:-1]

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """Returns the feature maps; the late map is (B, 256, H / 16, W / 16)."""
        pooled, second = trunk
        return FeatureMaps(second, _without_last_relu(self.layer3, second), (pooled, second))

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The third stage."""
        return (self.layer3,)
