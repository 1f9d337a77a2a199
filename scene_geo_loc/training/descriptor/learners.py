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

"""Learners: a network with the losses it is trained by, and the choice of the weights that are trained.

The forward passes of the networks are those of inference; a learner adds what only training needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.colouring import jet
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.networks.architecture.descriptors import Description, DescriptorSystem
from scene_geo_loc.networks.architecture.encoders import Encoder
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.training.common.config import SystemConfig
from scene_geo_loc.training.common.depth_loss import l1_depth_loss, laplace_depth_loss


class Outputs(NamedTuple):
    """Output of a learner for images.

    Attributes:
        descriptors: (B, D) by name; each has a triplet loss.
        losses: further losses by name, each of weight 1.
    """

    descriptors: dict[str, Tensor]
    losses: dict[str, Tensor]


class Learner(nn.Module, ABC):
    """Base of the learners.

    Attributes:
        network: is trained, and stored in checkpoints.
        needs_depth: whether training needs true depth maps.
    """

    network: SceneNetwork
    needs_depth: bool

    @abstractmethod
    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """Describes images (B, H, W, 3) uint8 with true depth (B, H, W) in metres, NaN where unknown."""

    @abstractmethod
    def forward(self, pixels: Tensor, depth_m: Tensor) -> Outputs:
        """Returns the descriptors and losses of images, see `describe`."""

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """Weights trained at the descriptor's learning rate."""
        return self.network.descriptor_parameters()

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Weights trained at the decoder's learning rate."""
        return self.network.decoder_parameters()

    def freeze_the_rest(self) -> None:
        """Turns off the gradients of all weights that are not trained."""
        trained = {id(weight) for weight in (*self.descriptor_parameters(), *self.decoder_parameters())}
        for weight in self.parameters():
            weight.requires_grad_(id(weight) in trained)


class SceneLearner(Learner):
    """A scene network that is trained on images, and on true depth if its descriptor system needs that."""

    def __init__(self, network: SceneNetwork, config: SystemConfig) -> None:
        super().__init__()
        self.network = network
        self._depth_loss = config.depth_loss
        self.needs_depth = network.descriptor.needs_depth_maps

    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """See `Learner.describe`; depth is not used."""
        return self.network.describe_images(self.network.normalise(pixels.float()))

    def forward(self, pixels: Tensor, depth_m: Tensor) -> Outputs:
        """See `Learner.forward`."""
        description = self.describe(pixels, depth_m)
        descriptors = named_descriptors(self.network.descriptor, description)
        return Outputs(descriptors, self._losses(description, depth_m))

    def _losses(self, description: Description, depth_m: Tensor) -> dict[str, Tensor]:
        if not self.needs_depth:
            return {}
        assert description.depth is not None
        inferred, scale = description.depth.float(), self.network.depth_scale
        if self._depth_loss == "l1":
            return {"depth map": l1_depth_loss(inferred, depth_m, scale)}
        assert description.log_scale is not None
        return {"depth map": laplace_depth_loss(inferred, description.log_scale.float(), depth_m, scale)}


class DepthLearner(Learner):
    """A network whose images are true depth maps in jet colours; all its weights are trained."""

    needs_depth = True

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.network = network

    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """See `Learner.describe`; images are not used."""
        colours = coloured(depth_m, self.network.depth_scale)
        return self.network.describe_images(self.network.normalise(colours), trunk_grad=True)

    def forward(self, pixels: Tensor, depth_m: Tensor) -> Outputs:
        """See `Learner.forward`."""
        return Outputs({"depth": self.describe(pixels, depth_m).joint.float()}, {})

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """All weights, since ImageNet has no depth maps."""
        return [*self.network.encoder.parameters(), *self.network.descriptor.descriptor_parameters()]


def coloured(depth_m: Tensor, scale: DepthScale) -> Tensor:
    """Images (B, H, W, 3) in [0, 255] of depth (B, H, W) in metres in jet colours; unknown depth is far."""
    return 255 * jet(scale.normalise(depth_m)[:, None]).permute(0, 2, 3, 1)


def named_descriptors(system: DescriptorSystem, description: Description) -> dict[str, Tensor]:
    """Returns the descriptors that have a triplet loss, in float32: the parts, and the joint one of
    several.
    """
    parts = [part.float() for part in description.parts]
    if len(parts) == 1:
        return {"image": parts[0]}
    # The authors join unit parts without dividing; their margin is for descriptors of that length.
    joint = description.joint.float() * len(parts) ** 0.5
    return {"image": parts[0], system.second_part: parts[1], "joint": joint}


def set_modes(learner: Learner, encoder_batch_norm: str) -> None:
    """Sets a learner to training mode, with the encoders' batch norms as the protocol says."""
    learner.train()
    if encoder_batch_norm == "running":
        for module in learner.modules():
            if isinstance(module, Encoder):
                module.eval()


@torch.no_grad()
def joint_descriptors(learner: Learner, pixels: Tensor, depth_m: Tensor) -> Tensor:
    """Returns joint descriptors (B, D) in inference mode; the learner stays in that mode."""
    learner.eval()
    return learner.describe(pixels, depth_m).joint.float()
