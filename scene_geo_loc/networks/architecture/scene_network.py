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

"""The scene network: global descriptor, local features and depth of an image in one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES, DepthScale
from scene_geo_loc.networks.architecture.descriptors import Description
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder
from scene_geo_loc.networks.architecture.local_features import LOCAL_FEATURES, LocalMaps, strongest_cells
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.pooling import KeypointVLAD, Pooling
from scene_geo_loc.networks.projection import whitened_axes

__all__ = ["Features", "NetworkConfig", "SceneNetwork"]


class Features(NamedTuple):
    """Output of one forward pass for images.

    Attributes:
        local_features: (B, C, h, w), unit length at each cell.
        late: (B, C', h', w'), the late map of the encoder.
        global_descriptor: (B, D) of unit length; usable if the network is fitted.
        keypoint_scores: (B, H, W), see `LocalMaps`, or None if the features belong to cells.
        depth: (B, 1, H', W') in 0..1 of `depth_scale` at the size that the encoder sees, or None if the
            system infers none.
    """

    local_features: Tensor
    late: Tensor
    global_descriptor: Tensor
    keypoint_scores: Tensor | None
    depth: Tensor | None


class SceneNetwork(nn.Module):
    """An encoder, local features of its maps for matching, and a descriptor system.

    The global descriptor is that of the system, projected if the config has a `descriptor_size`.  It is
    usable once poolings and projection are fitted or trained (`is_fitted`).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder]()
        self.local_features = LOCAL_FEATURES[config.local_features](self.encoder)
        self.descriptor = config.system(self.encoder, config.parts)
        self.keypoint_pooling = (
            KeypointVLAD(self.local_features.stage.channels) if config.describes_keypoints else None
        )
        self.projection = _empty_projection(config.system_size, config.descriptor_size)
        self.fitted: Tensor
        self.register_buffer("fitted", torch.tensor(self.projection is None and self._poolings_are_fitted()))

    @property
    def is_fitted(self) -> bool:
        """True if the global descriptor is usable."""
        return bool(self.fitted)

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The encoder of each part of the descriptor, that of the image first."""
        second = self.descriptor.second_encoder
        return (self.encoder,) if second is None else (self.encoder, second)

    @property
    def depth_scale(self) -> DepthScale:
        """Scale of the inferred depth."""
        return DEPTH_SCALES[self.config.depth_scale]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the local features' cells."""
        stage = self.local_features.stage
        return stage.cells(self.config.input_height), stage.cells(self.config.input_width)

    def cell_centres(self) -> NDArray[np.float64]:
        """Pixels (rows * columns, 2) of the network's input at the centres of the cells, row by row."""
        rows, columns = self.grid
        stage = self.local_features.stage
        y, x = np.mgrid[:rows, :columns]
        return np.stack([x.ravel(), y.ravel()], axis=1) * float(stage.stride) + stage.offset

    def normalise(self, pixels: Tensor) -> Tensor:
        """Returns the encoder's input (B, 3, H, W) for images (B, H, W, 3) in [0, 255]."""
        mean, std = pixels.new_tensor(self.encoder.mean), pixels.new_tensor(self.encoder.std)
        return ((pixels - mean) / std).permute(0, 3, 1, 2)

    def forward(self, images: Tensor) -> Features:
        """Returns all outputs for normalised images (B, 3, H, W)."""
        coarse = self.coarse(images)
        maps = self.encoder(coarse)
        description = self.descriptor(coarse, maps)
        local = self.local_features(images, maps)
        return Features(
            local.features,
            maps.late,
            self.global_descriptor(description, local),
            local.keypoint_scores,
            description.depth,
        )

    def coarse(self, images: Tensor) -> Tensor:
        """Returns the images that the encoder sees, at one over `FeatureHead.reduction` of their size."""
        reduction = self.local_features.reduction
        if reduction == 1:
            return images
        # The mean of each square, as a convolution: run times take three times as long for a pooling.
        mean = torch.eye(3)[:, :, None, None].expand(3, 3, reduction, reduction) / reduction**2
        return F.conv2d(images, images.new_tensor(mean.tolist()), stride=reduction)

    def describe_images(self, images: Tensor, trunk_grad: bool = False) -> Description:
        """Returns the description of normalised images (B, 3, H, W), with gradients except in the trunk."""
        coarse = self.coarse(images)
        with torch.set_grad_enabled(trunk_grad and torch.is_grad_enabled()):
            trunk = self.encoder.trunk(coarse)
        return self.descriptor(coarse, self.encoder.head(trunk))

    def global_descriptor(self, description: Description, local: LocalMaps) -> Tensor:
        """Returns unit global descriptors (B, D), projected if the config has a `descriptor_size`."""
        return self._projected(self._with_keypoints(description.joint, local))

    def describe(self, late: Sequence[Tensor], local: LocalMaps) -> Tensor:
        """Returns unit global descriptors (B, D) of late maps (B, C', h', w'), one map for each part of the
        descriptor system, and of the local features.
        """
        joint = self.descriptor.fusion(self.descriptor.pool(late))
        return self._projected(self._with_keypoints(joint, local))

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """Weights trained by the triplet losses: those of the encoder's head and of the descriptor system.

        The decoder is among them only if the system says so.  The trunk of the encoder stays fixed.
        """
        head = [parameter for module in self.encoder.head_modules() for parameter in module.parameters()]
        return head + self.descriptor.descriptor_parameters()

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Weights trained by the depth loss."""
        return self.descriptor.decoder_parameters()

    def with_input_for(self, width: int, height: int) -> SceneNetwork:
        """Returns a copy for images of another shape; the weights do not depend on the input's size."""
        network = copy.deepcopy(self)
        network.config = self.config.with_input_for(width, height)
        return network

    def with_descriptor_size(self, size: int | None) -> SceneNetwork:
        """Returns a copy with a projection to another size, not yet fitted, or without one.

        Fit it with `fit_projection` or `fit`.

        Raises SceneGeoLocError if the descriptor has fewer numbers than that.
        """
        system_size = self.config.system_size
        if size is not None and not 1 <= size <= system_size:
            raise SceneGeoLocError(
                f"A descriptor of {system_size} numbers cannot be projected to {size}: "
                f"choose between 1 and {system_size}."
            )
        network = copy.deepcopy(self)
        network.config = self.config.model_copy(update={"descriptor_size": size})
        network.projection = _empty_projection(system_size, size)
        network.to(self.fitted.device)
        network.fitted.fill_(size is None and self._poolings_are_fitted())
        return network

    def without_depth(self) -> SceneNetwork:
        """Returns a network with the same features and descriptors, without the decoder if they do not need
        it.
        """
        if (descriptor := self.descriptor.without_depth) is None:
            return self
        network = SceneNetwork(
            self.config.model_copy(update={"descriptor": descriptor, "uncertainty": False})
        )
        weights = self.state_dict()
        network.load_state_dict({key: weights[key] for key in network.state_dict()})
        return network.to(self.fitted.device).train(self.training)

    @torch.no_grad()
    def fit_poolings(self, batches: Iterable[Tensor]) -> None:
        """Fits the pooling of each part to normalised images (B, 3, H, W), before training.

        A few hundred images are enough: k-means uses at most 65,536 local features of a part.  Batch norms
        use their running statistics and keep them.

        Raises SceneGeoLocError if there are fewer local features than clusters of a pooling.
        """
        was_training, device = self.training, self.fitted.device
        self.eval()
        channels = [encoder.late.channels for encoder in self.encoders]
        sharpness = [encoder.netvlad_sharpness for encoder in self.encoders]
        if self.keypoint_pooling is not None:
            channels.append(self.local_features.stage.channels)
            sharpness.append(self.keypoint_pooling.HEAD.SHARPNESS)
        features = [[np.zeros((0, size), np.float32)] for size in channels]
        for batch in batches:
            images = batch.to(device)
            coarse = self.coarse(images)
            maps = self.encoder(coarse)
            pooled = self.descriptor.infer(coarse, maps).late
            if self.keypoint_pooling is not None:
                pooled = (*pooled, strongest_cells(self.local_features(images, maps)))
            for pooling, of_part, of_images in zip(self._poolings, features, pooled, strict=True):
                of_part.append(pooling.local_features(of_images.float()).flatten(0, 1).cpu().numpy())
        self.train(was_training)
        for pooling, of_part, alpha in zip(self._poolings, features, sharpness, strict=True):
            pooling.fit(np.concatenate(of_part), alpha)
        self.fitted.fill_(self.projection is None)

    @torch.no_grad()
    def fit_projection(self, joint: NDArray[np.float32]) -> None:
        """Fits the projection to joint descriptors (N, D): their whitened principal axes (`whitened_axes`).

        Projected descriptors are normalised to unit length.  If the descriptors span fewer dimensions than
        `descriptor_size`, the remaining rows of the projection are zero.

        Raises SceneGeoLocError if the config has no `descriptor_size`, or descriptors are not finite.
        """
        if self.projection is None:
            raise SceneGeoLocError("This network has no projection to fit: give it a descriptor_size.")
        axes = torch.from_numpy(whitened_axes(np.asarray(joint), self.projection.out_features))
        self.projection.weight.zero_()
        self.projection.weight[: len(axes)] = axes.to(self.fitted.device)
        self.projection.bias.zero_()
        self.fitted.fill_(self._poolings_are_fitted())

    def _with_keypoints(self, joint: Tensor, local: LocalMaps) -> Tensor:
        if self.keypoint_pooling is None:
            return joint
        return self.keypoint_pooling.joined(joint, self.keypoint_pooling(strongest_cells(local)))

    def _projected(self, joint: Tensor) -> Tensor:
        return joint if self.projection is None else F.normalize(self.projection(joint), dim=1)

    @property
    def _poolings(self) -> list[Pooling]:
        poolings = [cast("Pooling", pooling) for pooling in self.descriptor.poolings]
        return poolings if self.keypoint_pooling is None else [*poolings, self.keypoint_pooling]

    def _poolings_are_fitted(self) -> bool:
        return all(pooling.is_fitted for pooling in self._poolings)


def _empty_projection(system_size: int, size: int | None) -> nn.Linear | None:
    """Returns a projection of zeros, so that equal networks are also equal before they are fitted."""
    if size is None:
        return None
    projection = nn.Linear(system_size, size)
    nn.init.zeros_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection
