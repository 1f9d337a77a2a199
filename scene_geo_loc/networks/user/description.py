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

"""Descriptions of a user's networks: what their graphs take and give, by the YAML file beside a graph."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.core.regular_file import regular

MAX_PIXELS = 640 * 480
"""Most pixels of the image that keypoints are detected in: larger images are resized."""


class Coordinates(str, Enum):
    """Convention of keypoints' coordinates (x, y) in an image."""

    PIXEL_CENTRE = "pixel_centre"
    """Pixels; (0, 0) is the centre of the upper left pixel."""
    PIXEL_CORNER = "pixel_corner"
    """Pixels; (0, 0) is the upper left corner of the image, and (0.5, 0.5) the centre of its first pixel."""
    UNIT = "unit"
    """0 to 1, from the left to the right border and from the upper to the lower one."""
    SIGNED = "signed"
    """-1 to 1 between the same borders."""
    LONGER_SIDE = "longer_side"
    """-1 to 1 along the longer side of the image, and in the same unit along the shorter one."""

    def to_pixels(self, coordinates: NDArray, size: NDArray) -> NDArray[np.float64]:
        """Returns pixels (N, 2), by `PIXEL_CENTRE`, in an image of a size (2,): width and height."""
        factor, shift = self._of_corner(size)
        return (np.asarray(coordinates, np.float64) - shift) / factor - 0.5

    def of_pixels(self, pixels: NDArray, size: NDArray) -> NDArray[np.float64]:
        """Returns coordinates (N, 2) of pixels, the inverse of `to_pixels`."""
        factor, shift = self._of_corner(size)
        return (np.asarray(pixels, np.float64) + 0.5) * factor + shift

    def _of_corner(self, size: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns factor and shift (2,) from `PIXEL_CORNER` to these coordinates."""
        side, one = np.asarray(size, np.float64), np.ones(2)
        if self is Coordinates.PIXEL_CENTRE:
            return one, -0.5 * one
        if self is Coordinates.PIXEL_CORNER:
            return one, 0 * one
        if self is Coordinates.UNIT:
            return 1 / side, 0 * one
        if self is Coordinates.SIGNED:
            return 2 / side, -one
        return one * 2 / side.max(), -side / side.max()


class Description(BaseModel):
    """Base of the descriptions; each is one YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageDescription(Description):
    """Input of a network that takes one image.

    The type of its numbers is that of the graph's input: a `uint8` input gets the image as it is, without
    `max_value`, `mean` and `std`.

    Attributes:
        input: name of the input; by default the graph's only one.
        layout: order of the axes: batch n, channels c, height h, width w; `nhw` for a grey image.
        colour: order of the channels.
        max_value: the value of white; black is 0.
        mean, std: of one or of each channel, on the scale of `max_value`: the mean is subtracted, and the
            difference divided by the standard deviation.
        width, height: fixed size of the input, pixels; by default that of the graph where it is fixed there.
        multiple: the sides of an input of free size are multiples of it.
        max_pixels: most pixels of an input of free size: larger images are resized.
    """

    input: str | None = None
    layout: Literal["nchw", "nhwc", "nhw"] = "nchw"
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    max_value: FiniteFloat = Field(default=1.0, gt=0)
    mean: tuple[FiniteFloat, ...] = (0.0,)
    std: tuple[FiniteFloat, ...] = (1.0,)
    width: int | None = Field(default=None, ge=1, le=8192)
    height: int | None = Field(default=None, ge=1, le=8192)
    multiple: int = Field(default=1, ge=1, le=1024)
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, le=8192 * 8192)

    @model_validator(mode="after")
    def _fits_together(self) -> ImageDescription:
        channels = 1 if self.colour == "grey" else 3
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, channels):
                raise ValueError(f"{name} has {len(getattr(self, name))} numbers, not 1 or {channels}")
        if min(self.std) <= 0:
            raise ValueError("std must be greater than 0")
        if self.layout == "nhw" and channels != 1:
            raise ValueError("the layout nhw needs the colour grey")
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height are given together or not at all")
        return self


class GlobalDescriptor(ImageDescription):
    """A network that describes an image by one vector, such as MegaLoc.

    Attributes:
        descriptor: name of the output (1, D) or (D,); by default the graph's only one.
    """

    descriptor: str | None = None


