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

"""The training loop: epochs of mini-batches, a record for each, and a state to resume from.

All trainings run in it.  A trainer defines a step, the validation and the saved weights; the loop does the
rest.  Nothing in a training is random except the batches, which follow from seed and epoch, so
that a run that is stopped and resumed gives the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.training.common.batches import Batches
from scene_geo_loc.training.common.callbacks import Losses, NoCallback, Record, TrainingCallback
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.common.run_folder import LAST, RunFolder, TrainingState

CHECKPOINT_MINUTES = 10.0
"""Longest time between two states to resume from, unless a protocol says otherwise."""


class Position(NamedTuple):
    """The mini-batch that a step is made on.

    Attributes:
        epoch: counted from 1.
        batch: counted from 0 in its epoch.
        batches: of an epoch.
    """

    epoch: int
    batch: int
    batches: int


class Step(NamedTuple):
    """The result of a step.

    Attributes:
        losses: by name, before the step.
        images: number of images that were trained on.
    """

    losses: Losses
    images: int


class Trainer(ABC):
    """Base of the trainers.

    Attributes:
        module: holds all weights that a state stores.
        optimiser: of the trained weights.
        first_epoch: number of the first record: 0 if the network is validated before training, else 1.
        keeps_untrained: whether epoch 0 counts when the best network is chosen.
        weights_file: file in the run folder with the weights of the last epoch.
    """

    module: nn.Module
    optimiser: torch.optim.Optimizer
    first_epoch: ClassVar[int] = 0
    keeps_untrained: ClassVar[bool] = False
    weights_file: ClassVar[str] = LAST

    @abstractmethod
    def step(self, batch: Any, position: Position) -> Step | None:
        """Makes a step on a mini-batch; returns None if the batch was left out.

        If a loss is not finite, the weights must stay as they are; the loop then stops the run.
        """

    def validate(self, epoch: int) -> Record:
        """Returns further fields for the record of an epoch, such as the recall in validation."""
        return {}

    def score(self, record: Record) -> float | None:
        """Returns the score by which the best epoch is chosen, larger is better; None if not validated."""
        return None

    @abstractmethod
    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """Writes the weights of an epoch to the run folder."""

    def draw(self, folder: RunFolder, records: Sequence[Record]) -> None:  # noqa: B027
        """Draws the curves of a run from its log, if the trainer has any."""

    def summary(self, best: Record) -> Record:
        """Returns further fields for the result of a run, from the record of its best epoch."""
        return {}


class TrainingLoop:
    """One training run, from the beginning or from where it was stopped.

    Args:
        trainer: the trainer, with the network.
        batches: batches to train on.
        folder: the run folder.
        epochs: largest number of epochs.
        patience: epochs without a better score after which training ends; None: all epochs are done.
        checkpoint_minutes: longest time between two states to resume from.
        processes: that train together; None: this one alone.
        callback: receives the progress.
    """

    def __init__(
        self,
        trainer: Trainer,
        batches: Batches,
        folder: RunFolder,
        *,
        epochs: int,
        patience: int | None = None,
        checkpoint_minutes: float = CHECKPOINT_MINUTES,
        processes: Processes | None = None,
        callback: TrainingCallback | None = None,
    ) -> None:
        self.trainer, self.folder = trainer, folder
        self._batches, self._epochs, self._patience = batches, epochs, patience
        self._checkpoint_minutes = checkpoint_minutes
        self._processes = processes or Processes(torch.device("cpu"))
        self._callback = callback or NoCallback()
        self._records: list[Record] = []
        self._epoch = EpochProgress(1)

    def run(self) -> Record:
        """Trains until the last epoch or until patience ends; returns the result of the run (`result.json`).

        Raises SceneGeoLocError if a loss is not finite or a file cannot be written, CheckpointError if the
        state to resume from is damaged.
        """
        if (result := self.folder.result) is not None:
            return result
        if (state := self.folder.load_state()) is not None:
            self._restore(state)
        elif self.trainer.first_epoch == 0:
            self._close_epoch({"epoch": 0, "losses": {}})
        while (ended := self._ended()) is None:
            self._train_epoch()
        best = self._best()
        result = {
            "ended": ended,
            "epochs": self._records[-1]["epoch"],
            "best_epoch": best["epoch"],
            "seconds": round(sum(record.get("seconds", 0.0) for record in self._records), 1),
            **self.trainer.summary(best),
        }
        if self._processes.is_first:
            self.folder.finish(result)
        return result

    def _ended(self) -> str | None:
        """Returns why training has ended, or None if it has not."""
        done = self._epoch.number - 1
        if done >= self._epochs:
            return "all epochs are done"
        if self._patience is None or not self._kept():
            return None
        best = self._best()
        if self.trainer.score(best) is not None and done - best["epoch"] >= self._patience:
            return f"no better validation for {self._patience} epochs"
        return None

    def _kept(self) -> list[Record]:
        """Returns the records of the epochs whose networks are saved."""
        return self._records if self.trainer.keeps_untrained else [r for r in self._records if r["epoch"] > 0]

    def _best(self) -> Record:
        """Returns the record of the best epoch, the first of equals; without validation the last one."""
        kept = self._kept()
        scores = [self.trainer.score(record) for record in kept]
        if scores[-1] is None:
            return kept[-1]
        numbers = [-math.inf if score is None else score for score in scores]
        return kept[numbers.index(max(numbers))]

    def _train_epoch(self) -> None:
        epoch = self._epoch
        begin, saved = time.monotonic() - epoch.seconds, time.monotonic()
        total = len(self._batches)
        for batch in self._batches.epoch(epoch.number, first=epoch.batches):
            step = self.trainer.step(batch, Position(epoch.number, epoch.batches, total))
            if step is not None:
                self._check_finite(step.losses)
                epoch.add(step)
            epoch.batches += 1
            epoch.seconds = time.monotonic() - begin
            self._callback.on_batch(epoch.number, epoch.batches, total, epoch.means)
            if time.monotonic() - saved > 60 * self._checkpoint_minutes:
                self._save_state()
                saved = time.monotonic()
        self._close_epoch(epoch.record)

    def _check_finite(self, losses: Losses) -> None:
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if not wrong:
            return
        kept = self._kept()
        weights = self.folder.path / self.trainer.weights_file
        left = f"{weights} holds epoch {kept[-1]['epoch']}" if kept else "no epoch was finished"
        raise SceneGeoLocError(
            f"The loss of {' and '.join(wrong)} is not finite in epoch {self._epoch.number}, batch "
            f"{self._epoch.batches + 1} of {len(self._batches)} ({left}): train in a new folder with a "
            "smaller learning rate, or with precision float32."
        )

    def _close_epoch(self, record: Record) -> None:
        """Validates and writes an epoch, the state last: after a kill before that, the epoch is repeated."""
        validated = self.trainer.validate(record["epoch"]) if self._processes.is_first else {}
        record |= self._processes.from_first(validated)
        self._records.append(record)
        if self._processes.is_first:
            if self._kept():
                self.trainer.save(self.folder, record, self._best() is record)
            self.folder.write_log(self._records)
            self.trainer.draw(self.folder, self._records)
        self._epoch = EpochProgress(record["epoch"] + 1)
        self._save_state()
        self._callback.on_epoch(record)

    def _save_state(self) -> None:
        if self._processes.is_first:
            state = TrainingState.of(self.trainer.module, self.trainer.optimiser, vars(self._epoch))
            self.folder.save_state(state)

    def _restore(self, state: TrainingState) -> None:
        state.restore(self.trainer.module, self.trainer.optimiser)
        self._epoch = EpochProgress.read(state.progress, len(self._batches))
        first = self.trainer.first_epoch
        self._records = self.folder.log(self._epoch.number - first)
        for number, record in enumerate(self._records, start=first):
            record.setdefault("epoch", number)  # the logs of older versions count steps


@dataclass
class EpochProgress:
    """Progress within an epoch; a state stores its fields.

    Attributes:
        number: of the epoch, counted from 1.
        batches: done.
        steps: batches that were trained on.
        images: trained on.
        seconds: taken so far.
        sums: sums of the losses over the steps.
    """

    number: int
    batches: int = 0
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    sums: Losses = field(default_factory=dict)

    @classmethod
    def read(cls, progress: dict[str, Any], batches: int) -> EpochProgress:
        """Reads the progress of a state, also of those that older versions wrote after whole epochs.

        Args:
            progress: the fields; in older versions the epochs done, or the steps done.
            batches: of an epoch.
        """
        if "epoch" in progress:
            return cls(int(progress["epoch"]) + 1)
        if "step" in progress:
            return cls(math.ceil(int(progress["step"]) / batches) + 1)
        return cls(**progress)

    def add(self, step: Step) -> None:
        """Counts a step."""
        self.steps += 1
        self.images += step.images
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in step.losses.items()}

    @property
    def means(self) -> Losses:
        """Mean losses so far."""
        return {name: total / self.steps for name, total in self.sums.items()}

    @property
    def record(self) -> Record:
        """The record of the epoch."""
        return {
            "epoch": self.number,
            "losses": {name: round(mean, 6) for name, mean in self.means.items()},
            "seconds": round(self.seconds, 1),
            "images_a_second": round(self.images / max(self.seconds, 1e-9), 1),
        }
