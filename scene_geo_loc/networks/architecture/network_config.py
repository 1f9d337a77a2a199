"""What a scene network is built from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from scene_geo_loc.networks.architecture.colouring import COLOURINGS
from scene_geo_loc.networks.architecture.decoders import DECODERS
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS, FUSIONS
from scene_geo_loc.networks.architecture.encoders import ENCODERS
from scene_geo_loc.networks.architecture.local_features import LOCAL_FEATURES
from scene_geo_loc.networks.architecture.pooling import POOLINGS

INPUT_AREA = 320 * 240
"""Most pixels of the input made for images of any shape: what a keyframe's features take follows from it."""
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
    """What a scene network is built from; stored with its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(default="efficientnet_lite0", description="name of the encoder")
    pooling: str = Field(default="netvlad", description="name of the pooling")
    input_width: int = Field(default=320, ge=32, description="width that images are resized to, pixels")
    input_height: int = Field(default=240, ge=32, description="height that images are resized to, pixels")
    descriptor_size: int | None = Field(
        default=None,
        ge=1,
        description="length of the global descriptor after its projection; null: what the system gives",
    )
    descriptor: str = Field(default="rgb", description="name of the descriptor system")
    depth_encoder: str = Field(
        default="alexnet", description="name of the second encoder, of the systems that have one"
    )
    local_features: str = Field(
        default="early", description="what is matched: the early map, or features learned to match"
    )
    decoder: str = Field(default="unet", description="name of the decoder, of the systems that have one")
    depth_scale: str = Field(
        default="log",
        description="what the decoder's 0 to 1 mean: log, from 1 m to 100 m; linear, up to 100 m; or "
        "inverse, in steps that are finest near the camera, up to 1000 m, 20 m or 200 m",
    )
    colouring: str = Field(
        default="jet",
        description="how inferred depth becomes an image: jet, or smooth, which lets gradients through; "
        "rgb_plus is always smooth",
    )
    fusion: str = Field(default="concatenate", description="how a descriptor's parts are joined")
    uncertainty: bool = Field(
        default=False, description="whether the decoder infers the scale of the depth's error, too"
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
        if self.fusion == "gated" and not DESCRIPTORS[self.descriptor].has_second_encoder:
            raise ValueError(f"gated fusion needs two parts, and {self.descriptor} has one: concatenate")
        if self.uncertainty and not DESCRIPTORS[self.descriptor].infers_depth:
            raise ValueError(f"uncertainty is of inferred depth, which {self.descriptor} has not: leave it")
        if self.descriptor_size is not None and self.descriptor_size > self.system_size:
            raise ValueError(
                f"descriptor_size {self.descriptor_size} is more than the {self.system_size} numbers "
                f"that {self.descriptor} gives with {self.pooling}: take at most these, or null for all"
            )
        return self

    @property
    def system_size(self) -> int:
        """Length of the descriptor before its projection."""
        encoders = [self.encoder]
        if DESCRIPTORS[self.descriptor].has_second_encoder:
            encoders.append(self.depth_encoder)
        return sum(POOLINGS[self.pooling].size_of(ENCODERS[name].late.channels) for name in encoders)

    @property
    def global_size(self) -> int:
        """Length of the global descriptor."""
        return self.descriptor_size or self.system_size

    def with_input_for(self, width: int, height: int) -> NetworkConfig:
        """The same with an input of the shape of these images and `INPUT_AREA` pixels at most."""
        multiple = ENCODERS[self.encoder].multiple
        scale = (INPUT_AREA / (width * height)) ** 0.5
        input_height = max(2, round(height * scale / multiple)) * multiple
        fitting_width = min(INPUT_AREA // input_height, round(input_height * width / height))
        input_width = max(2, fitting_width // multiple) * multiple
        return self.model_copy(update={"input_width": input_width, "input_height": input_height})
