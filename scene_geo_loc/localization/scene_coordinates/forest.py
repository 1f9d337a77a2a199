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


"""A regression forest for scene coordinates of RGB-D images (Shotton et al., CVPR 2013).

One safetensors file holds it:

| part | contents |
|---|---|
| metadata `scene_geo_loc_scene_forest` | JSON: `ForestDescription` |
| tensor `splits` | (N, 7) float32: 0 (depth) or 1 (colour), two offsets in pixels times metres, two colours |
| tensors `thresholds`, `children` | (N,) float32, (N,) int32: of the first child; -1 in a leaf |
| tensor `modes` | (N, K, 3) float32 of leaves, metres in the map; NaN where there are fewer |
| tensor `roots` | (T,) int32 of the trees |

A split compares two pixels near the one asked about, whose offsets shrink with its depth (equations 1 to 3);
leaves hold the modes of the points of their training pixels.  Poses are found by pre-emptive RANSAC with
Kabsch's algorithm (section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.localization.scene_coordinates.calibration import CoordinateCalibration
from scene_geo_loc.networks.described_tensors import read_described, write_described

FORMAT = FileFormat("scene_geo_loc scene forest", 1, again="train it again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc_scene_forest"
FAR_M = 10.0
"""Depth that stands for an unknown one at a compared pixel."""
MAX_DEPTH = 64
"""Most levels of a tree."""


class ForestDescription(BaseModel):
    """Description of a forest.

    Attributes:
        input_width, input_height: size that images of the training were read at, pixels.
        inlier_m: largest distance of an inlier from a mode, metres.
        calibration: None until it is measured.
        provenance: where the forest comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = FORMAT.name
    format_version: int = FORMAT.version
    input_width: int = Field(gt=0, le=4096)
    input_height: int = Field(gt=0, le=4096)
    inlier_m: float = Field(gt=0, allow_inf_nan=False)
    calibration: CoordinateCalibration | None = None
    provenance: dict[str, Any] = {}


class Forest:
    """Trees that give the modes of the points that a pixel may show.

    Attributes:
        description: of the forest.
        tensors: the trees, see the table above.
    """

    def __init__(self, description: ForestDescription, tensors: Mapping[str, NDArray]) -> None:
        """Raises ValueError where the arrays do not fit each other."""
        self.description, self.tensors = description, dict(tensors)
        names = ("splits", "thresholds", "children", "modes", "roots")
        self._splits, self._thresholds, self._children, self._modes, self._roots = (
            self.tensors[name] for name in names
        )
        count = len(self._splits)
        if self._splits.shape != (count, 7) or self._modes.ndim != 3 or self._modes.shape[2] != 3:
            raise ValueError(f"splits and modes have the shapes {self._splits.shape}, {self._modes.shape}")
        if {len(self._thresholds), len(self._children), len(self._modes)} != {count}:
            raise ValueError(f"thresholds, children and modes are not of {count} nodes")
        # Children come after their parent, so that no walk goes round in circles.
        later = (self._children < 0) | (self._children > np.arange(count))
        if not later.all() or not count or self._children.max() + 1 >= count:
            raise ValueError("children are no nodes")
        if not len(self._roots) or self._roots.min() < 0 or self._roots.max() >= count:
            raise ValueError("roots are no nodes")
        if not (np.isfinite(self._splits).all() and np.isfinite(self._thresholds).all()):
            raise ValueError("splits have values that are not finite")

    def modes(
        self, image: NDArray[np.uint8], depth: NDArray[np.float32], pixels: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Returns the points (M, T * K, 3) in the map that pixels may show, NaN where there are fewer.

        Args:
            image: (H, W, 3), of about the focal length of the training.
            depth: (H, W) metres, NaN where unknown.
            pixels: (M, 2) x and y, whose depth is known.
        """
        images, depths = image[None], depth[None]
        number = np.zeros(len(pixels), np.intp)
        found = []
        for root in self._roots:
            node = np.full(len(pixels), root, np.intp)
            for _ in range(MAX_DEPTH):
                inner = np.flatnonzero(self._children[node] >= 0)
                if not len(inner):
                    break
                at = node[inner]
                values = responses(images, depths, number[inner], pixels[inner], self._splits[at])
                node[inner] = self._children[at] + (values > self._thresholds[at])
            found.append(self._modes[node])
        return np.concatenate(found, axis=1).astype(np.float64)

    def with_calibration(self, calibration: CoordinateCalibration) -> Forest:
        """Returns the forest with what was measured."""
        return Forest(self.description.model_copy(update={"calibration": calibration}), self.tensors)

    def save(self, path: Path) -> None:
        """Writes the file, replaced atomically. Raises SceneGeoLocError if it cannot be written."""
        write_described(path, METADATA_KEY, self.description, self.tensors)

    @classmethod
    def read(cls, path: Path) -> Forest:
        """Reads a file. Raises CheckpointError where it is missing, damaged or of a newer format."""

        def make(values: Any, tensors: dict[str, NDArray]) -> Forest:
            return cls(ForestDescription.model_validate(values), tensors)

        return read_described(path, METADATA_KEY, FORMAT, "scene forest", make)


def responses(
    images: NDArray[np.uint8],
    depths: NDArray[np.float32],
    number: NDArray[np.intp],
    pixels: NDArray[np.intp],
    splits: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Returns the responses (M,) of splits (M, 7), or of one (7,), at pixels (M, 2) of images.

    Args:
        images: (N, H, W, 3).
        depths: (N, H, W) metres, NaN where unknown.
        number: (M,) number of the image of each pixel.
    """
    height, width = depths.shape[1:]
    x, y = pixels.T
    own = depths[number, y, x]
    splits = np.atleast_2d(splits).T
    colours = splits[5:].astype(np.intp)
    values = []
    for begin, colour in ((1, colours[0]), (3, colours[1])):
        u, v = (np.rint(at + splits[begin + i] / own).astype(np.intp) for i, at in enumerate((x, y)))
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        u, v = u.clip(0, width - 1), v.clip(0, height - 1)
        far = depths[number, v, u]
        far = np.where(inside & np.isfinite(far), far, FAR_M)
        values.append(np.where(splits[0] > 0, np.where(inside, images[number, v, u, colour], 0), far))
    return np.asarray(values[0] - values[1], np.float32)
