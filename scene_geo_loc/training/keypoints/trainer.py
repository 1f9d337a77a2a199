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

"""Trains features of keypoints for other light, scale and rotation, near those of a teacher.

The teacher sees a clear view: upright, in good light.  The student sees the same by night, rotated, nearer or
farther, and learns the teacher's features of it, besides features that agree between its views.  Of the clear
view its features stay the teacher's, which were learned from far more images than there are here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.local_features import KeypointHead, KeypointMaps
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.architecture.xfeat import XFeatNetwork
from scene_geo_loc.training.common.callbacks import Record
from scene_geo_loc.training.common.loop import Position, Step, Trainer
from scene_geo_loc.training.common.protocols import KeypointProtocol
from scene_geo_loc.training.common.run_folder import RunFolder, versions
from scene_geo_loc.training.common.schedules import warmed_cosine
from scene_geo_loc.training.keypoints.batches import KeypointBatch
from scene_geo_loc.training.keypoints.losses import WEIGHTS, keypoint_losses

AVERAGED_STEPS = 200
"""The saved weights are a moving average over about this many steps."""


class KeypointTrainer(Trainer):
    """Trains the features of a network's keypoints; where these are, encoder and descriptor stay as they are.

    Batch norms use the running statistics of the first weights.

    Args:
        network: with the local features `keypoints`.
        teacher: published weights.
        validation: batches that measure the share of points matched right; none: the last epoch is best.
        protocol: settings of the training.
        provenance: stored with the weights.
        device: to train on.

    Raises SceneGeoLocError if the network has other local features.
    """

    first_epoch = 1

    def __init__(
        self,
        network: SceneNetwork,
        teacher: XFeatNetwork,
        validation: Sequence[KeypointBatch],
        protocol: KeypointProtocol,
        provenance: dict[str, Any],
        device: torch.device,
    ) -> None:
        head = network.local_features
        if not isinstance(head, KeypointHead):
            raise SceneGeoLocError(
                f"The network has the local features {head.name!r}: choose one with keypoints."
            )
        self._network = network.to(device).eval()
        self._validation, self._protocol = validation, protocol
        self._provenance, self._device = provenance, device
        self._head, self._averaged, self._teacher = head, copy.deepcopy(head), copy.deepcopy(head)
        self._teacher.image.load_state_dict(teacher.state_dict())
        # Where keypoints are stays as published: trained on so few images, they localized fewer queries.
        head.image.keypoint_head.requires_grad_(False)
        self.module = nn.ModuleList([head, self._averaged])
        self._weights = [weight for weight in head.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(self._weights, protocol.learning_rate, weight_decay=1e-4)

    def step(self, batch: KeypointBatch, position: Position) -> Step:
        """See `Trainer.step`."""
        number = (position.epoch - 1) * self._protocol.record_every + position.batch
        for group in self.optimiser.param_groups:
            group["lr"] = self._protocol.learning_rate * warmed_cosine(
                number, self._protocol.steps, self._protocol.warm_up
            )
        losses = self._losses(batch, self._head)
        total = torch.stack([weight * losses[name] for name, weight in WEIGHTS.items()]).sum()
        if torch.isfinite(total):
            self.optimiser.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(self._weights, 1.0)
            self.optimiser.step()
            self._average(number)
        return Step({name: value.item() for name, value in losses.items()}, 2 * len(batch.first))

    @torch.no_grad()
    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the losses of the averaged weights in the validation batches."""
        found = [self._losses(batch, self._averaged) for batch in self._validation]
        return {
            "step": min(epoch * self._protocol.record_every, self._protocol.steps),
            "validation": {
                name: round(float(torch.stack([losses[name] for losses in found]).mean()), 4)
                for name in (found[0] if found else ())
            },
        }

    def score(self, record: Record) -> float | None:
        """See `Trainer.score`: the share of points that are matched right."""
        return record["validation"].get("right")

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`: the averaged weights."""
        network = copy.deepcopy(self._network)
        network.local_features = copy.deepcopy(self._averaged)
        provenance = {**self._provenance, "steps": record["step"], "versions": versions()}
        folder.save_networks(network, provenance, is_best)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {name: best[name] for name in ("step", "losses", "validation")}

    def _losses(self, batch: KeypointBatch, head: KeypointHead) -> dict[str, Tensor]:
        on_device = KeypointBatch(*(tensor.to(self._device) for tensor in batch))
        first, second, clear = (self._normalised(images) for images in on_device[:3])
        with torch.no_grad():
            teacher = self._teacher.maps(clear)
        maps = head.maps(torch.cat([first, second, clear]))
        features, positions, reliability = (each.chunk(3) for each in maps)
        views = [KeypointMaps(features[k], positions[k], reliability[k]) for k in range(3)]
        return keypoint_losses(views[0], views[1], views[2], teacher, on_device)

    def _normalised(self, pixels: Tensor) -> Tensor:
        return self._network.normalise(pixels.float())

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Moves the averaged weights towards the present ones, at first faster."""
        share = max(1 / AVERAGED_STEPS, 1 / (step + 1))
        present = self._head.state_dict()
        for name, value in self._averaged.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(present[name], share)


def start_keypoints(network: SceneNetwork, published: XFeatNetwork) -> SceneNetwork:
    """Returns a network with keypoints, which begin as the published ones, as its local features.

    Encoder, descriptor and decoder keep their weights.  The keypoints become a part of the descriptor where
    this is still to be fitted to a place.
    """
    if network.config.local_features == KeypointHead.name:
        return network
    changed = {"local_features": KeypointHead.name, "describes_keypoints": not network.is_fitted}
    started = SceneNetwork(network.config.model_copy(update=changed))
    own = started.state_dict()
    kept = {
        name: value
        for name, value in network.state_dict().items()
        if name in own and own[name].shape == value.shape and not name.startswith("local_features.")
    }
    started.load_state_dict({**own, **kept})
    head = started.local_features
    assert isinstance(head, KeypointHead)
    head.image.load_state_dict(published.state_dict())
    return started.eval()
