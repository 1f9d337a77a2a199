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

"""Settings of a reconstruction; pycolmap is not imported here, so that help texts appear at once."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SYSTEM = "structure_from_motion"
"""Name of the only system of the family."""
SUMMARY = "SIFT points triangulated from the source's poses by COLMAP, and matched as Active Search does"


class ReconstructionProtocol(BaseModel):
    """Settings of a reconstruction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_width: int = Field(
        default=640, ge=64, le=4096, description="largest width at which images are read, pixels"
    )
    features: int = Field(default=2000, ge=50, le=20000, description="largest number of features of an image")
    neighbours: int = Field(
        default=10, ge=1, le=200, description="images that each image is matched with, the nearest by pose"
    )
    keyframe_distance_m: float = Field(
        default=0.1, ge=0, description="an image within this distance of the last ones is left out, m"
    )
    keyframe_angle_deg: float = Field(
        default=5.0, ge=0, le=180, description="unless it is turned by more than this, degrees"
    )
    max_epipolar_error_px: float = Field(
        default=4.0,
        gt=0,
        description="largest distance of a match from the epipolar line of the given poses, pixels",
    )
    adjust: bool = Field(
        default=False,
        description="adjust the poses to the matches as well, by bundle adjustment, and move them back to "
        "the source's frame as one",
    )
    validation_every: int = Field(
        default=5,
        ge=2,
        le=50,
        description="every n-th image is localized in points of the others, to measure the map",
    )
