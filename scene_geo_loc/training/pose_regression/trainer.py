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

"""Trains the head of a pose regressor, and its encoder if wanted, on images of one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.pose_regression.regressor import Description, Regressor
from scene_geo_loc.networks.architecture.pose_network import AnchorHead, PoseFeatures, PoseHead
from scene_geo_loc.plots.training_curves import write_pose_curves
from scene_geo_loc.training.common.callbacks import Record
from scene_geo_loc.training.common.loop import Position, Step, Trainer
from scene_geo_loc.training.common.run_folder import CURVES, RunFolder
from scene_geo_loc.training.common.schedules import warmed_cosine
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.pose_regression.losses import PoseLoss, Targets
from scene_geo_loc.training.pose_regression.systems import Design, PoseProtocol, Weighting

LONGEST_STRIDE = 5
"""Clips have every image up to every n-th, drawn at random: a robot spaces its images by the distance."""
_WARM_UP = 20
_DRAW_EVERY = 20
"""The curves are drawn after every n-th epoch, and after the last."""
_HALF = ("projection.weight", "hidden.weight")
"""Weights that are stored as float16."""


class PoseBatch(NamedTuple):
    """Images to make a step on: their numbers, and their features or pixels.

    The features are (B, F), or (B, T, F) of clips; the pixels are (B, H, W, 3) uint8.
    """

    numbers: NDArray[np.intp]
    inputs: NDArray


class PoseBatches:
    """Mini-batches of a place's images; in each epoch every image is drawn once for each of its copies.

    Args:
        place: the images.
        protocol: of the training.
        features: (N, copies, F) of the images' copies; None: their pixels are drawn.
        clip: number of images of a clip.
    """

    def __init__(
        self, place: PlaceImages, protocol: PoseProtocol, features: NDArray[np.float32] | None, clip: int = 1
    ) -> None:
        self._place, self._protocol, self._features = place, protocol, features
        self._clip = clip
        self._copies = protocol.crops

    def __len__(self) -> int:
        return -(-len(self._place.training) * self._copies // self._protocol.images_a_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[PoseBatch]:
        """Yields the batches of an epoch, from batch `first` on."""
        rng = np.random.default_rng((self._protocol.seed, number))
        drawn = rng.permutation(len(self._place.training) * self._copies)
        size = self._protocol.images_a_batch
        for batch in range(first, len(self)):
            chosen = drawn[batch * size : (batch + 1) * size]
            numbers, copies = self._place.training[chosen // self._copies], chosen % self._copies
            if self._features is not None and self._clip > 1:
                strides = rng.integers(1, LONGEST_STRIDE + 1, len(chosen))
                clips = self._place.clips(self._place.training, chosen // self._copies, strides, self._clip)
                yield PoseBatch(numbers, self._features[clips, copies[:, None]])
                continue
            if self._features is not None:
                yield PoseBatch(numbers, self._features[numbers, copies])
                continue
            seed = self._protocol.seed
            pixels = [
                self._place.copies(int(i), int(copy) + 1, seed)[-1]
                for i, copy in zip(numbers, copies, strict=True)
            ]
            yield PoseBatch(numbers, np.stack(pixels))


class PoseTrainer(Trainer):
    """Trains a pose regressor.

    Args:
        features: the encoder; it is trained where the protocol says so.
        head: the head, whose projection is fitted.
        mean: (F,) of the features that the projection was fitted on.
        description: of the regressor.
        design: of the system.
        protocol: settings of the training.
        place: the images.
        validation: (M, F) features of the images to validate with, or (M, T, F) of clips; used where the
            encoder is not trained.
        device: to train on.
    """

    first_epoch = 1

    def __init__(
        self,
        features: PoseFeatures,
        head: PoseHead,
        mean: NDArray[np.float32],
        description: Description,
        design: Design,
        protocol: PoseProtocol,
        place: PlaceImages,
        validation: NDArray[np.float32],
        device: torch.device,
    ) -> None:
        self._features, self._head, self._mean = features, head, mean
        self._description, self._design, self._protocol = description, design, protocol
        self._place, self._validation, self._device = place, validation, device
        fx = float(place.images.K[:, 0].mean())
        self._loss = PoseLoss(protocol.beta, place.scale_m, fx).to(device)
        self.module = nn.ModuleDict({"features": features, "head": head, "loss": self._loss}).to(device)
        trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [
            # The length of an anchor is the sharpness of its softmax, which must not decay.
            {"params": trained, "weight_decay": protocol.weight_decay if protocol.head == "layers" else 0.0},
            {"params": list(self._loss.parameters()), "weight_decay": 0.0},
        ]
        if protocol.trains_encoder:
            groups.append({"params": list(features.encoder.parameters()), "factor": 0.1})
        self.optimiser = torch.optim.Adam(groups, protocol.learning_rate)
        self._positions = torch.from_numpy(place.positions(description.is_planar)).to(device)
        self._rotations = torch.from_numpy(place.rotations(description.is_planar)).to(device)
        self._points: tuple[Tensor, Tensor] | None = None
        if design.needs_points:
            points, pixels = place.points(protocol.seed)
            self._points = torch.from_numpy(points).to(device), torch.from_numpy(pixels).to(device)
        self._graph = self._features.graph()

    def weighting(self, epoch: int) -> Weighting:
        """Returns the weighting of the loss of an epoch."""
        is_later = self._design.then is not None and epoch > self._protocol.epochs // 2
        return self._design.then if is_later and self._design.then else self._design.weighting

    def step(self, batch: PoseBatch, position: Position) -> Step:
        """See `Trainer.step`."""
        done = (position.epoch - 1) * position.batches + position.batch
        rate = self._protocol.learning_rate * warmed_cosine(
            done, self._protocol.epochs * position.batches, _WARM_UP
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        weighting = self.weighting(position.epoch)
        torch.manual_seed(self._protocol.seed + done)  # of the dropout, so that a resumed run gives the same
        self._head.train()
        # Batch norms keep the statistics of their first weights: batches are small and of one place.
        self._features.eval()
        inputs = torch.from_numpy(batch.inputs).to(self._device)
        features = self._features(inputs) if self._protocol.trains_encoder else inputs
        numbers = torch.from_numpy(batch.numbers).to(self._device)
        points = None if self._points is None else tuple(part[numbers] for part in self._points)
        targets = Targets(self._positions[numbers], self._rotations[numbers], *(points or ()))
        if weighting is Weighting.MIXTURE:
            assert isinstance(self._head, AnchorHead)
            log_weights = self._head.log_weights(features)
            loss = self._loss.mixture(log_weights, self._head.output.weight.T, targets)
        else:
            loss = self._loss(self._head(features), targets, weighting)
        if torch.isfinite(loss):
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
        return Step({weighting.value: loss.item()}, len(batch.numbers))

    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the medians of the errors on the images of the validation."""
        regressor = self.regressor()
        T_true = self._place.images.T_map_camera[self._place.validation]
        rows = self._validation_features()
        if self._description.is_bayesian:  # the mean over the samples is what a robot gets
            T = np.stack([regressor.regress(row).T_map_camera for row in rows])
        else:
            T = np.stack([regressor.pose(row) for row in rows])
        return {
            "position_m": round(float(np.median(position_error_m(T_true, T))), 4),
            "rotation_deg": round(float(np.median(rotation_error_deg(T_true, T))), 3),
        }

    def score(self, record: Record) -> float | None:
        """See `Trainer.score`: both medians count alike, as ratios."""
        if "position_m" not in record:
            return None
        if self._design.then is not None and record["epoch"] <= self._protocol.epochs // 2:
            return None  # of the start that the later loss needs
        return float(-np.log(record["position_m"] + 1e-4) - np.log(record["rotation_deg"] + 1e-3))

    def regressor(self) -> Regressor:
        """Returns the regressor as it is trained so far."""
        tensors = {
            name: value.detach().cpu().numpy().astype(np.float16 if name in _HALF else np.float32)
            for name, value in self._head.state_dict().items()
        }
        return Regressor(self._description, self._graph, {**tensors, "mean": self._mean})

    @torch.no_grad()
    def _validation_features(self) -> NDArray[np.float32]:
        if not self._protocol.trains_encoder:
            return self._validation
        self._features.eval()
        images = self._place.images.images
        rows = [
            self._features(torch.from_numpy(np.array(images[i])[None]).to(self._device)).cpu().numpy()
            for i in self._place.validation
        ]
        return np.concatenate(rows)

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`: writes the regressor, which is not calibrated yet."""
        if self._protocol.trains_encoder:
            self._graph = self._features.graph()
        regressor = self.regressor()
        regressor.save(folder.last)
        if is_best:
            regressor.save(folder.best)

    def draw(self, folder: RunFolder, records: Sequence[Record]) -> None:
        """See `Trainer.draw`."""
        epoch = records[-1]["epoch"]
        if epoch % _DRAW_EVERY == 0 or epoch == self._protocol.epochs:
            write_pose_curves(folder.path / CURVES, records)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {name: best[name] for name in ("position_m", "rotation_deg") if name in best}
