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

"""The config of a scene network: the names of its plug-ins and the size of its input."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from scene_geo_loc.networks.architecture.colouring import COLOURINGS
from scene_geo_loc.networks.architecture.decoders import DECODERS
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.descriptors import (
    DESCRIPTORS,
    FUSIONS,
    DescriptorSystem,
    SystemParts,
)
from scene_geo_loc.networks.architecture.encoders import ENCODERS
from scene_geo_loc.networks.architecture.local_features import LOCAL_FEATURES
from scene_geo_loc.networks.architecture.pooling import POOLINGS, KeypointVLAD
from scene_geo_loc.networks.forward_pass import LEAST_AREA
from scene_geo_loc.networks.inference_network import input_size_for

_CHOICES: dict[str, dict[str, Any]] = {
    "encoder": ENCODERS,
    "depth_encoder": ENCODERS,
    "pooling": POOLINGS,
    "descriptor": DESCRIPTORS,
    "decoder": DECODERS,
    "depth_scale": DEPTH_SCALES,
    "local_features": LOCAL_FEATURES,
    "colouring": COLOURINGS,
    "fusion": FUSIONS,
}


class NetworkConfig(BaseModel):
    """The config of a scene network; a checkpoint stores it beside the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(default="efficientnet_lite0", description="name of the encoder")
    pooling: str = Field(default="netvlad", description="name of the pooling")
    input_width: int = Field(default=320, ge=32, description="width that images are resized to, pixels")
    input_height: int = Field(default=240, ge=32, description="height that images are resized to, pixels")
    descriptor_size: int | None = Field(
        default=None,
        ge=1,
        description="length of the global descriptor after its projection; null: no projection",
    )
    descriptor: str = Field(default="rgb", description="name of the descriptor system")
    depth_encoder: str = Field(
        default="alexnet", description="name of the second encoder, if the descriptor system has one"
    )
    local_features: str = Field(
        default="early",
        description="what is matched: the early map; learned, features trained to match; or keypoints",
    )
    decoder: str = Field(default="unet", description="name of the decoder, if the descriptor system has one")
    depth_scale: str = Field(
        default="log",
        description="depth that the decoder's 0 to 1 stand for: log, 1 m to 100 m; linear, up to 100 m; "
        "inverse, inverse_20m and inverse_200m, with the finest steps near the camera, up to 1000 m, "
        "20 m and 200 m",
    )
    colouring: str = Field(
        default="jet",
        description="how inferred depth becomes an image: jet, or smooth, which is differentiable; a "
        "descriptor system may have one of its own",
    )
    fusion: str = Field(default="concatenate", description="how the parts of a descriptor are joined")
    describes_keypoints: bool = Field(
        default=False,
        description="whether the strongest keypoints are one more part of the global descriptor, fitted to a "
        "place as the poolings are",
    )
    uncertainty: bool = Field(
        default=False, description="whether the decoder also infers the scale of the depth's error"
    )

    @field_validator(*_CHOICES)
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        choices = _CHOICES[str(info.field_name)]
        if name not in choices:
            raise ValueError(f"unknown {info.field_name} {name!r}; known are {', '.join(choices)}")
        return name

    @model_validator(mode="after")
    def _possible(self) -> NetworkConfig:
        if FUSIONS[self.fusion].needs_two_parts and not self.system.has_second_encoder:
            raise ValueError(
                f"fusion {self.fusion} needs two parts and {self.descriptor} has one: choose concatenate"
            )
        if self.describes_keypoints and not LOCAL_FEATURES[self.local_features].finds_keypoints:
            raise ValueError(
                f"describes_keypoints needs local features that find keypoints, and {self.local_features} "
                "find none: set it to false, or choose keypoints"
            )
        if self.uncertainty and not self.system.infers_depth:
            raise ValueError(
                f"uncertainty needs inferred depth and {self.descriptor} infers none: set it to false"
            )
        if self.descriptor_size is not None and self.descriptor_size > self.system_size:
            raise ValueError(
                f"descriptor_size {self.descriptor_size} is more than the {self.system_size} numbers of "
                f"{self.descriptor} with {self.pooling}: choose at most {self.system_size}, or null for all"
            )
        return self

    @property
    def system(self) -> type[DescriptorSystem]:
        """The class of the descriptor system, with what it has and needs."""
        return DESCRIPTORS[self.descriptor]

    @property
    def parts(self) -> SystemParts:
        """The plug-ins that the descriptor system is built from."""
        scale = DEPTH_SCALES[self.depth_scale]
        return SystemParts(
            second_encoder=ENCODERS[self.depth_encoder],
            pooling=POOLINGS[self.pooling],
            fusion=FUSIONS[self.fusion],
            decoder=partial(DECODERS[self.decoder], scale=scale, uncertainty=self.uncertainty),
            depth_scale=scale,
            colouring=COLOURINGS[self.system.fixed_colouring or self.colouring],
        )

    @property
    def system_size(self) -> int:
        """Length of the descriptor before its projection."""
        encoders = [self.encoder]
        if self.system.has_second_encoder:
            encoders.append(self.depth_encoder)
        size = sum(POOLINGS[self.pooling].size_of(ENCODERS[name].late.channels) for name in encoders)
        if self.describes_keypoints:
            size += KeypointVLAD.size_of(LOCAL_FEATURES[self.local_features].stage.channels)
        return size

    @property
    def global_size(self) -> int:
        """Length of the global descriptor."""
        return self.descriptor_size or self.system_size

    @property
    def multiple(self) -> int:
        """The sides of the input should be multiples of this many pixels."""
        return ENCODERS[self.encoder].multiple * LOCAL_FEATURES[self.local_features].reduction

    def with_input_for(self, width: int, height: int) -> NetworkConfig:
        """Returns a copy with an input of the shape of these images and at most its `input_area` pixels."""
        area = min(LOCAL_FEATURES[self.local_features].input_area, max(width * height, LEAST_AREA))
        input_width, input_height = input_size_for(width, height, self.multiple, area)
        return self.model_copy(update={"input_width": input_width, "input_height": input_height})
