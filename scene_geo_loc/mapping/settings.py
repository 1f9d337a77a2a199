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

"""Settings of the map builder, which the command line and the node offer alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from scene_geo_loc.matchers import NETWORK_FEATURES, matcher_choices

NETWORK_FILE = ".onnx"
"""Suffix of a user's network, which tells it from the name of a matcher."""
VOCABULARY_FILE = ".safetensors"
"""Suffix of a vocabulary of visual words."""
BAG_OF_WORDS = "bovw"
"""Setting of `descriptor` for visual words that are fitted to the map."""

Lidar = Literal["auto", "spinning", "pushbroom"]
DepthSource = Literal["measured", "auto", "learned", "available", "none"]
WITHOUT_DEPTH = ("available", "none")
"""Values of `depth` with which features are kept whose depth is unknown."""


class BuilderSettings(BaseModel):
    """Settings of `MapBuilder`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyframe_distance_m: float = Field(default=1.0, ge=0, description="distance between keyframes, m")
    keyframe_angle_deg: float = Field(
        default=10.0, ge=0, le=180, description="angle between keyframes, degrees"
    )
    depth: DepthSource = Field(
        default="measured",
        description="source of depth; measured: sensor or lidar; auto: sensor or lidar, else the images "
        "(network and triangulation from neighbouring keyframes); learned: the images alone; available: "
        "sensor or lidar where they measured, while features elsewhere are kept without depth; none: "
        "features without depth, which give a pose together with keyframes at another place",
    )
    lidar: Lidar = Field(
        default="auto",
        description="how the lidar scans, which decides which scans an image gets; auto: as they look",
    )
    descriptor: str | None = Field(
        default=None,
        description="what describes images for retrieval, instead of the map's network: bovw (bag of visual "
        "words, fitted to the map), a vocabulary of visual words (.safetensors), or a network (.onnx)",
        json_schema_extra={"is_path": True},
    )
    local_features: str | None = Field(
        default=None,
        description="ONNX file of a network that detects and describes keypoints, which are matched; for a "
        "matcher that is a file also network (which finds keypoints), aliked, sift or xfeat",
        json_schema_extra={"is_path": True},
    )
    matcher: str = Field(
        default=NETWORK_FEATURES,
        description="local features that are matched: network (the network's keypoints if it finds them, "
        "else those of its cells), aliked, sift or xfeat; or the ONNX file of a network that matches the "
        "keypoints of local_features",
        json_schema_extra={"is_path": True},
    )

    @field_validator("descriptor")
    @classmethod
    def _is_descriptor(cls, value: str | None) -> str | None:
        if value is None or value == BAG_OF_WORDS or is_network_file(value) or is_vocabulary_file(value):
            return value
        raise ValueError(
            f"a descriptor is {BAG_OF_WORDS}, a vocabulary, whose name ends in {VOCABULARY_FILE}, or a "
            f"network, whose name ends in {NETWORK_FILE}"
        )

    @field_validator("local_features")
    @classmethod
    def _is_file_or_keypoints(cls, value: str | None) -> str | None:
        if value is not None and not is_network_file(value) and value not in matcher_choices():
            raise ValueError(f"local features are {', '.join(matcher_choices())}, or an ONNX file")
        return value

    @field_validator("matcher")
    @classmethod
    def _fits_local_features(cls, value: str, others: ValidationInfo) -> str:
        local_features = others.data.get("local_features")
        if is_network_file(value):
            if local_features is None:
                raise ValueError("a network that matches keypoints needs local_features to match")
        elif value not in matcher_choices():
            raise ValueError(f"a matcher is {', '.join(matcher_choices())}, or an ONNX file")
        elif local_features not in (None, value) and value != cls.model_fields["matcher"].default:
            raise ValueError(
                f"the keypoints of {local_features} are matched by an ONNX file or, by default, "
                "by their nearest neighbours"
            )
        return value

    def record(self) -> dict[str, Any]:
        """Returns the settings as a map keeps them: those that are set, without the folders of files.

        With local features, a matcher by name is none of those settings: it is not used.
        """
        values = self.model_dump(exclude_none=True)
        if self.local_features is not None and not is_network_file(self.matcher):
            del values["matcher"]
        return {
            name: Path(value).name if isinstance(value, str) and _is_file(value) else value
            for name, value in values.items()
        }


def is_network_file(value: str) -> bool:
    """Returns whether a setting names a user's network rather than a part of the package."""
    return value.endswith(NETWORK_FILE)


def is_vocabulary_file(value: str) -> bool:
    """Returns whether a setting names a vocabulary of visual words."""
    return value.endswith(VOCABULARY_FILE)


def _is_file(value: str) -> bool:
    return is_network_file(value) or is_vocabulary_file(value)
