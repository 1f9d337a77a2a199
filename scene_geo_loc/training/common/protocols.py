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

"""The settings of all trainings: how long, how fast and by which losses networks are trained.

The command line declares its options from these models, and run folders store them.  torch is not imported
here, so that help texts appear at once.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch


class Precision(str, Enum):
    """Precision of convolutions and matrix products; weights and losses are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """About twice as fast if the processor supports it."""

    def autocast(self, device: torch.device) -> torch.autocast:
        """Returns the context for forward passes."""
        import torch

        return torch.autocast(device.type, torch.bfloat16, enabled=self is Precision.BFLOAT16)


class Freeze(str, Enum):
    """Part of a network that stays fixed, bit for bit, while its depth is trained."""

    DESCRIPTOR = "descriptor"
    """All but the decoder, which is fine-tuned (ICRA 2019, section IV)."""
    ENCODER = "encoder"
    """All but the decoder, which is new."""
    TRUNK = "trunk"
    """All but the decoder, which is new, and the head of the encoder, which is fine-tuned."""
    NOTHING = "nothing"
    """The decoder is new, and the whole encoder is trained with it (Perspective-n-Learned-Point)."""


class DepthLoss(str, Enum):
    """Loss of inferred depth. Networks that infer the error of their depth have a likelihood instead."""

    SCALE = "scale"
    """L1 in units of the depth scale, with the sky at the largest depth (ICRA 2019, section III)."""
    METRES = "metres"
    """L1 in metres at each level of the decoder, on known depth (Perspective-n-Learned-Point)."""


class Task(str, Enum):
    """Task that a network is trained for on posed images."""

    DEPTH = "depth"
    """Depth, from known depth."""
    VIEWS = "views"
    """Depth, from how well it warps a view to its neighbours; no depth needs to be known."""
    MATCHING = "matching"
    """Local features that agree where two images show the same point, from known depth."""
    PLACES = "places"
    """Global descriptors that agree for images of one place."""


class TrainingProtocol(BaseModel):
    """Settings of descriptor training. The defaults are the authors' numbers (ICRA 2019, section IV)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="full", min_length=1, description="name in tables")
    epochs: int = Field(default=50, ge=1, description="largest number of passes over the triplets")
    patience: int = Field(
        default=10, ge=1, description="epochs without a better validation recall after which training ends"
    )
    triplets: int | None = Field(
        default=None, ge=1, description="number of triplets to train with, the first of the file; null: all"
    )
    triplets_a_batch: int = Field(default=10, ge=1, description="triplets of a mini-batch")
    positives: int = Field(default=4, ge=1, description="positives of a triplet drawn in an epoch")
    negatives: int = Field(default=20, ge=1, description="negatives of a triplet drawn in an epoch")
    hard_negatives: int = Field(
        default=10, ge=1, description="number of the nearest drawn negatives that enter the losses"
    )
    mine_before_forward: bool = Field(
        default=False,
        description="whether the hard images are chosen by a pass without gradients, in which batch norms "
        "use their running statistics, and only anchors and chosen images are trained on; else all drawn "
        "images are in one pass and in the statistics of its batch norms",
    )
    encoder_batch_norm: Literal["batch", "running"] = Field(
        default="batch",
        description="statistics of the encoders' batch norms in training: those of the mini-batch, as the "
        "authors', or the fixed running ones of the first weights; the decoder always uses those of the "
        "mini-batch",
    )
    learning_rate: float = Field(default=1e-4, gt=0, description="Adam's, for encoders and poolings")
    decoder_learning_rate: float = Field(default=2e-4, gt=0, description="Adam's, for the depth decoder")
    weight_decay: float = Field(default=1e-3, ge=0, description="Adam's, for all weights")
    margin: float = Field(default=0.1, gt=0, description="margin of the triplet losses")
    precision: Precision = Field(
        default=Precision.FLOAT32, description="of convolutions and matrix products while training"
    )
    validation_references: int | None = Field(
        default=None,
        ge=1,
        description="largest number of reference images of the validation area, evenly spread; null: all",
    )
    validation_queries: int = Field(
        default=200,
        ge=1,
        description="largest number of queries of the validation area, evenly along its run",
    )
    checkpoint_minutes: float = Field(
        default=10.0, ge=0, description="longest time between two states to resume from, minutes"
    )

    @model_validator(mode="after")
    def _possible(self) -> TrainingProtocol:
        if self.hard_negatives > self.negatives:
            raise ValueError(f"hard_negatives {self.hard_negatives} are more than negatives {self.negatives}")
        return self


class DepthTraining(BaseModel):
    """Settings that depth training and scene training share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=30, ge=1, description="passes over the images")
    learning_rate: float = Field(
        default=2e-4,
        gt=0,
        description="Adam's first learning rate for the decoder; it falls to 0 as a cosine",
    )
    encoder_learning_rate: float = Field(
        default=1e-4, gt=0, description="the same for the trained part of the encoder"
    )
    weight_decay: float = Field(default=1e-3, ge=0, description="Adam's")
    depth_loss: DepthLoss = Field(
        default=DepthLoss.SCALE,
        description="L1 in units of the depth scale, the sky at the largest depth; or in metres, of known "
        "depth",
    )
    precision: Precision = Field(default=Precision.FLOAT32, description="of convolutions while training")
    augmentation: bool = Field(
        default=False, description="change the images' brightness and colours strongly"
    )
    seed: int = Field(default=0, ge=0, description="the same seed trains the same network")


