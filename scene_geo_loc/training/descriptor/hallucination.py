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

"""The stages of training a hallucination network (ICRA 2019, section IV, and the authors' code).

1. An RGB network is trained on images, and a network on true depth maps, each by its own triplet loss.
2. The hallucination encoder starts from the depth network.
3. Both encoders of the image are trained together: by triplet losses on both descriptors and on the joint
   one, and by the distance of the hallucination encoder's final maps to those of the depth network, which
   stays fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scene_geo_loc.networks.architecture.descriptors import Description
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.descriptors.rgb import RGB
from scene_geo_loc.networks.architecture.pooling import Pooling
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.training.common.config import SystemConfig
from scene_geo_loc.training.common.depth_loss import mean_where
from scene_geo_loc.training.descriptor.learners import Learner, Outputs, coloured, named_descriptors

RGB_STAGE, DEPTH_STAGE = "rgb", "depth"
"""Names of the run folders of the first stage."""


def rgb_stage(system: SystemConfig) -> SystemConfig:
    """Returns the RGB network of the first stage."""
    network = system.network.model_copy(update={"descriptor": RGB.name})
    return system.model_copy(update={"name": f"{system.name}: RGB network", "network": network})


def depth_stage(system: SystemConfig) -> SystemConfig:
    """Returns the depth network of the first stage: an RGB network whose images are coloured depth maps."""
    network = system.network.model_copy(
        update={"descriptor": RGB.name, "encoder": system.network.depth_encoder}
    )
    return system.model_copy(
        update={
            "name": f"{system.name}: depth network",
            "network": network,
            "encoder_weights": system.depth_encoder_weights,
        }
    )


class HallucinationLearner(Learner):
    """The learner of the third stage.

    Args:
        network: the hallucination network; its weights are replaced by those of the first stage.
        rgb: the RGB network.
        depth: the depth network, see `depth_stage`.
    """

    needs_depth = True

    def __init__(self, network: SceneNetwork, rgb: SceneNetwork, depth: SceneNetwork) -> None:
        super().__init__()
        system = network.descriptor
        assert isinstance(system, Hallucination)
        self.network = network
        network.encoder.load_state_dict(rgb.encoder.state_dict())
        system.poolings[0].load_state_dict(rgb.descriptor.poolings[0].state_dict())
        self.teacher = depth
        pooling = depth.descriptor.poolings[0]
        assert isinstance(pooling, Pooling)
        system.start_from(depth.encoder, pooling)
        network.fitted.fill_(rgb.is_fitted and depth.is_fitted)

    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """See `Learner.describe`; depth is not used."""
        return self.network.describe_images(self.network.normalise(pixels.float()))

    def forward(self, pixels: Tensor, depth_m: Tensor) -> Outputs:
        """See `Learner.forward`; images without known depth do not enter the distance."""
        description = self.describe(pixels, depth_m)
        assert description.hallucinated is not None
        self.teacher.eval()
        with torch.no_grad():
            colours = coloured(depth_m, self.teacher.depth_scale)
            wanted = self.teacher.encoder(self.teacher.normalise(colours)).late
        known = depth_m.isfinite().flatten(1).any(dim=1)
        distance = feature_distance(description.hallucinated.float(), wanted.float(), known)
        return Outputs(named_descriptors(self.network.descriptor, description), {"distance": distance})


def feature_distance(hallucinated: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Mean absolute difference of final feature maps (B, C, H, W) over the images (B,) with known depth.

    The thesis squares it (its L2 distance); the authors' code does not.
    """
    return mean_where((hallucinated - wanted).abs().flatten(1).mean(dim=1), known)
