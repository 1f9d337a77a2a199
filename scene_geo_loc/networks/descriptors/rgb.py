"""RGB: the image encoder's late map, pooled."""

from __future__ import annotations

from torch import Tensor

from scene_geo_loc.networks.descriptors.base import DescriptorSystem, Inference
from scene_geo_loc.networks.encoders import FeatureMaps


class RGB(DescriptorSystem):
    """The descriptor of the image alone: the baseline of the ICRA paper."""

    name = "rgb"
    has_second_encoder = False

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        return Inference((maps.late,))
