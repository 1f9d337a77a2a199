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

from pydantic import Field

from scene_geo_loc.training.common.localizer_protocol import FeatureProtocol

SYSTEM = "relative_pose"
"""Name of the only system of the family."""
SUMMARY = "retrieval by a metric of frustum overlap, and the pose relative to the retrieved images"


class RelativeProtocol(FeatureProtocol):
    """Settings of the training of a network for relative poses."""

    network: str | None = Field(
        default=None,
        description="network of an earlier map, its relative_pose.safetensors, to begin with: trained on, or "
        "with 0 epochs used as it is; unset: a new one",
        json_schema_extra={"is_path": True},
    )
    units: int = Field(default=256, ge=8, le=4096, description="units of the head's hidden layer")
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
    images_a_batch: int = Field(default=64, ge=2, description="images of a mini-batch")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Adam's largest learning rate; it falls to 0 as a cosine"
    )
