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


"""Settings that the trainings of several learned localizers have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LocalizerProtocol(BaseModel):
    """Settings of the training of a learned localizer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation_every: int = Field(
        default=5, ge=2, le=50, description="every n-th image is left out of the training to validate"
    )
    seed: int = Field(default=0, ge=0, description="the same seed gives the same localizer")


class FeatureProtocol(LocalizerProtocol):
    """Settings of the training of a head on the features of whole images, which gives poses."""

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
    dropout: float = Field(default=0.2, gt=0, lt=1, description="probability that a unit is left out")
    crops: int = Field(
        default=8, ge=1, le=64, description="changed copies of each image, the first of which is unchanged"
    )
    weight_decay: float = Field(default=1e-4, ge=0, description="Adam's, of fully connected layers")
    accepted_error_m: float | None = Field(
        default=None,
        gt=0,
        description="position error within which a pose counts as right; unset: a tenth of the extent of the "
        "positions, at most 5 m",
    )


class PointProtocol(LocalizerProtocol):
    """Settings of the training of a localizer that gives points of the scene."""

    accepted_error_m: float | None = Field(
        default=None,
        gt=0,
        description="position error within which a pose counts as right; unset: a fiftieth of the extent of "
        "the positions, at least 0.1 m and at most 1 m",
    )
