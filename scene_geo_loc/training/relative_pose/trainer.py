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

"""Trains the head of a network for relative poses on pairs of images of one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.geometry.pose import inverse, position_error_m, rotation_error_deg, to_quaternion
from scene_geo_loc.localization.relative_pose.network import (
    HALF,
    LARGEST_LOGARITHM,
    OUTPUTS,
    Description,
    RelativeNetwork,
    RelativeRegressor,
)
from scene_geo_loc.plots.training_curves import write_pose_curves
from scene_geo_loc.training.common.callbacks import Record
from scene_geo_loc.training.common.loop import Position, Step, Trainer
from scene_geo_loc.training.common.run_folder import CURVES, RunFolder
from scene_geo_loc.training.common.schedules import warmed_cosine
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.relative_pose.settings import RelativeProtocol

METRIC_WEIGHT = 10.0
"""Weight of the error of the metric beside those of the pose."""
MIN_OVERLAP = 0.2
"""Pairs with less overlap train the metric only: their relative pose does not show."""
OVERLAPPING_SHARE = 0.6
"""Share of the pairs that are drawn among those that overlap."""
_WARM_UP = 20
_DRAW_EVERY = 20


class RelativeHead(nn.Module):
    """The layers behind the encoder's features: projection, metric and relative pose."""

    def __init__(self, features: int, components: int, units: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Linear(features, components).requires_grad_(False)
        self.metric = nn.Linear(components, components)
        # The squared distance begins as one minus the cosine, which retrieves well before any training.
        with torch.no_grad():
            self.metric.weight.copy_(0.5**0.5 * torch.eye(components))
        nn.init.zeros_(self.metric.bias)
        self.pair_first = nn.Linear(2 * components, units)
        self.pair_second = nn.Linear(units, units)
        self.output = nn.Linear(units, OUTPUTS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the outputs (B, 9), see `RelativeNetwork`, and the squared distances (B,) of the metric.

        Args:
            first, second: (B, D) projected features.
        """
        pair = self.dropout(torch.cat([first, second], dim=1))
        hidden = torch.relu(self.pair_first(pair))
        outputs = self.output(self.dropout(torch.relu(self.pair_second(hidden))))
        embedded = [
            self.metric(nn.functional.normalize(self.dropout(image), dim=1)) for image in (first, second)
        ]
        return outputs, (embedded[0] - embedded[1]).square().sum(dim=1)


class Pairs(NamedTuple):
    """Pairs of images: their numbers (B,) and projected features (B, D)."""

    numbers: tuple[NDArray[np.intp], NDArray[np.intp]]
    features: tuple[NDArray[np.float32], NDArray[np.float32]]


class PairBatches:
    """Mini-batches of pairs; in each epoch every image is the first of a pair once for each of its copies.

    Args:
        place: the images.
        protocol: of the training.
        projected: (N, copies, D) of the images' copies.
        overlap: (N, N) of the images' frustums.
    """

    def __init__(
        self,
        place: PlaceImages,
        protocol: RelativeProtocol,
        projected: NDArray[np.float32],
        overlap: NDArray[np.float32],
    ) -> None:
        self._place, self._protocol, self._projected = place, protocol, projected
        training = place.training
        self._partners = []
        for i in training:
            near = training[(overlap[i, training] >= MIN_OVERLAP) & (training != i)]
            self._partners.append(near if len(near) else training)

    def __len__(self) -> int:
        return -(-len(self._place.training) * self._projected.shape[1] // self._protocol.images_a_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[Pairs]:
        """Yields the batches of an epoch, from batch `first` on."""
        training, copies = self._place.training, self._projected.shape[1]
        rng = np.random.default_rng((self._protocol.seed, number))
        drawn = rng.permutation(len(training) * copies)
        near = np.array([self._partners[k][rng.integers(len(self._partners[k]))] for k in drawn // copies])
        anywhere = training[rng.integers(len(training), size=len(drawn))]
        partner = np.where(rng.random(len(drawn)) < OVERLAPPING_SHARE, near, anywhere)
        partner_copy = rng.integers(copies, size=len(drawn))
        size = self._protocol.images_a_batch
        for batch in range(first, len(self)):
            rows = slice(batch * size, (batch + 1) * size)
            ours, theirs = training[drawn[rows] // copies], partner[rows]
            features = (
                self._projected[ours, drawn[rows] % copies],
                self._projected[theirs, partner_copy[rows]],
            )
            yield Pairs((ours, theirs), features)


class RelativeTrainer(Trainer):
    """Trains a network for relative poses, with the encoder as it is.

    Args:
        head: its projection is fitted.
        graph: the encoder's forward pass as ONNX.
        description: of the network.
        protocol: settings of the training.
        place: the images.
        projected: (N, D) projected features of the images as they are.
        overlap: (N, N) of the images' frustums.
        device: to train on.
    """

    first_epoch = 1

    def __init__(
        self,
        head: RelativeHead,
        graph: bytes,
        description: Description,
        protocol: RelativeProtocol,
        place: PlaceImages,
        projected: NDArray[np.float32],
        overlap: NDArray[np.float32],
        device: torch.device,
    ) -> None:
        self._head, self._graph, self._description = head, graph, description
        self._protocol, self._place, self._projected, self._device = protocol, place, projected, device
        self._overlap = overlap
        self.module = nn.ModuleDict({"head": head}).to(device)
        trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(trained, protocol.learning_rate, weight_decay=protocol.weight_decay)

    def step(self, batch: Pairs, position: Position) -> Step:
        """See `Trainer.step`."""
        done = (position.epoch - 1) * position.batches + position.batch
        rate = self._protocol.learning_rate * warmed_cosine(
            done, self._protocol.epochs * position.batches, _WARM_UP
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(self._protocol.seed + done)  # of the dropout, so that a resumed run gives the same
        self._head.train()
        first, second = (torch.from_numpy(features).to(self._device) for features in batch.features)
        losses = self._losses(batch.numbers, *self._head(first, second))
        loss = losses["pose"] + METRIC_WEIGHT * losses["metric"]
        if torch.isfinite(loss):
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
        return Step({name: value.item() for name, value in losses.items()}, len(first))

    def _losses(
        self, numbers: tuple[NDArray[np.intp], NDArray[np.intp]], outputs: Tensor, distances: Tensor
    ) -> dict[str, Tensor]:
        """Returns the losses of pairs of images, from the outputs (B, 9) and the distances (B,).

        The metric's is the squared difference of the distance and one minus the overlap; that of the pose
        is of Laplace distributions with the expected errors (Kendall and Gal, NIPS 2017).
        """
        T_map_camera = self._place.images.T_map_camera
        first, second = numbers
        T = inverse(T_map_camera[first]) @ T_map_camera[second]
        overlap = torch.from_numpy(self._overlap[first, second]).to(self._device)
        position = torch.from_numpy(T[:, :3, 3] / self._description.scale_m).float().to(self._device)
        rotation = torch.from_numpy(to_quaternion(T)).float().to(self._device)
        inferred = nn.functional.normalize(outputs[:, 3:7], dim=1)
        sign = torch.where((inferred * rotation).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
        logarithms = outputs[:, 7:].clamp(-LARGEST_LOGARITHM, LARGEST_LOGARITHM)
        errors = torch.stack(
            [
                (outputs[:, :3] - position).norm(dim=1),
                2 * (inferred - sign * rotation).norm(dim=1),  # for small angles the angle, radians
            ],
            dim=1,
        )
        shows = (overlap >= MIN_OVERLAP).float()
        likelihood = (errors * torch.exp(-logarithms) + logarithms).sum(dim=1)
        return {
            "pose": (likelihood * shows).sum() / shows.sum().clamp(min=1.0),
            "metric": (distances - (1 - overlap)).square().mean(),
        }

    def network(self) -> RelativeNetwork:
        """Returns the network as it is trained so far."""
        tensors = {
            name: value.detach().cpu().numpy().astype(np.float16 if name in HALF else np.float32)
            for name, value in self._head.state_dict().items()
        }
        return RelativeNetwork(self._description, self._graph, tensors)

    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the medians of the errors on the images of the validation."""
        place, T_map_camera = self._place, self._place.images.T_map_camera
        regressor = RelativeRegressor(
            self.network(), self._projected[place.training], T_map_camera[place.training]
        )
        found = np.stack(
            [regressor.regress_projected(row).T_map_camera for row in self._projected[place.validation]]
        )
        true = T_map_camera[place.validation]
        return {
            "position_m": round(float(np.median(position_error_m(true, found))), 4),
            "rotation_deg": round(float(np.median(rotation_error_deg(true, found))), 3),
        }

    def score(self, record: Record) -> float | None:
        """See `Trainer.score`: both medians count alike, as ratios."""
        if "position_m" not in record:
            return None
        return float(-np.log(record["position_m"] + 1e-4) - np.log(record["rotation_deg"] + 1e-3))

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`: writes the network, which is not calibrated yet."""
        network = self.network()
        network.save(folder.last)
        if is_best:
            network.save(folder.best)

    def draw(self, folder: RunFolder, records: Sequence[Record]) -> None:
        """See `Trainer.draw`."""
        epoch = records[-1]["epoch"]
        if epoch % _DRAW_EVERY == 0 or epoch == self._protocol.epochs:
            write_pose_curves(folder.path / CURVES, records)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {name: best[name] for name in ("position_m", "rotation_deg") if name in best}
