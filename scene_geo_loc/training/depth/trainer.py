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

"""Trains the depth decoder of a network on pairs of an image and a depth map, which need no location.

This is the adaptation to the night (ICRA 2019, section IV-D): the decoder is fine-tuned on about 1000 pairs
of a night run, and all other weights stay as they were trained on triplets by day.  Day pairs in each
mini-batch preserve the accuracy by day, as in the journal version.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scene_geo_loc.metrics.learned_depth import DepthEstimator, Pairs, compare_depth, decoder_of
from scene_geo_loc.networks.architecture.decoders import Decoder, InferredDepth
from scene_geo_loc.networks.architecture.encoders import FeatureMaps
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.plots.learned_depth_pictures import DepthRow, write_depth_pictures
from scene_geo_loc.plots.training_curves import write_depth_curves
from scene_geo_loc.training.common.callbacks import Record
from scene_geo_loc.training.common.depth_loss import depth_loss
from scene_geo_loc.training.common.loop import Position, Step, Trainer
from scene_geo_loc.training.common.protocols import DepthTraining, Freeze
from scene_geo_loc.training.common.run_folder import CURVES, RunFolder

PICTURES = "depth.png"
"""Pictures of the depth inferred so far, in the run folder."""


class DepthTrainer(Trainer):
    """A network of which some layers are trained, and their optimiser.

    All other layers stay in inference mode, so that the statistics of their batch norms do not move either;
    of the encoder only the weights are trained, never the statistics.

    Args:
        network: is trained in place.
        freeze: the part that stays fixed.
        protocol: settings of the training.
        validation: pairs by condition; the best network has the largest share of depth within a factor of
            1.25, averaged over the conditions.  The network before training is among those compared.
        provenance: stored in the checkpoints.

    Raises ValueError if the network has no depth decoder.
    """

    keeps_untrained = True
    LOSS = "depth map"
    """Name of the loss in records."""

    def __init__(
        self,
        network: SceneNetwork,
        freeze: Freeze,
        protocol: DepthTraining,
        validation: Mapping[str, Pairs] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        self.module = self.network = network.eval()
        self._protocol = protocol
        self._validation, self._provenance = validation or {}, provenance or {}
        self._parts = self.trained_parts()
        network.requires_grad_(False)
        self._device = next(network.parameters()).device
        self._precision = protocol.precision
        trained = {
            Freeze.TRUNK: network.encoder.head_modules(),
            Freeze.NOTHING: (network.encoder,),
        }.get(freeze, ())
        self._trains_trunk, self._trains_head = freeze is Freeze.NOTHING, bool(trained)
        parts = [weight for part in self._parts for weight in part.parameters()]
        groups: list[dict[str, Any]] = [{"params": parts, "lr": protocol.learning_rate}]
        if trained:
            encoder = [weight for layer in trained for weight in layer.parameters()]
            groups.append({"params": encoder, "lr": protocol.encoder_learning_rate})
        self.optimiser = torch.optim.Adam(groups, weight_decay=protocol.weight_decay)
        self._rates = [group["lr"] for group in groups]
        self._weights = [weight for group in groups for weight in group["params"]]
        for weight in self._weights:
            weight.requires_grad_(True)

    def trained_parts(self) -> list[nn.Module]:
        """The parts that are trained besides the encoder."""
        return [self.decoder]

    @property
    def decoder(self) -> Decoder:
        """The depth decoder of the network."""
        decoder = decoder_of(self.network)
        if decoder is None:
            raise ValueError("the network has no depth decoder")
        return decoder

    def step(self, batch: Sequence[Tensor], position: Position) -> Step:
        """See `Trainer.step`. The learning rates fall to 0 as a cosine, since L1 needs small last steps."""
        epoch, done, batches = position
        share = (epoch - 1 + done / batches) / self._protocol.epochs
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
        return Step({self.LOSS: self.learn(*batch)}, len(batch[0]))

    def learn(self, *batch: Tensor) -> float:
        """Makes one step of the optimiser on a batch, see `loss`; returns the loss.

        If the loss or a gradient is not finite, the weights stay as they are and NaN is returned.
        """
        for part in self._parts:
            part.train()
        loss = self.loss(*(values.to(self._device) for values in batch))
        self.optimiser.zero_grad()
        loss.backward()
        gradients = nn.utils.clip_grad_norm_(self._weights, max_norm=math.inf)
        value = loss.item() if bool(gradients.isfinite()) else math.nan
        if math.isfinite(value):
            self.optimiser.step()
        self.network.eval()
        return value

    def loss(self, *batch: Tensor) -> Tensor:
        """Returns the loss of images (B, H, W, 3) in [0, 255] with depth (B, H, W) in metres."""
        images, depth_m = batch
        return depth_loss(self.infer(images), depth_m, self.network.depth_scale, self._protocol.depth_loss)

    def infer(self, images: Tensor) -> InferredDepth:
        """Returns the depth of images (B, H, W, 3) in [0, 255], with gradients for the trained layers."""
        return self.decode(self.maps(images), (images.shape[1], images.shape[2]))

    def maps(self, images: Tensor) -> FeatureMaps:
        """Returns the encoder's maps of images (B, H, W, 3) in [0, 255]."""
        encoder = self.network.encoder
        coarse = self.network.coarse(self.network.normalise(images.float()))
        with self._precision.autocast(self._device):
            with torch.set_grad_enabled(self._trains_trunk):
                trunk = encoder.trunk(coarse)
            with torch.set_grad_enabled(self._trains_head):
                return encoder.head(trunk)

    def decode(self, maps: FeatureMaps, size: tuple[int, int]) -> InferredDepth:
        """Returns the depth of images of size (H, W) for their maps."""
        with self._precision.autocast(self._device):
            inferred: InferredDepth = self.decoder(maps, size)
            return inferred

    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the errors in each condition."""
        if not self._validation:
            return {"validation": {}}
        errors = compare_depth([self._estimator("trained")], self._validation).errors
        return {"validation": {condition: found["trained"].summary() for condition, found in errors.items()}}

    def score(self, record: Record) -> float | None:
        """See `Trainer.score`: the share of depth within a factor of 1.25, averaged over the conditions.

        The mean relative error is unsuitable: a constant depth of 2 m is never wrong by more than 100 %, but
        a road with the depth of the sky is wrong by much more.
        """
        conditions = record["validation"].values()
        return sum(errors["within_1_25"] for errors in conditions) / len(conditions) if conditions else None

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`."""
        provenance = {**self._provenance, "epoch": record["epoch"], "validation": record["validation"]}
        folder.save_networks(self.network, provenance, is_best)

    def draw(self, folder: RunFolder, records: Sequence[Record]) -> None:
        """See `Trainer.draw`: curves, and an image of each condition with its known and inferred depth."""
        write_depth_curves(folder.path / CURVES, records)
        if not self._validation:
            return
        estimator = self._estimator("inferred")
        rows = []
        for condition, pairs in self._validation.items():
            image, truth = next(iter(pairs))
            rows.append(DepthRow(condition, image, {"inferred": estimator.depth(image)}, truth=truth))
        write_depth_pictures(folder.path / PICTURES, rows)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {name: best[name] for name in ("epoch", "losses", "validation")}

    def _estimator(self, name: str) -> DepthEstimator:
        return DepthEstimator(name, self.network, str(self._device))


def run_records(
    name: str,
    protocol_name: str,
    network: NetworkConfig,
    freeze: Freeze,
    protocol: DepthTraining,
    learned_from: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the config of a run folder and the provenance of the network that it trains.

    Args:
        name: of the resulting system.
        protocol_name: of the kind of training.
        network: config of the network.
        freeze: the part that stays fixed.
        protocol: settings of the training.
        learned_from: names of the parent network and of the sources.
    """
    settings = {"freeze": freeze.value, **protocol.model_dump(mode="json", exclude={"seed"})}
    config = {
        "system": {"name": name, "network": network.model_dump()},
        "protocol": {"name": protocol_name, **settings},
        "seed": protocol.seed,
        **learned_from,
    }
    provenance = {
        "system": name,
        "protocol": protocol_name,
        "seed": protocol.seed,
        "freeze": freeze.value,
        **learned_from,
    }
    return config, provenance
