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

"""Settings of the training for relative poses; torch is not imported here, so that help appears at once."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SYSTEM = "relative_pose"
"""Name of the only system of the family."""
SUMMARY = "retrieval by a metric of frustum overlap, and the pose relative to the retrieved images"


class RelativeProtocol(BaseModel):
    """Settings of the training of a network for relative poses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str | None = Field(
        default=None,
        description="network of an earlier map, its relative_pose.safetensors, to begin with: trained on, or "
        "with 0 epochs used as it is; unset: a new one",
        json_schema_extra={"is_path": True},
    )
    encoder: str = Field(default="efficientnet_lite0", description="encoder of the images, by its name")
    weights: str = Field(
        default="default",
        description="first weights of the encoder: default, those of the package's own network; imagenet; "
        "none; or a file",
        json_schema_extra={"is_path": True},
    )
    input_width: int = Field(
        default=224, ge=64, le=1024, description="width of the network's input, pixels; its height follows"
    )
    components: int = Field(
        default=256, ge=8, le=2048, description="principal components of the features that the head sees"
    )
    units: int = Field(default=256, ge=8, le=4096, description="units of the head's hidden layer")
    dropout: float = Field(default=0.2, gt=0, lt=1, description="probability that a unit is left out")
    retrieved: int = Field(
        default=5, ge=1, le=100, description="retrieved keyframes whose relative poses are combined"
    )
    frustum_m: float | None = Field(
        default=None,
        gt=0,
        description="depth of the frustums whose overlap the metric is trained on, m; unset: a quarter of "
        "the extent of the positions, 4 to 40 m",
    )
    epochs: int = Field(default=60, ge=0, description="passes over the images")
    crops: int = Field(
        default=8, ge=1, le=64, description="changed copies of each image, the first of which is unchanged"
    )
    images_a_batch: int = Field(default=64, ge=2, description="images of a mini-batch")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Adam's largest learning rate; it falls to 0 as a cosine"
    )
    weight_decay: float = Field(default=1e-4, ge=0, description="Adam's")
    validation_every: int = Field(
        default=5, ge=2, le=50, description="every n-th image is left out of the training to validate"
    )
    accepted_error_m: float | None = Field(
        default=None,
        gt=0,
        description="position error within which a pose counts as right; unset: a tenth of the extent of the "
        "positions, at most 5 m",
    )
    seed: int = Field(default=0, ge=0, description="the same seed trains the same network")
