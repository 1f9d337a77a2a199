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
