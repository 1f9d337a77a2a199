"""RGB: the image encoder's late map, pooled; and the same with depth beside it."""

from __future__ import annotations

from torch import Tensor

from scene_geo_loc.networks.architecture.descriptors.base import DescriptorSystem, Inference
from scene_geo_loc.networks.architecture.encoders import FeatureMaps


class RGB(DescriptorSystem):
    """The descriptor of the image alone: the baseline of the ICRA paper."""

    name = "rgb"
    has_second_encoder = False

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        return Inference((maps.late,))


class RGBDepth(RGB):
    """The descriptor of the image alone, and the depth inferred by the same pass, which it does not look at.

    This is the network of Perspective-n-Learned-Point: the depth is for lifting matches to 3D.
    """

    name = "rgb_depth"
    infers_depth = True
    has_decoder = True

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        inferred = self.decode(images, maps)
        return Inference((maps.late,), inferred.depth, inferred.log_scale)
