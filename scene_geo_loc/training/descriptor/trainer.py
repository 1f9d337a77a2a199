"""Trains descriptors by triplets, and depth beside them (ICRA 2019, sections III and IV).

The authors alternate for each mini-batch, after one shared forward pass: a step of the descriptor's
optimiser on the triplet losses, and one of the decoder's on the depth loss.  No gradient goes from one part
to the other, and Adam treats each weight on its own: one backward pass of the sum and one step with a
learning rate for each part do the same.  With the colouring "smooth" the triplet losses reach the decoder,
too.

Nothing in training is random but the batches, which follow from seed and epoch: a run that is killed and
resumed gives the same weights, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.checkpoint import save_checkpoint
from scene_geo_loc.training.common.config import TrainingProtocol
from scene_geo_loc.training.common.losses import triplet_loss
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.common.run_folder import RunFolder, TrainingState
from scene_geo_loc.training.descriptor.batches import Batch
from scene_geo_loc.training.descriptor.learners import Learner, joint_descriptors, set_modes
from scene_geo_loc.training.descriptor.mining import mine_hard, take
from scene_geo_loc.training.descriptor.validation import Validation

_LEARNER, _OPTIMISER = "learner.", "optimiser."
Record = dict[str, Any]
"""A line of the run's log."""


class Batches(Protocol):
    """The mini-batches of an epoch; the same epoch gives the same."""

    def __len__(self) -> int: ...

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Those of an epoch, from batch `first` on."""
        ...


class Watcher(Protocol):
    """What is told how training goes."""

    def batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        """After each mini-batch: how many of how many are done, and the epoch's mean losses so far."""
        ...

    def epoch(self, record: Record) -> None:
        """After each epoch, and before the first one, which is called 0."""
        ...


