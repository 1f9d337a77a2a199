"""Trains one network for depth, matching and places on posed images: Perspective-n-Learned-Point and beyond.

The paper trains for depth alone and leaves the three together as future work (section 5).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.initialisation import FIT_IMAGES
from scene_geo_loc.training.common.losses import depth_loss
from scene_geo_loc.training.depth.protocol import Freeze
from scene_geo_loc.training.depth.trainer import DepthTrainer
from scene_geo_loc.training.scene.batches import SceneBatch
from scene_geo_loc.training.scene.matching_loss import matching_loss, true_matches
from scene_geo_loc.training.scene.protocol import SceneProtocol, Task
from scene_geo_loc.training.scene.view_synthesis import view_synthesis_loss

FAR_BASELINES = 8.0
"""Images are of different places where they are more than so many baselines apart."""


class SceneTrainer(DepthTrainer):
    """A network of which some layers learn, by one or several tasks.

    Besides what of the encoder is not frozen, it is the decoder that learns depth, the local features that
    learn matching, where they have layers of their own, and the poolings that learn places.
    """

    LOSS = "all tasks"
    _protocol: SceneProtocol

    def __init__(self, network: SceneNetwork, freeze: Freeze, protocol: SceneProtocol) -> None:
        """Raises SceneGeoLocError where nothing of the network would learn."""
        super().__init__(network, freeze, protocol)
        if not self._weights:
            raise SceneGeoLocError(
                f"With --freeze {freeze.value} nothing of the network learns "
                f"{', '.join(task.value for task in protocol.tasks)}: freeze less, or name a network with "
                "learned local features."
            )
        self._centres = torch.from_numpy(network.cell_centres()).float().to(self._device)

    def learning_parts(self) -> list[nn.Module]:
        """See `DepthTrainer.learning_parts`."""
        of_task: dict[Task, Callable[[], nn.Module]] = {
            Task.DEPTH: lambda: self.decoder,
            Task.VIEWS: lambda: self.decoder,
            Task.MATCHING: lambda: self.network.local_features,
            Task.PLACES: lambda: self.network.descriptor.poolings,
        }
        return list({id(part): part for part in (of_task[task]() for task in self._protocol.tasks)}.values())

    def loss(self, *batch: Tensor) -> Tensor:
        """The sum of the losses of a `SceneBatch`, each task's."""
        b = SceneBatch(*batch)
        network, tasks = self.network, set(self._protocol.tasks)
        with self._precision.autocast(self._device):
            maps = self.maps(b.images)
            others = self.maps(b.partners) if tasks & {Task.MATCHING, Task.PLACES} else None
        losses = []
        if tasks & {Task.DEPTH, Task.VIEWS}:
            inferred = self.decode(maps, (b.images.shape[1], b.images.shape[2]))
            if Task.DEPTH in tasks:
                losses.append(depth_loss(inferred, b.depth, network.depth_scale, self._protocol.depth_loss))
            if Task.VIEWS in tasks:
                losses.append(
                    view_synthesis_loss(
                        inferred,
                        _as_images(b.plain),
                        _as_images(b.neighbours),
                        b.T_neighbour_image,
                        b.K,
                        b.K_neighbours,
                        network.depth_scale,
                    )
                )
        if Task.MATCHING in tasks:
            assert others is not None
            cells, known = true_matches(
                b.depth, b.partner_depth, b.T_partner_image, b.K, b.K_partners, self._centres, network.grid
            )
            with self._precision.autocast(self._device):
                features, of_others = (network.local_features.learned(one) for one in (maps, others))
            losses.append(matching_loss(features.float(), of_others.float(), cells, known))
        if Task.PLACES in tasks:
            assert others is not None
            pool = network.descriptor.pool
            one, other = (pool([of.late.float()])[0] for of in (maps, others))
            losses.append(self._places_loss(one, other, b.apart_m))
        return torch.stack(losses).sum()

    def _places_loss(self, images: Tensor, partners: Tensor, apart_m: Tensor) -> Tensor:
        """The triplet loss of images and partners (B, D) against the hardest of the batch's other places."""
        distance = torch.cdist(images, partners)
        far = apart_m > FAR_BASELINES * self._protocol.baseline_m
        hardest = torch.where(far, distance, torch.inf).amin(dim=1)
        counted = far.any(dim=1)
        surplus = F.relu(self._protocol.margin + distance.diagonal() - hardest)
        return torch.where(counted, surplus, 0.0).sum() / counted.sum().clamp(min=1)


def _as_images(pixels: Tensor) -> Tensor:
    """Images (..., H, W, 3) in [0, 255] as (..., 3, H, W) in 0..1."""
    return pixels.movedim(-1, -3).float() / 255


def fit_places(network: SceneNetwork, images: PosedImages) -> None:
    """Fits the poolings of a network that are not fitted yet, to images spread over all."""
    if network.is_fitted or not network.descriptor.poolings:
        return
    chosen = np.unique(np.linspace(0, len(images) - 1, FIT_IMAGES).astype(int))
    device = network.fitted.device
    network.fit_poolings(
        network.normalise(torch.from_numpy(images.images[part]).to(device).float())
        for part in np.array_split(chosen, -(-len(chosen) // 16))
    )
