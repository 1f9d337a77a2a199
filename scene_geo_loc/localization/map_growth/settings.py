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

"""Settings of mapping while localizing."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict, Field


class PosesBy(str, Enum):
    """Where the poses of new keyframes are from."""

    AUTO = "auto"
    DRIVE = "drive"
    MAP = "map"


class GrowthSettings(BaseModel):
    """Settings of mapping while localizing: which images become keyframes, and when they are built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyframe_distance_m: float = Field(
        default=1.0, gt=0, le=100, description="distance between new keyframes, m"
    )
    keyframe_angle_deg: float = Field(
        default=10.0, gt=0, le=180, description="angle between new keyframes, degrees"
    )
    min_confidence: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="confidence of a pose below which the map supports the place poorly: the image becomes a "
        "keyframe, and its pose is not one to begin from; of matchers that state one",
    )
    max_std_m: float = Field(
        default=0.25,
        gt=0,
        le=100,
        description="largest standard deviation of the position of a new keyframe, from the fixes around it "
        "and odometry, m",
    )
    explore: bool = Field(
        default=False,
        description="whether images beyond the last verified fix are added as well when the map is saved, by "
        "odometry alone, within max_std_m: the map grows beyond its edge, and no fix notices there that "
        "odometry slipped",
    )
    images: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="images with a pose that wait before they are built into the map; 0: only when asked",
    )
