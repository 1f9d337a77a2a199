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

"""The settings of triplets, apart from their file so that the command line starts without NumPy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TripletSettings(BaseModel):
    """Settings of triplets. The defaults are the authors' numbers, except for `triplets`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    triplets: int = Field(default=400, ge=1, description="number of triplets to make")
    positives: int = Field(default=4, ge=1, description="positives of an anchor")
    negatives: int = Field(default=20, ge=1, description="negatives of an anchor")
    positive_distance_m: float = Field(default=7.0, gt=0, description="positives are nearer than this, m")
    positive_heading_deg: float = Field(
        default=10.0, gt=0, le=180, description="positives look within this angle of the anchor, degrees"
    )
    negative_distance_m: float = Field(
        default=700.0, gt=0, description="negatives are farther than this, m, or in another region"
    )
    seed: int = Field(default=0, ge=0, description="the same seed makes the same triplets")
