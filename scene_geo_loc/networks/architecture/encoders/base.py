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

"""Base of the encoders: an image to the feature maps that the rest of the network reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from scene_geo_loc.networks.architecture.weights import fill_in, read_weights
from scene_geo_loc.networks.stage import Stage


class FeatureMaps(NamedTuple):
    """Feature maps of images, all from one forward pass.

    Attributes:
        early: (B, C, h, w), matched densely (Perspective-n-Learned-Point, section 3.2).
        late: (B, C', h', w'), pooled to the global descriptor and decoded to depth.
        skips: two maps for the skip connections of the decoder, the finest first.
    """

    early: Tensor
    late: Tensor
    skips: tuple[Tensor, Tensor]


class Encoder(nn.Module, ABC):
    """Base of the encoders.

    The layers of an encoder form two parts: the trunk, which descriptor training leaves at its first weights,
    and the head, which it fine-tunes.

    Attributes:
        name: name in configs.
        title: name in tables.
        abbreviation: abbreviation of the ICRA paper; None if the paper does not use the encoder.
        early, late, skips: stages of the feature maps, see `FeatureMaps`.
        multiple: the sides of the input should be multiples of this many pixels.
        mean, std: normalisation of pixels, (pixel - mean) / std with pixels in [0, 255].
        netvlad_sharpness: alpha of Arandjelović et al., CVPR 2016: how sharply NetVLAD first assigns
            features.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    abbreviation: ClassVar[str | None] = None
    early: ClassVar[Stage]
    late: ClassVar[Stage]
    skips: ClassVar[tuple[Stage, Stage]]
    multiple: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]]
    std: ClassVar[tuple[float, float, float]]
    netvlad_sharpness: ClassVar[float] = 40.0

    @abstractmethod
    def trunk(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns the input of the head for normalised images (B, 3, H, W)."""

    @abstractmethod
    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """Returns the feature maps for the output of the trunk."""

    @abstractmethod
    def head_modules(self) -> tuple[nn.Module, ...]:
        """Layers of the head, which fine-tuning trains."""

    def forward(self, images: Tensor) -> FeatureMaps:
        """Returns the feature maps of normalised images (B, 3, H, W)."""
        return self.head(self.trunk(images))

    @abstractmethod
    def load_imagenet_weights(self) -> None:
        """Loads the weights trained on ImageNet. Raises CheckpointError if they are not available."""

    def load_weights(self, path: Path) -> None:
        """Loads the weights of a safetensors file.

        The file may hold weights of an encoder (`networks.architecture.weights`), a checkpoint of a scene
        network with this encoder, or torchvision's own weights.  A shorter encoder takes its layers from the
        weights of a longer one.

        Raises CheckpointError if the file is missing, damaged or of another architecture.
        """
        fill_in(self, read_weights(path), path)
