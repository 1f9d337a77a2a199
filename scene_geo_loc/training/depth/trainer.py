"""Trains a network's depth decoder on pairs of an image and a depth map, which need no location.

At night it is this alone that helps (ICRA 2019, section IV-D): on about 1000 pairs of a night run the
decoder learns to see the scene's geometry in the dark, and everything else stays as the day's triplets
made it.  Day pairs in every mini-batch keep it from forgetting the day, as in the journal version.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.metrics.learned_depth import DepthEstimator, Pairs, compare_depth, decoder_of
from scene_geo_loc.networks.architecture.decoders import Decoder, InferredDepth
from scene_geo_loc.networks.architecture.encoders import FeatureMaps
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import save_checkpoint
from scene_geo_loc.plots.learned_depth_pictures import DepthRow, write_depth_pictures
from scene_geo_loc.plots.training_curves import write_depth_curves
from scene_geo_loc.training.common.losses import depth_loss
from scene_geo_loc.training.common.run_folder import RunFolder, TrainingState
from scene_geo_loc.training.depth.protocol import DepthTraining, Freeze

PICTURES = "depth.png"
"""Pictures of inferred depth, beside the curves: what the network makes of a few images by now."""

EpochCallback = Callable[[dict[str, Any]], None]
"""Receives the record of an epoch."""


class Batches(Protocol):
    """What is learned from, such as `scene_geo_loc.training.depth.pairs.DepthPairs`."""

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterable[Sequence[Tensor]]:
        """The batches of an epoch, the same ones each time."""
        ...


class DepthTrainer:
    """A network of which some layers learn, and the optimiser that they learn by.

    Whatever does not learn stays in inference mode, so that not even its batch norms' statistics move; nor
    do those of the encoder, of which only the weights learn.
    """

    LOSS = "depth map"
    """What records call the loss."""

    def __init__(self, network: SceneNetwork, freeze: Freeze, protocol: DepthTraining) -> None:
        self.network = network.eval()
        self._protocol = protocol
        self._parts = self.learning_parts()
        network.requires_grad_(False)
        self._device = next(network.parameters()).device
        self._precision = protocol.precision
        learning = {
            Freeze.TRUNK: network.encoder.head_modules(),
            Freeze.NOTHING: (network.encoder,),
        }.get(freeze, ())
        self._learns_trunk, self._learns_head = freeze is Freeze.NOTHING, bool(learning)
        parts = [weight for part in self._parts for weight in part.parameters()]
        groups: list[dict[str, Any]] = [{"params": parts, "lr": protocol.learning_rate}]
        if learning:
            encoder = [weight for layer in learning for weight in layer.parameters()]
            groups.append({"params": encoder, "lr": protocol.encoder_learning_rate})
        self._optimiser = torch.optim.Adam(groups, weight_decay=protocol.weight_decay)
        self._rates = [group["lr"] for group in groups]
        self._weights = [weight for group in groups for weight in group["params"]]
        for weight in self._weights:
            weight.requires_grad_(True)

    def learning_parts(self) -> list[nn.Module]:
        """What learns besides the encoder."""
        return [self.decoder]

    @property
    def decoder(self) -> Decoder:
        """The network's, which must have one."""
        decoder = decoder_of(self.network)
        if decoder is None:
            raise ValueError("the network has no depth decoder")
        return decoder

    def slow_down(self, progress: float) -> None:
        """Sets the learning rates for a share of the training that is done: L1 wants small last steps."""
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * progress)) / 2

    def step(self, *batch: Tensor) -> float:
        """One step on a batch, see `loss`; returns the loss.

        The weights stay as they are where the loss, or a gradient, is not finite; NaN is returned then.
        """
        for part in self._parts:
            part.train()
        loss = self.loss(*(one.to(self._device) for one in batch))
        self._optimiser.zero_grad()
        loss.backward()
        gradients = nn.utils.clip_grad_norm_(self._weights, max_norm=math.inf)
        value = loss.item() if bool(gradients.isfinite()) else math.nan
        if math.isfinite(value):
            self._optimiser.step()
        self.network.eval()
        return value

    def loss(self, *batch: Tensor) -> Tensor:
        """The loss of images (B, H, W, 3) in [0, 255] with depth (B, H, W) in metres."""
        images, depth_m = batch
        return depth_loss(self.infer(images), depth_m, self.network.depth_scale, self._protocol.depth_loss)

    def infer(self, images: Tensor) -> InferredDepth:
        """The depth of images (B, H, W, 3) in [0, 255]; what learns has a gradient."""
        return self.decode(self.maps(images), (images.shape[1], images.shape[2]))

    def maps(self, images: Tensor) -> FeatureMaps:
        """The encoder's maps of images (B, H, W, 3) in [0, 255]."""
        encoder = self.network.encoder
        with self._precision.autocast(self._device):
            with torch.set_grad_enabled(self._learns_trunk):
                trunk = encoder.trunk(self.network.normalise(images.float()))
            with torch.set_grad_enabled(self._learns_head):
                return encoder.head(trunk)

    def decode(self, maps: FeatureMaps, size: tuple[int, int]) -> InferredDepth:
        """The depth of images of a size (H, W) from their maps."""
        with self._precision.autocast(self._device):
            inferred: InferredDepth = self.decoder(maps, size)
            return inferred

    @property
    def state(self) -> dict[str, Tensor]:
        """All weights and the optimiser's moments, to go on from."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        for number, moments in self._optimiser.state_dict()["state"].items():
            tensors.update({f"optimiser.{number}.{key}": value for key, value in moments.items()})
        return tensors

    @state.setter
    def state(self, tensors: Mapping[str, Tensor]) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, _, key = name.partition(".")
            if kind == "optimiser":
                number, _, moment = key.partition(".")
                moments.setdefault(int(number), {})[moment] = value
        self.network.load_state_dict(
            {
                name.removeprefix("network."): value
                for name, value in tensors.items()
                if name.startswith("network.")
            }
        )
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": moments})


def train_depth(
    trainer: DepthTrainer,
    batches: Batches,
    epochs: int,
    run: RunFolder,
    validation: Mapping[str, Pairs],
    provenance: dict[str, Any],
    on_epoch: EpochCallback = lambda record: None,
    show: ProgressDisplay = no_display,
) -> dict[str, Any]:
    """Trains to the end, or on from where the run's folder is, and keeps the best and the last network.

    The best is that with the largest share of depth within a factor of 1.25, its mean over the conditions in
    `validation`; the network before training, epoch 0, is among those compared.  Without `validation`
    it is the last one.

    Args:
        provenance: what the checkpoints say of where they come from.
        on_epoch: receives the record of each epoch once it is written.
        show: displays the progress of each epoch.

    Returns:
        What `result.json` then says.

    Raises SceneGeoLocError where the loss is not finite, or a file cannot be written.
    """
    if run.result is not None:
        return run.result
    done, records = -1, []
    if (state := run.load_state()) is not None:
        trainer.state = state.tensors
        done = int(state.progress["epoch"])
        records = run.log(done + 1)
    for epoch in range(done + 1, epochs + 1):
        losses = _train_epoch(trainer, batches, epoch, epochs, run, show) if epoch else []
        record = {
            "epoch": epoch,
            "losses": {trainer.LOSS: sum(losses) / len(losses)} if losses else {},
            "validation": _validate(trainer.network, validation),
        }
        records.append(record)
        origin = {**provenance, "epoch": epoch, "validation": record["validation"]}
        save_checkpoint(trainer.network, run.last, origin)
        if best_epoch(records) == epoch:
            save_checkpoint(trainer.network, run.best, origin)
        run.write_log(records, write_depth_curves)
        if validation:
            write_depth_pictures(run.path / PICTURES, _pictures(trainer.network, validation))
        run.save_state(TrainingState(trainer.state, {"epoch": epoch}))
        on_epoch(record)
    best = best_epoch(records)
    result = {"ended": "all epochs done", "epochs": epochs, "best_epoch": best, **records[best]}
    run.finish(result)
    return result


def _pictures(network: SceneNetwork, validation: Mapping[str, Pairs]) -> list[DepthRow]:
    """An image of each condition with its depth as it is known and as it is inferred by now."""
    estimator = DepthEstimator("inferred", network, str(next(network.parameters()).device))
    rows = []
    for condition, pairs in validation.items():
        image, truth = next(iter(pairs))
        rows.append(DepthRow(condition, image, {"inferred": estimator.depth(image)}, truth=truth))
    return rows


def best_epoch(records: Sequence[Mapping[str, Any]]) -> int:
    """The epoch with most of the depth right; the last one where nothing was validated.

    The mean relative error would not do: a depth of nothing but 2 m is never wrong by more than 100 %, and a
    road that melts into the sky by much more.
    """

    def right(epoch: int) -> float:
        conditions = records[epoch]["validation"].values()
        return sum(numbers["within_1_25"] for numbers in conditions) / len(conditions)

    return max(range(len(records)), key=right) if records[-1]["validation"] else len(records) - 1


def _train_epoch(
    trainer: DepthTrainer,
    batches: Batches,
    epoch: int,
    epochs: int,
    run: RunFolder,
    show: ProgressDisplay,
) -> list[float]:
    losses = []
    with show(f"epoch {epoch}", "batches") as on_progress:
        on_progress(0, len(batches))
        for number, batch in enumerate(batches.epoch(epoch), start=1):
            trainer.slow_down((epoch - 1 + (number - 1) / len(batches)) / epochs)
            losses.append(trainer.step(*batch))
            if not math.isfinite(losses[-1]):
                raise SceneGeoLocError(
                    f"The loss of batch {number} of epoch {epoch} is {losses[-1]}, so training stopped: "
                    f"lower the learning rate in a new run; the network before this epoch is {run.last}."
                )
            on_progress(number, len(batches))
    return losses


def _validate(network: SceneNetwork, validation: Mapping[str, Pairs]) -> dict[str, dict[str, float | None]]:
    if not validation:
        return {}
    estimator = DepthEstimator("trained", network, str(next(network.parameters()).device))
    compared = compare_depth([estimator], validation)
    return {condition: errors["trained"].summary() for condition, errors in compared.errors.items()}