class DescriptorTrainer:
    """One training run, from its beginning or from where it was stopped.

    Args:
        learner: what is trained, on its device.
        batches: of triplets.
        validation: chooses the best epoch; without it that is the last one.
        protocol: numbers of the training.
        folder: of the run.
        provenance: what checkpoints tell of the run.
        processes: those that train together.
        watcher: is told how it goes.
    """

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        validation: Validation | None,
        protocol: TrainingProtocol,
        folder: RunFolder,
        provenance: dict[str, Any],
        processes: Processes,
        watcher: Watcher,
    ) -> None:
        self._learner, self._batches, self._validation = learner, batches, validation
        self._protocol, self._folder, self._provenance = protocol, folder, provenance
        self._processes, self._watcher = processes, watcher
        learner.freeze_the_rest()
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parallel = processes.parallel(learner)
        self._optimiser = torch.optim.Adam(
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
        self._records: list[Record] = []
        self._epoch = _Epoch(1)

    def run(self) -> dict[str, Any]:
        """Trains until the last epoch, or until patience ends; returns what `result.json` says.

        Raises SceneGeoLocError where a loss is not finite, or the folder cannot be written.
        """
        if (result := self._folder.result) is not None:
            return result
        if (state := self._folder.load_state()) is not None:
            self._restore(state)
        else:
            self._close_epoch(self._validated({"epoch": 0, "losses": {}}))
        while (ended := self._ended()) is None:
            self._train_epoch()
        best = self._best()
        result = {
            "ended": ended,
            "best_epoch": best["epoch"],
            "mean_recall_1_to_5": best.get("mean_recall_1_to_5"),
            "recall_at_1": best["recall_at_n"][0] if "recall_at_n" in best else None,
            "epochs": self._records[-1]["epoch"],
            "seconds": round(sum(record.get("seconds", 0.0) for record in self._records), 1),
        }
        if self._processes.is_first:
            self._folder.finish(result)
        return result

    def _ended(self) -> str | None:
        """Why training has ended; None where it has not."""
        done = self._records[-1]["epoch"]
        if done >= self._protocol.epochs:
            return "all epochs are done"
        if self._validation and done and done - self._best()["epoch"] >= self._protocol.patience:
            return f"no better recall for {self._protocol.patience} epochs"
        return None

    def _best(self) -> Record:
        """The record of the best epoch of training, the first of equals."""
        trained = self._records[1:]
        if self._validation is None:
            return trained[-1]
        return max(trained, key=lambda record: record["mean_recall_1_to_5"])

    def _train_epoch(self) -> None:
        epoch = self._epoch
        begin, saved = time.monotonic() - epoch.seconds, time.monotonic()
        for batch in self._batches.epoch(epoch.number, first=epoch.batches):
            if len(batch.images) >= self._processes.count:
                epoch.add(self._finite(self._step(batch)), batch.images.shape[0] * batch.images.shape[1])
            epoch.batches += 1
            epoch.seconds = time.monotonic() - begin
            self._watcher.batch(epoch.number, epoch.batches, len(self._batches), epoch.means)
            if time.monotonic() - saved > 60 * self._protocol.checkpoint_minutes:
                self._save_state()
                saved = time.monotonic()
        self._close_epoch(self._validated(epoch.record))

    def _step(self, batch: Batch) -> dict[str, float]:
        """One mini-batch; the losses, before the step."""
        protocol, device = self._protocol, self._processes.device
        images = self._processes.part(batch.images).to(device)
        depth_m = self._processes.part(batch.depth).to(device)
        triplets, size = images.shape[:2]
        hard: Tensor | None = None
        with self._autocast():
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
            self._optimiser.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            self._optimiser.step()
        return values

    def _finite(self, losses: dict[str, float]) -> dict[str, float]:
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        if wrong:
            kept = f"the networks of the epochs before are in {self._folder.best.parent}"
            nothing = "no epoch was done before"
            raise SceneGeoLocError(
                f"The loss of {' and '.join(wrong)} is not finite in epoch {self._epoch.number}, batch "
                f"{self._epoch.batches + 1} of {len(self._batches)} "
                f"({kept if len(self._records) > 1 else nothing}): train in a new folder with a "
                "smaller learning rate, or with precision float32."
            )
        return losses

    def _validated(self, record: Record) -> Record:
        """The record with the recall in the validation area, which the first process measures."""
        if self._validation is None:
            return record
        if self._processes.is_first:
            begin = time.monotonic()
            recall = self._validation.recall(self._describe)
            record |= {
                "recall_at_n": [round(recall.at_n(n), 4) for n in range(1, 6)],
                "mean_recall_1_to_5": round(recall.mean_recall_1_to_5, 6),
                "queries": recall.queries,
                "references": recall.references,
                "validation_seconds": round(time.monotonic() - begin, 1),
            }
        return self._processes.from_first(record)

    @torch.no_grad()
    def _describe(self, images: Tensor) -> Tensor:
        """Joint descriptors (B, D) as inference gives them, in float32."""
        nothing = torch.full(images.shape[:3], math.nan, device=self._processes.device)
        return joint_descriptors(self._learner, images.to(self._processes.device), nothing)

    def _close_epoch(self, record: Record) -> None:
        """Writes what the epoch gave: the state last, so that a kill before does the epoch again."""
        self._records.append(record)
        if self._processes.is_first:
            if record["epoch"] > 0:
                provenance = {**self._provenance, **_told(record)}
                if self._best() is record:
                    save_checkpoint(self._learner.network, self._folder.best, provenance)
                save_checkpoint(self._learner.network, self._folder.last, provenance)
            self._folder.write_log(self._records)
        self._epoch = _Epoch(record["epoch"] + 1)
        self._save_state()
        self._watcher.epoch(record)

    def _save_state(self) -> None:
        if not self._processes.is_first:
            return
        tensors = {f"{_LEARNER}{name}": value for name, value in self._learner.state_dict().items()}
        for index, moments in self._optimiser.state_dict()["state"].items():
            tensors |= {f"{_OPTIMISER}{index}.{name}": value for name, value in moments.items()}
        self._folder.save_state(TrainingState(tensors, vars(self._epoch)))

    def _restore(self, state: TrainingState) -> None:
        self._epoch = _Epoch(**state.progress)
        self._records = self._folder.log(self._epoch.number)
        weights: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.tensors.items():
            if name.startswith(_LEARNER):
                weights[name.removeprefix(_LEARNER)] = value
            else:
                index, key = name.removeprefix(_OPTIMISER).split(".")
                moments.setdefault(int(index), {})[key] = value
        self._learner.load_state_dict(weights)
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})

    def _autocast(self) -> AbstractContextManager[Any]:
        return self._protocol.precision.autocast(self._processes.device)


class _Epoch:
    """How far an epoch is; its attributes are what a state remembers of it."""

    def __init__(
        self,
        number: int,
        batches: int = 0,
        steps: int = 0,
        images: int = 0,
        seconds: float = 0.0,
        sums: dict[str, float] | None = None,
    ) -> None:
        self.number, self.batches, self.steps, self.images, self.seconds = (
            number,
            batches,
            steps,
            images,
            seconds,
        )
        self.sums = sums or {}

    def add(self, losses: dict[str, float], images: int) -> None:
        """Counts a step."""
        self.steps += 1
        self.images += images
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in losses.items()}

    @property
    def means(self) -> dict[str, float]:
        """Mean losses so far."""
        return {name: value / self.steps for name, value in self.sums.items()}

    @property
    def record(self) -> Record:
        """What the log says of it."""
        return {
            "epoch": self.number,
            "losses": {name: round(value, 6) for name, value in self.means.items()},
            "seconds": round(self.seconds, 1),
            "images_a_second": round(self.images / max(self.seconds, 1e-9), 1),
        }


def _told(record: Record) -> dict[str, Any]:
    """What a checkpoint tells of its epoch."""
    return {
        "epoch": record["epoch"],
        "validation_recall_at_n": record.get("recall_at_n"),
    }
