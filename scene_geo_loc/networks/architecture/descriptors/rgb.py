"""RGB: the pooled late map of the image encoder; and the same with depth beside it."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from scene_geo_loc.networks.architecture.descriptors.base import DescriptorSystem, Inference
from scene_geo_loc.networks.architecture.encoders import FeatureMaps


class RGB(DescriptorSystem):
    """Descriptor of the image alone, the baseline of the ICRA paper."""

    name = "rgb"
    title = "RGB"
    has_second_encoder = False
    with_depth: ClassVar[str | None] = "rgb_depth"

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        return Inference((maps.late,))


class RGBDepth(RGB):
    """Descriptor of the image alone, with depth from the same forward pass beside it.

    This is the network of Perspective-n-Learned-Point (BMVC 2019): the depth lifts matches to 3D and does not
    enter the descriptor.
    """

    name = "rgb_depth"
    title = "RGB with depth"
    has_decoder = True
    infers_depth = True
    with_depth = None
    without_depth = RGB.name

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        inferred = self.decode(images, maps)
        return Inference((maps.late,), inferred.depth, inferred.log_scale)