class Keypoints(ImageDescription):
    """A network that detects and describes keypoints, such as SuperPoint.

    Attributes:
        keypoints: name of the output (1, N, 2) or (N, 2).
        descriptors: name of the output (1, N, C) or (N, C); (1, C, N) or (C, N) if `descriptor_axes` is cn.
        scores: name of the output (1, N) or (N,), larger for stronger keypoints; null where there is none,
            and the keypoints come strongest first.
        order: of the two numbers of a keypoint.
        coordinates: convention of the keypoints' coordinates in the image as the network gets it.
        descriptor_axes: n for the keypoints, c for the numbers of a descriptor.
        min_score: keypoints whose score is not greater are left out.
        max_keypoints: most keypoints of an image, the strongest.
        stored_keypoints: most keypoints of a keyframe that a map stores, the strongest of known depth.
    """

    keypoints: str = "keypoints"
    descriptors: str = "descriptors"
    scores: str | None = "scores"
    order: Literal["xy", "yx"] = "xy"
    coordinates: Coordinates = Coordinates.PIXEL_CENTRE
    descriptor_axes: Literal["nc", "cn"] = "nc"
    min_score: FiniteFloat = 0.0
    max_keypoints: int = Field(default=1000, ge=1, le=65535)
    stored_keypoints: int = Field(default=700, ge=1, le=65535)


class PairMatches(Description):
    """A network that matches the keypoints of two images, such as LightGlue; image 0 is the query.

    Inputs are float32, with a batch axis and any number of keypoints.

    Attributes:
        keypoints0, keypoints1: names of the inputs (1, N, 2).
        descriptors0, descriptors1: names of the inputs (1, N, C); (1, C, N) if `descriptor_axes` is cn.
        size0, size1: names of the inputs (1, 2), width and height of the images; null where there are none.
        matches: name of the output.
        scores: name of the output with a score for each match; null where there is none.
        form: `pairs`: the output is (M, 2), rows of both images, or (M, 3) with the number of the pair before
            them; `of_first`: it is (1, N), for each keypoint of image 0 the row in image 1, or -1.
        order: of the two numbers of a keypoint.
        coordinates: convention of the keypoints' coordinates.  Pixels are those of an image of `MAX_PIXELS`.
        descriptor_axes: n for the keypoints, c for the numbers of a descriptor.
        min_score: matches whose score is not greater are left out.
    """

    keypoints0: str = "keypoints0"
    keypoints1: str = "keypoints1"
    descriptors0: str = "descriptors0"
    descriptors1: str = "descriptors1"
    size0: str | None = None
    size1: str | None = None
    matches: str = "matches"
    scores: str | None = "scores"
    form: Literal["pairs", "of_first"] = "pairs"
    order: Literal["xy", "yx"] = "xy"
    coordinates: Coordinates = Coordinates.LONGER_SIDE
    descriptor_axes: Literal["nc", "cn"] = "nc"
    min_score: FiniteFloat = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> PairMatches:
        if (self.size0 is None) != (self.size1 is None):
            raise ValueError("size0 and size1 are given together or not at all")
        return self


AnyDescription = TypeVar("AnyDescription", bound=Description)


def read_description(graph: Path, kind: type[AnyDescription]) -> AnyDescription:
    """Returns the description in the YAML file beside a graph: of the same name, with the suffix .yaml.

    Raises CheckpointError where there is none, or it is not a description of that kind.
    """
    path = graph.with_suffix(".yaml")
    try:
        values: Any = yaml.safe_load(regular(path).read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no {path.name} beside {graph}: write one that describes the network's input and "
            "outputs; an empty file stands for the defaults."
        ) from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = reason_of(error)
        raise CheckpointError(f"{path} cannot be read as YAML ({reason}): write it again.") from error
    return parsed({} if values is None else values, kind, str(path))


def parsed(values: Any, kind: type[AnyDescription], name: str) -> AnyDescription:
    """Returns the description of decoded YAML or JSON.

    Args:
        name: of its file, for messages.

    Raises CheckpointError where it is not a description of that kind.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise CheckpointError(
                f"{name} has the unknown key {key!r}: the keys are {', '.join(kind.model_fields)}."
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        where = f" at {key!r}" if key else ""
        raise CheckpointError(f"{name} is wrong{where}: {message}.") from error