class DepthProtocol(DepthTraining):
    """Settings of depth training on pairs of an image and a depth map."""

    pairs: int = Field(
        default=1000,
        ge=1,
        description="largest number of pairs, drawn from all; the same for the day's pairs",
    )
    pairs_a_batch: int = Field(
        default=20, ge=2, description="pairs of a mini-batch, half of them the day's if there are any"
    )


class SceneProtocol(DepthTraining):
    """Settings of training on posed images."""

    tasks: tuple[Task, ...] = Field(
        default=(Task.DEPTH,), min_length=1, description="tasks to train for; their losses are added"
    )
    images_a_batch: int = Field(default=8, ge=2, description="images of a mini-batch")
    baseline_m: float = Field(
        default=0.5, gt=0, description="approximate distance between the images that are compared, m"
    )
    margin: float = Field(default=0.1, gt=0, description="margin of the triplet loss of places")


class EncoderProtocol(BaseModel):
    """Settings of training an encoder from another network's features."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=2000, ge=1, description="number of mini-batches")
    images: int = Field(default=32, ge=1, description="crops of a mini-batch")
    side: int = Field(default=160, ge=96, le=280, description="sides of a crop, pixels")
    learning_rate: float = Field(default=1e-3, gt=0, description="Adam's largest learning rate")
    warm_up: int = Field(
        default=50, ge=1, description="steps until the largest learning rate; then it falls as a cosine"
    )
    record_every: int = Field(
        default=50, ge=1, description="steps between two records of the log and states to resume from"
    )
    precision: Precision = Field(
        default=Precision.BFLOAT16,
        description="of convolutions; bfloat16 is faster if the processor supports it",
    )
    seed: int = Field(default=0, ge=0, description="the same seed draws the same crops")


class KeypointProtocol(BaseModel):
    """Settings of training keypoints on pairs of views."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=4000, ge=1, description="number of mini-batches")
    pairs: int = Field(default=4, ge=1, description="pairs of views of a mini-batch")
    width: int = Field(default=320, ge=64, multiple_of=32, description="width of a view, pixels")
    height: int = Field(default=256, ge=64, multiple_of=32, description="height of a view, pixels")
    learning_rate: float = Field(default=3e-4, gt=0, description="AdamW's largest learning rate")
    warm_up: int = Field(
        default=50, ge=1, description="steps until the largest learning rate; then it falls as a cosine"
    )
    record_every: int = Field(
        default=200, ge=1, description="steps between two records of the log and states to resume from"
    )
    baseline_m: float = Field(
        default=1.0, gt=0, description="approximate distance between posed images that are compared, m"
    )
    seed: int = Field(default=0, ge=0, description="the same seed draws the same views")
