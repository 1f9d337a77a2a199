"""What every encoder is: an image to the feature maps that the rest of the network reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders.weights import fill_in, read_weights


@dataclass(frozen=True)
class Stage:
    """A feature map of an encoder and how its cells lie on the input, the same along both sides.

    Attributes:
        channels: length of a feature.
        stride: pixels of the input between neighbouring cells.
        offset: pixel of the input, counted from 0, at the centre of the first cell.
        margin: pixels of a side that are too few for one more cell; below 0 where padding gives one more.
    """

    channels: int
    stride: int
    offset: float
    margin: int = 0

    def cells(self, pixels: int) -> int:
        """Cells along a side of the input of so many pixels."""
        return (pixels - self.margin) // self.stride


class FeatureMaps(NamedTuple):
    """The feature maps of images, all from one forward pass.

    Attributes:
        early: (B, C, h, w), matched densely (Perspective-n-Learned-Point, section 3.2).
        late: (B, C', h', w'), pooled to the global descriptor and decoded to depth.
        skips: two maps for the decoder's skip connections, the finest first.
    """

    early: Tensor
    late: Tensor
    skips: tuple[Tensor, Tensor]


class Encoder(nn.Module, ABC):
    """Base of the encoders.

    An encoder declares its stages, the multiple that the input's sides are best of, how pixels are
    normalised: (pixel - mean) / std with pixels in [0, 255], and how sharply NetVLAD assigns its features at
    first: alpha of Arandjelović et al., CVPR 2016.  Its layers come in two parts: the trunk, which the
    training of a descriptor leaves as ImageNet made it, and the head, which is fine-tuned.
    """

    name: ClassVar[str]
    early: ClassVar[Stage]
    late: ClassVar[Stage]
    skips: ClassVar[tuple[Stage, Stage]]
    multiple: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]]
    std: ClassVar[tuple[float, float, float]]
    netvlad_sharpness: ClassVar[float] = 40.0

    @abstractmethod
    def trunk(self, images: Tensor) -> tuple[Tensor, ...]:
        """What the head needs of normalised images (B, 3, H, W)."""

    @abstractmethod
    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        """The feature maps that follow from the trunk's output."""

    @abstractmethod
    def head_modules(self) -> tuple[nn.Module, ...]:
        """The layers of the head: what fine-tuning trains."""

    def forward(self, images: Tensor) -> FeatureMaps:
        """The feature maps of normalised images (B, 3, H, W)."""
        return self.head(self.trunk(images))

    @abstractmethod
    def load_imagenet_weights(self) -> None:
        """Fills in the weights learned on ImageNet. Raises CheckpointError where they are not at hand."""

    def load_weights(self, path: Path) -> None:
        """Fills in the weights of a safetensors file.

        It may be what `scene-geo-loc train encoder` wrote, a checkpoint of a scene network with this encoder,
        or torchvision's own weights in safetensors; an encoder may take its part from a longer one.

        Raises CheckpointError where the file is missing, damaged or of another architecture.
        """
        fill_in(self, read_weights(path), path)
