"""What a trainer trains: a network with its losses, and which of its weights learn.

The networks' forward passes are those of inference; a learner adds what is only wanted in training.
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
from scene_geo_loc.training.common.losses import l1_depth_loss, laplace_depth_loss


class Outputs(NamedTuple):
    """What a learner gives of images.

    Attributes:
        descriptors: (B, D) by name, each of which has a triplet loss.
        losses: further losses by name, each of them weighs 1.
    """

    descriptors: dict[str, Tensor]
    losses: dict[str, Tensor]


class Learner(nn.Module, ABC):
    """Base of the learners.

    Attributes:
        network: what is trained, and what a checkpoint holds.
        needs_depth: whether it learns from true depth maps.
    """

    network: SceneNetwork
    needs_depth: bool

    @abstractmethod
    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """The descriptors of images (B, H, W, 3) uint8 with true depth (B, H, W), metres, NaN unknown."""

    @abstractmethod
    def forward(self, pixels: Tensor, depth_m: Tensor) -> Outputs:
        """What there is to be learned from these images, see `describe`."""

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """The weights that the descriptor's learning rate is for."""
        return self.network.descriptor_parameters()

    def decoder_parameters(self) -> list[nn.Parameter]:
        """The weights that the decoder's learning rate is for."""
        return self.network.decoder_parameters()

    def freeze_the_rest(self) -> None:
        """Lets no gradient be computed for weights that are not trained."""
        trained = {id(weight) for weight in (*self.descriptor_parameters(), *self.decoder_parameters())}
        for weight in self.parameters():
            weight.requires_grad_(id(weight) in trained)


class SceneLearner(Learner):
    """A scene network that learns from images, and depth from true depth where its system says so."""

    def __init__(self, network: SceneNetwork, config: SystemConfig) -> None:
        super().__init__()
        self.network = network
        self._depth_loss = config.depth_loss
        self.needs_depth = network.descriptor.needs_depth_maps

    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """See `Learner.describe`; depth does not count."""
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
    """A network whose images are true depth maps in the colours of the jet table; all its weights learn."""

    needs_depth = True

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.network = network

    def describe(self, pixels: Tensor, depth_m: Tensor) -> Description:
        """See `Learner.describe`; images do not count."""
        colours = coloured(depth_m, self.network.depth_scale)
        return self.network.describe_images(self.network.normalise(colours), trunk_grad=True)

    def forward(self, pixels: Tensor, depth_m: Tensor) -> Outputs:
        """See `Learner.forward`."""
        return Outputs({"depth": self.describe(pixels, depth_m).joint.float()}, {})

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """All: ImageNet has no depth maps."""
        return [*self.network.encoder.parameters(), *self.network.descriptor.descriptor_parameters()]


def coloured(depth_m: Tensor, scale: DepthScale) -> Tensor:
    """Images (B, H, W, 3) in [0, 255] of depth (B, H, W) in metres by the jet table; far where unknown."""
    return 255 * jet(scale.normalise(depth_m)[:, None]).permute(0, 2, 3, 1)


def named_descriptors(system: DescriptorSystem, description: Description) -> dict[str, Tensor]:
    """The descriptors that have a triplet loss each, in float32: the parts, and the joint one of several."""
    parts = [part.float() for part in description.parts]
    if len(parts) == 1:
        return {"image": parts[0]}
    # Of the authors' length, for their margin: they join unit parts without dividing.
    joint = description.joint.float() * len(parts) ** 0.5
    return {"image": parts[0], system.second_part: parts[1], "joint": joint}


def set_modes(learner: Learner, encoder_batch_norm: str) -> None:
    """Puts a learner into training, its encoders' batch norms as the protocol says."""
    learner.train()
    if encoder_batch_norm == "running":
        for module in learner.modules():
            if isinstance(module, Encoder):
                module.eval()


@torch.no_grad()
def joint_descriptors(learner: Learner, pixels: Tensor, depth_m: Tensor) -> Tensor:
    """The joint descriptors (B, D) that images are told apart by, in inference mode, which stays."""
    learner.eval()
    return learner.describe(pixels, depth_m).joint.float()
