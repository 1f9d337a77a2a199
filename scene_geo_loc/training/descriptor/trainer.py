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

"""Trains descriptors on triplets, and depth beside them (ICRA 2019, sections III and IV).

The authors alternate for each mini-batch after one shared forward pass: a step of the descriptor's optimiser
on the triplet losses, then one of the decoder's on the depth loss.  No gradient goes from one part to the
other, and Adam treats each weight on its own; hence one backward pass of the sum, and one step with a
learning rate for each part, are the same.  With the colouring "smooth", the triplet losses reach the decoder
too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scene_geo_loc.plots.training_curves import write_training_curves
from scene_geo_loc.training.common.callbacks import Losses, Record
from scene_geo_loc.training.common.loop import Position, Step, Trainer
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.common.protocols import TrainingProtocol
from scene_geo_loc.training.common.run_folder import CURVES, RunFolder
from scene_geo_loc.training.descriptor.batches import TripletBatch
from scene_geo_loc.training.descriptor.learners import Learner, joint_descriptors, set_modes
from scene_geo_loc.training.descriptor.triplet_loss import mine_hard, take, triplet_loss
from scene_geo_loc.training.descriptor.validation import Validation


class DescriptorTrainer(Trainer):
    """Trains a learner by triplets.

    Args:
        learner: network and losses, on its device.
        validation: chooses the best epoch; without it that is the last one.
        protocol: settings of the training.
        provenance: stored in the checkpoints.
        processes: that train together.
    """

    def __init__(
        self,
        learner: Learner,
        validation: Validation | None,
        protocol: TrainingProtocol,
        provenance: dict[str, Any],
        processes: Processes,
    ) -> None:
        self.module = self._learner = learner
        self._validation, self._protocol = validation, protocol
        self._provenance, self._processes = provenance, processes
        learner.freeze_the_rest()
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parallel = processes.parallel(learner)
        self.optimiser = torch.optim.Adam(
            [
                {"params": weights, "lr": rate}
                for weights, rate in (
                    (learner.descriptor_parameters(), protocol.learning_rate),
                    (learner.decoder_parameters(), protocol.decoder_learning_rate),
                )
                if weights
            ],
            weight_decay=protocol.weight_decay,
        )

    def step(self, batch: TripletBatch, position: Position) -> Step | None:
        """See `Trainer.step`. A batch with fewer triplets than processes is left out."""
        if len(batch.images) < self._processes.count:
            return None
        return Step(self._learn(batch), batch.images.shape[0] * batch.images.shape[1])

    def _learn(self, batch: TripletBatch) -> Losses:
        """Makes one step of the optimiser; returns the losses before it."""
        protocol, device = self._protocol, self._processes.device
        images = self._processes.part(batch.images).to(device)
        depth_m = self._processes.part(batch.depth).to(device)
        triplets, size = images.shape[:2]
        with protocol.precision.autocast(device):
            if protocol.mine_before_forward:
                joint = joint_descriptors(self._learner, images.flatten(0, 1), depth_m.flatten(0, 1))
                mined = mine_hard(
                    joint.unflatten(0, (triplets, size)), protocol.positives, protocol.hard_negatives
                )
                images, depth_m = take(images, mined.images), take(depth_m, mined.images)
            set_modes(self._learner, protocol.encoder_batch_norm)
            outputs = self._parallel(images.flatten(0, 1), depth_m.flatten(0, 1))
        descriptors = {
            name: values.unflatten(0, images.shape[:2]) for name, values in outputs.descriptors.items()
        }
        if not protocol.mine_before_forward:
            joint = list(descriptors.values())[-1]
            hard = mine_hard(joint, protocol.positives, protocol.hard_negatives).images
            descriptors = {name: take(values, hard) for name, values in descriptors.items()}
        losses = {
            name: triplet_loss(values[:, 0], values[:, 1], values[:, 2:], protocol.margin)
            for name, values in descriptors.items()
        } | outputs.losses
        values = self._processes.mean({name: float(loss.detach()) for name, loss in losses.items()})
        if all(math.isfinite(value) for value in values.values()):
            self.optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            self.optimiser.step()
        return values

    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the recall in the validation area."""
        if self._validation is None:
            return {}
        begin = time.monotonic()
        recall = self._validation.recall(self._describe)
        return {
            "recall_at_n": [round(recall.at_n(n), 4) for n in range(1, 6)],
            "mean_recall_1_to_5": round(recall.mean_recall_1_to_5, 6),
            "queries": recall.queries,
            "references": recall.references,
            "validation_seconds": round(time.monotonic() - begin, 1),
        }

    def score(self, record: Record) -> float | None:
        """See `Trainer.score`: the mean of recall@1 to recall@5."""
        return record.get("mean_recall_1_to_5")

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`."""
        provenance = {
            **self._provenance,
            "epoch": record["epoch"],
            "validation_recall_at_n": record.get("recall_at_n"),
        }
        folder.save_networks(self._learner.network, provenance, is_best)

    def draw(self, folder: RunFolder, records: Sequence[Record]) -> None:
        """See `Trainer.draw`: losses and recall."""
        write_training_curves(folder.path / CURVES, records)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {
            "mean_recall_1_to_5": best.get("mean_recall_1_to_5"),
            "recall_at_1": best["recall_at_n"][0] if "recall_at_n" in best else None,
        }

    @torch.no_grad()
    def _describe(self, images: Tensor) -> Tensor:
        """Returns joint descriptors (B, D) in float32, as in inference."""
        unknown = torch.full(images.shape[:3], math.nan, device=self._processes.device)
        return joint_descriptors(self._learner, images.to(self._processes.device), unknown)
