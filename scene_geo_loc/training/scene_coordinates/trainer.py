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


"""Trains the head of a network for scene coordinates on a pool of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.scene_coordinates.features import DenseFeatures
from scene_geo_loc.localization.scene_coordinates.network import CoordinateNetwork, Description
from scene_geo_loc.localization.scene_coordinates.systems import NetworkSystem
from scene_geo_loc.plots.training_curves import write_pose_curves
from scene_geo_loc.training.common.callbacks import Record
from scene_geo_loc.training.common.loop import Position, Step, Trainer
from scene_geo_loc.training.common.run_folder import CURVES, RunFolder
from scene_geo_loc.training.common.schedules import warmed_cosine
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.scene_coordinates.calibration import cameras_of, image_of
from scene_geo_loc.training.scene_coordinates.head import CoordinateHead
from scene_geo_loc.training.scene_coordinates.losses import coordinate_loss
from scene_geo_loc.training.scene_coordinates.pool import Cells
from scene_geo_loc.training.scene_coordinates.systems import CoordinateProtocol

_WARM_UP = 50
VALIDATED_IMAGES, VALIDATED_TIMES = 12, 8
"""Most images that an epoch is validated with, and how many epochs are."""


class CoordinateTrainer(Trainer):
    """Trains the head; the features stay as they are.

    The network of the last epoch is kept: none is chosen on the images that it is calibrated with.

    Args:
        head: the head.
        description: of the network.
        graph: of the features.
        protocol: settings of the training.
        place: the images.
        features: runs the graph.
        device: to train on.
    """

    first_epoch = 1

    def __init__(
        self,
        head: CoordinateHead,
        description: Description,
        graph: bytes,
        protocol: CoordinateProtocol,
        place: PlaceImages,
        features: DenseFeatures,
        device: torch.device,
    ) -> None:
        self._head = head.to(device)
        self.module = self._head
        self._description, self._graph, self._protocol = description, graph, protocol
        self._place, self._features, self._device = place, features, device
        self.optimiser = torch.optim.AdamW(head.parameters(), protocol.learning_rate, weight_decay=1e-4)
        self._poses = torch.from_numpy(place.images.T_map_camera.astype(np.float32)).to(device)
        self._K = torch.from_numpy(place.images.K.astype(np.float32)).to(device)

    def step(self, batch: Cells, position: Position) -> Step:
        """See `Trainer.step`."""
        total = self._protocol.epochs * position.batches
        done = (position.epoch - 1) * position.batches + position.batch
        rate = self._protocol.learning_rate * warmed_cosine(done, total, _WARM_UP)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        first, last = self._protocol.loss_px
        width = last + (first - last) * float(np.sqrt(max(0.0, 1 - (done / total) ** 2)))
        numbers = torch.from_numpy(batch.images).long().to(self._device)
        features, pixels, depth = (
            torch.from_numpy(part).float().to(self._device)
            for part in (batch.features, batch.pixels, batch.depth)
        )
        points = self._head(features)
        loss = coordinate_loss(
            points,
            self._poses[numbers],
            self._K[numbers],
            pixels,
            depth,
            width,
            self._description.scale_m,
        )
        if torch.isfinite(loss):
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), 10.0 * width)
            self.optimiser.step()
        return Step({"pixels": loss.item()}, len(batch.depth))

    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the medians of the errors on some images, after some of the epochs."""
        epochs = self._protocol.epochs
        if epoch != epochs and epoch % max(1, epochs // VALIDATED_TIMES):
            return {}
        cameras = cameras_of(self._place.images)
        system = NetworkSystem(self.network(), cameras, LocalizerSettings(), self._features)
        numbers = self._place.validation
        step = -(-len(numbers) // VALIDATED_IMAGES)
        found = [(int(i), self._found(system, int(i))) for i in numbers[::step]]
        T_true = self._place.images.T_map_camera[[i for i, _ in found]]
        T = np.stack([pose for _, pose in found])
        return {
            "position_m": round(float(np.median(position_error_m(T_true, T))), 4),
            "rotation_deg": round(float(np.median(rotation_error_deg(T_true, T))), 3),
        }

    def _found(self, system: NetworkSystem, i: int) -> NDArray[np.float64]:
        """Returns the pose of an image; where none is found, one at the centre of the map."""
        found = system.solve([system.read(image_of(self._place.images, i))])
        return np.eye(4) if found is None else found.T_map_base

    def network(self) -> CoordinateNetwork:
        """Returns the network as it is trained so far."""
        return CoordinateNetwork(self._description, self._graph, self._head.arrays())

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`: writes the network, which is not calibrated yet."""
        network = self.network()
        network.save(folder.last)
        if is_best:
            network.save(folder.best)

    def draw(self, folder: RunFolder, records: Sequence[Record]) -> None:
        """See `Trainer.draw`: after the last epoch."""
        if records[-1]["epoch"] == self._protocol.epochs:
            validated = [record for record in records if "position_m" in record]
            write_pose_curves(folder.path / CURVES, validated)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {name: best[name] for name in ("position_m", "rotation_deg") if name in best}
