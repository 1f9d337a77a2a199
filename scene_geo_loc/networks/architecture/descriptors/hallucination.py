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

"""Hallucination: a second encoder that finds in the image what a depth encoder finds in the depth map.

Hoffman et al., Learning with Side Information through Modality Hallucination, CVPR 2016; a baseline of the
ICRA paper.
"""

from __future__ import annotations

from torch import Tensor

from scene_geo_loc.networks.architecture.descriptors.base import DescriptorSystem, Inference, SystemParts
from scene_geo_loc.networks.architecture.encoders import Encoder, FeatureMaps
from scene_geo_loc.networks.architecture.pooling import Pooling


class Hallucination(DescriptorSystem):
    """Image descriptor, and one from a second encoder whose input is the image too.

    In training, the second encoder starts from an encoder of depth maps (`start_from`) and learns to
    reproduce the late maps of that encoder, which stays fixed (`Description.hallucinated`).
    """

    name = "hallucination"
    title = "Hallucination"
    has_second_encoder = True
    needs_depth_maps = True
    is_trained_in_stages = True
    second_part = "hallucination"

    def __init__(self, encoder: Encoder, parts: SystemParts) -> None:
        super().__init__(encoder, parts)
        self._image_mean, self._image_std = encoder.mean, encoder.std

    def infer(self, images: Tensor, maps: FeatureMaps) -> Inference:
        """See `DescriptorSystem.infer`."""
        second = self.second_encoder
        assert second is not None
        if (second.mean, second.std) != (self._image_mean, self._image_std):
            pixels = images * _channels(images, self._image_std) + _channels(images, self._image_mean)
            images = (pixels - _channels(images, second.mean)) / _channels(images, second.std)
        late = second(images).late
        return Inference((maps.late, late), hallucinated=late)

    def start_from(self, encoder: Encoder, pooling: Pooling) -> None:
        """Copies encoder and pooling of a network that was trained on coloured depth maps."""
        assert self.second_encoder is not None
        self.second_encoder.load_state_dict(encoder.state_dict())
        self.poolings[1].load_state_dict(pooling.state_dict())


def _channels(images: Tensor, values: tuple[float, float, float]) -> Tensor:
    return images.new_tensor(values)[:, None, None]
