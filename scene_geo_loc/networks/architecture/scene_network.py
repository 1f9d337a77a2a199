"""One network, one forward pass: global descriptor, local features and depth of an image."""

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
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS, Description
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder
from scene_geo_loc.networks.architecture.local_features import LOCAL_FEATURES
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.pooling import Pooling
from scene_geo_loc.networks.architecture.projection import whitened_axes

__all__ = ["Features", "NetworkConfig", "SceneNetwork"]


class Features(NamedTuple):
    """What one forward pass tells of images.

    Attributes:
        local_features: (B, C, h, w), unit length at each cell.
        late: (B, C', h', w'), the encoder's late map.
        global_descriptor: (B, D) of unit length; of use where the network is fitted.
        depth: (B, 1, H, W) in 0..1 of `depth_scale`, or None where the system infers none.
    """

    local_features: Tensor
    late: Tensor
    global_descriptor: Tensor
    depth: Tensor | None


class SceneNetwork(nn.Module):
    """An encoder whose early map is matched, and from whose other maps a descriptor system describes images.

    The global descriptor is the system's, or where the config has a `descriptor_size` its projection to so
    many numbers.  It is of use once everything in it that is fitted is fitted or trained (`is_fitted`).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder]()
        self.local_features = LOCAL_FEATURES[config.local_features](self.encoder)
        self.descriptor = DESCRIPTORS[config.descriptor](self.encoder, config)
        self.projection = _empty_projection(config.system_size, config.descriptor_size)
        self.fitted: Tensor
        self.register_buffer("fitted", torch.tensor(self.projection is None and self._poolings_are_fitted()))

    @property
    def is_fitted(self) -> bool:
        """Whether the global descriptor is of use."""
        return bool(self.fitted)

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """The encoder of each part of the descriptor, the image's first."""
        second = self.descriptor.second_encoder
        return (self.encoder,) if second is None else (self.encoder, second)

    @property
    def depth_scale(self) -> DepthScale:
        """What 0 to 1 of an inferred depth mean."""
        return DEPTH_SCALES[self.config.depth_scale]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the local features."""
        early = self.encoder.early
        return early.cells(self.config.input_height), early.cells(self.config.input_width)

    def cell_centres(self) -> NDArray[np.float64]:
        """Pixels (rows * columns, 2) of the network's input at the centres of the local features."""
        rows, columns = self.grid
        early = self.encoder.early
        y, x = np.mgrid[:rows, :columns]
        return np.stack([x.ravel(), y.ravel()], axis=1) * float(early.stride) + early.offset

    def normalise(self, pixels: Tensor) -> Tensor:
        """Images (B, H, W, 3) in [0, 255] to the encoder's input (B, 3, H, W)."""
        mean, std = pixels.new_tensor(self.encoder.mean), pixels.new_tensor(self.encoder.std)
        return ((pixels - mean) / std).permute(0, 3, 1, 2)

    def forward(self, images: Tensor) -> Features:
        """Everything that the network tells of normalised images (B, 3, H, W)."""
        maps = self.encoder(images)
        description = self.descriptor(images, maps)
        return Features(
            self.local_features(maps), maps.late, self.global_descriptor(description), description.depth
        )

    def describe_images(self, images: Tensor, trunk_grad: bool = False) -> Description:
        """What training needs of normalised images (B, 3, H, W); the encoder's trunk has no gradient."""
        with torch.set_grad_enabled(trunk_grad and torch.is_grad_enabled()):
            trunk = self.encoder.trunk(images)
        return self.descriptor(images, self.encoder.head(trunk))

    def global_descriptor(self, description: Description) -> Tensor:
        """Unit global descriptors (B, D), projected where the config has a `descriptor_size`."""
        return self._projected(description.joint)

    def describe(self, late: Sequence[Tensor]) -> Tensor:
        """Unit global descriptors (B, D) of late maps (B, C', h', w'), one for each part."""
        return self._projected(self.descriptor.fusion(self.descriptor.pool(late)))

    def descriptor_parameters(self) -> list[nn.Parameter]:
        """What the triplet losses train: the encoder's head and the descriptor system without its decoder.

        Of RGB+ the decoder, too.  The encoder's trunk remains as it is.
        """
        head = [parameter for module in self.encoder.head_modules() for parameter in module.parameters()]
        return head + self.descriptor.descriptor_parameters()

    def decoder_parameters(self) -> list[nn.Parameter]:
        """What the depth loss trains."""
        return self.descriptor.decoder_parameters()

    def with_input_for(self, width: int, height: int) -> SceneNetwork:
        """A copy for images of another shape: the weights do not depend on the input's size."""
        network = copy.deepcopy(self)
        network.config = self.config.with_input_for(width, height)
        return network

    def with_descriptor_size(self, size: int | None) -> SceneNetwork:
        """A copy with a projection to another size, not yet fitted (`fit_projection`), or with none.

        Raises SceneGeoLocError where the descriptor has fewer numbers than that.
        """
        system_size = self.config.system_size
        if size is not None and not 1 <= size <= system_size:
            raise SceneGeoLocError(
                f"A descriptor of {system_size} numbers cannot be projected to {size}: "
                f"take between 1 and {system_size}."
            )
        network = copy.deepcopy(self)
        network.config = self.config.model_copy(update={"descriptor_size": size})
        network.projection = _empty_projection(system_size, size)
        network.to(self.fitted.device)
        network.fitted.fill_(size is None and self._poolings_are_fitted())
        return network

    def without_depth(self) -> SceneNetwork:
        """What matches and describes as this network does, without depth where nothing else needs it."""
        if self.config.descriptor != "rgb_depth":
            return self
        network = SceneNetwork(self.config.model_copy(update={"descriptor": "rgb", "uncertainty": False}))
        weights = self.state_dict()
        network.load_state_dict({key: weights[key] for key in network.state_dict()})
        return network.to(self.fitted.device).train(self.training)

    @torch.inference_mode()
    def fit(self, late_maps: Iterable[Sequence[NDArray[np.float32]]]) -> None:
        """Fits poolings and projection to the late maps of a place's own images.

        Of each image they are what `describe` takes, without its first axis.  The encoders stay as they are,
        trained or not.  The projection is fitted as by `fit_projection`.

        Raises SceneGeoLocError where there are too few for a pooling's clusters.
        """
        device = self.fitted.device
        maps = [[np.asarray(one, np.float32) for one in late] for late in late_maps]
        for part, (pooling, encoder) in enumerate(zip(self._poolings, self.encoders, strict=True)):
            features = [
                pooling.local_features(torch.from_numpy(late[part])[None])[0].numpy() for late in maps
            ]
            pooling.fit(np.concatenate(features), encoder.netvlad_sharpness)
        if self.projection is not None:
            system = self.descriptor
            tensors = ([torch.from_numpy(one)[None].to(device) for one in late] for late in maps)
            joint = torch.cat([system.fusion(system.pool(late)) for late in tensors])
            self.fit_projection(joint.cpu().numpy())
        self.fitted.fill_(True)

    @torch.no_grad()
    def fit_poolings(self, batches: Iterable[Tensor]) -> None:
        """Fits each part's pooling to normalised images (B, 3, H, W), as training begins.

        A few hundred images are enough: k-means takes at most 65,536 local features of a part.
        Batch norms run with their stored statistics meanwhile, and keep them.

        Raises SceneGeoLocError where there are too few for a pooling's clusters.
        """
        was_training, device = self.training, self.fitted.device
        self.eval()
        features = [[np.zeros((0, encoder.late.channels), np.float32)] for encoder in self.encoders]
        for batch in batches:
            images = batch.to(device)
            inferred = self.descriptor.infer(images, self.encoder(images))
            for pooling, of_part, late in zip(self._poolings, features, inferred.late, strict=True):
                of_part.append(pooling.local_features(late.float()).flatten(0, 1).cpu().numpy())
        self.train(was_training)
        for pooling, of_part, encoder in zip(self._poolings, features, self.encoders, strict=True):
            pooling.fit(np.concatenate(of_part), encoder.netvlad_sharpness)
        self.fitted.fill_(self.projection is None)

    @torch.no_grad()
    def fit_projection(self, joint: NDArray[np.float32]) -> None:
        """Fits the projection: whitened principal axes (`whitened_axes`) of joint descriptors (N, D).

        What describes an image is made of unit length afterwards.  Where the descriptors span fewer
        dimensions than `descriptor_size`, the projection's remaining rows are zero.

        Raises SceneGeoLocError where the config has no `descriptor_size`, or descriptors are not finite.
        """
        if self.projection is None:
            raise SceneGeoLocError(
                "This network has no projection that could be fitted: give it a descriptor_size."
            )
        axes = torch.from_numpy(whitened_axes(np.asarray(joint), self.projection.out_features))
        self.projection.weight.zero_()
        self.projection.weight[: len(axes)] = axes.to(self.fitted.device)
        self.projection.bias.zero_()
        self.fitted.fill_(self._poolings_are_fitted())

    def _projected(self, joint: Tensor) -> Tensor:
        return joint if self.projection is None else F.normalize(self.projection(joint), dim=1)

    @property
    def _poolings(self) -> list[Pooling]:
        return [cast("Pooling", pooling) for pooling in self.descriptor.poolings]

    def _poolings_are_fitted(self) -> bool:
        return all(pooling.is_fitted for pooling in self._poolings)


def _empty_projection(system_size: int, size: int | None) -> nn.Linear | None:
    """A projection that is not fitted: of zeros, so that equal networks are equal before, too."""
    if size is None:
        return None
    projection = nn.Linear(system_size, size)
    nn.init.zeros_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection
