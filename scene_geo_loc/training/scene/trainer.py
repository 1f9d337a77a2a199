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

"""Trains one network for depth, matching and places on posed images, after Perspective-n-Learned-Point.

The paper trains for depth only and leaves the joint training as future work (section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.metrics.learned_depth import Pairs
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.depth_loss import depth_loss
from scene_geo_loc.training.common.initialisation import FIT_IMAGES
from scene_geo_loc.training.common.protocols import Freeze, SceneProtocol, Task
from scene_geo_loc.training.depth.trainer import DepthTrainer
from scene_geo_loc.training.scene.batches import SceneBatch
from scene_geo_loc.training.scene.losses import matching_loss, true_matches, view_synthesis_loss

FAR_BASELINES = 8.0
"""Images show different places if they are more than this many baselines apart."""


class SceneTrainer(DepthTrainer):
    """A network of which some layers are trained for one or several tasks.

    Besides the part of the encoder that is not frozen, the decoder is trained for depth, the local features
    for matching if they have layers, and the poolings for places.

    Raises SceneGeoLocError if no layer would be trained.
    """

    LOSS = "all tasks"
    _protocol: SceneProtocol

    def __init__(
        self,
        network: SceneNetwork,
        freeze: Freeze,
        protocol: SceneProtocol,
        validation: Mapping[str, Pairs] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(network, freeze, protocol, validation, provenance)
        if not self._weights:
            raise SceneGeoLocError(
                f"With freeze {freeze.value} no layer is trained for "
                f"{', '.join(task.value for task in protocol.tasks)}: freeze less, or choose learned local "
                "features."
            )
        self._centres = torch.from_numpy(network.cell_centres()).float().to(self._device)

    def trained_parts(self) -> list[nn.Module]:
        """See `DepthTrainer.trained_parts`."""
        of_task: dict[Task, Callable[[], nn.Module]] = {
            Task.DEPTH: lambda: self.decoder,
            Task.VIEWS: lambda: self.decoder,
            Task.MATCHING: lambda: self.network.local_features,
            Task.PLACES: lambda: self.network.descriptor.poolings,
        }
        return list({id(part): part for part in (of_task[task]() for task in self._protocol.tasks)}.values())

    def loss(self, *batch: Tensor) -> Tensor:
        """Returns the sum of the losses of all tasks for a `SceneBatch`."""
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
                features, of_others = (
                    network.local_features.learned(network.normalise(pixels.float()), each)
                    for pixels, each in ((b.images, maps), (b.partners, others))
                )
            losses.append(matching_loss(features.float(), of_others.float(), cells, known))
        if Task.PLACES in tasks:
            assert others is not None
            pool = network.descriptor.pool
            images, partners = (pool([each.late.float()])[0] for each in (maps, others))
            losses.append(self._places_loss(images, partners, b.apart_m))
        return torch.stack(losses).sum()

    def _places_loss(self, images: Tensor, partners: Tensor, apart_m: Tensor) -> Tensor:
        """Triplet loss of images and partners (B, D) against the hardest other place of the batch."""
        distance = torch.cdist(images, partners)
        far = apart_m > FAR_BASELINES * self._protocol.baseline_m
        hardest = torch.where(far, distance, torch.inf).amin(dim=1)
        counted = far.any(dim=1)
        surplus = F.relu(self._protocol.margin + distance.diagonal() - hardest)
        return torch.where(counted, surplus, 0.0).sum() / counted.sum().clamp(min=1)


def _as_images(pixels: Tensor) -> Tensor:
    """Converts images (..., H, W, 3) in [0, 255] to (..., 3, H, W) in 0..1."""
    return pixels.movedim(-1, -3).float() / 255


def fit_places(network: SceneNetwork, images: PosedImages) -> None:
    """Fits the poolings of a network, if they are not fitted yet, to images spread over all."""
    if network.is_fitted or not network.descriptor.poolings:
        return
    chosen = np.unique(np.linspace(0, len(images) - 1, FIT_IMAGES).astype(int))
    device = network.fitted.device
    network.fit_poolings(
        network.normalise(torch.from_numpy(images.images[part]).to(device).float())
        for part in np.array_split(chosen, -(-len(chosen) // 16))
    )
