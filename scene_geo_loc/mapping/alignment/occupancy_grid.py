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

"""Occupancy grids in the format of nav2's map_server: a YAML file beside an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError, reason_of
from scene_geo_loc.core.regular_file import regular

RAW = "raw"
MODES = ("trinary", "scale", RAW)
OCCUPIED, FREE = 65, 19
"""Least value of an occupied cell and largest of a free one in the mode raw, where values are percentages."""


class GridError(SceneGeoLocError):
    """An occupancy grid cannot be read."""


@dataclass(frozen=True)
class OccupancyGrid:
    """Cells that are occupied, free, or neither where nothing is known.

    Attributes:
        occupied, free: (H, W) bool; rows in the direction of y, columns in that of x.
        resolution: side of a cell in metres.
        origin: x, y in metres and yaw in radians of the corner of cell (0, 0) in the grid's frame.
    """

    occupied: NDArray[np.bool_]
    free: NDArray[np.bool_]
    resolution: float
    origin: tuple[float, float, float]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(H, W), occupied or free."""
        return self.occupied | self.free


def read_occupancy_grid(path: Path) -> OccupancyGrid:
    """Reads the YAML file of a grid and the image that it names.

    Raises GridError where one of them is missing or damaged.
    """
    try:
        values = yaml.safe_load(regular(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise GridError(f"{path} cannot be read ({reason_of(error)}).") from error
    if not isinstance(values, dict):
        raise GridError(f"{path} is no occupancy grid: it must name image, resolution and origin.")
    resolution = _number(path, values, "resolution")
    origin = values.get("origin")
    if not 0 < resolution < 100:
        raise GridError(f"The resolution in {path} is {resolution:g} m; it must be between 0 and 100.")
    if not isinstance(origin, list) or len(origin) != 3 or not all(map(_is_number, origin)):
        raise GridError(f"The origin in {path} is {origin!r}; it takes three numbers: x, y and yaw.")
    mode = str(values.get("mode", MODES[0])).lower()
    if mode not in MODES:
        raise GridError(f"The mode in {path} is {mode!r}; it must be one of {', '.join(MODES)}.")
    image = values.get("image")
    if not isinstance(image, str) or not image:
        raise GridError(f"{path} names no image.")
    picture = _grey(path.parent / image)
    if mode == RAW:
        occupied = (picture >= OCCUPIED) & (picture <= 100)
        free = picture <= FREE
    else:
        shade = picture / 255.0
        occupancy = shade if values.get("negate") in (1, True) else 1.0 - shade
        occupied = occupancy >= _number(path, values, "occupied_thresh")
        free = occupancy <= _number(path, values, "free_thresh")
    if not occupied.any():
        raise GridError(f"{path} has no occupied cell: check image, negate and occupied_thresh.")
    # The image's first row is the one farthest in y.
    x, y, yaw = (float(value) for value in origin)
    return OccupancyGrid(occupied[::-1].copy(), free[::-1].copy(), resolution, (x, y, yaw))


def _grey(path: Path) -> NDArray[np.float64]:
    try:
        data = regular(path).read_bytes()
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except (OSError, ValueError, cv2.error) as error:
        raise GridError(f"The image {path} cannot be read ({reason_of(error)}).") from error
    if image is None or image.dtype != np.uint8:
        raise GridError(f"The image {path} cannot be read: it must be a PGM, PNG or BMP of 8 bits.")
    return image.reshape(*image.shape[:2], -1)[:, :, :3].mean(axis=2)


def _number(path: Path, values: dict[str, Any], name: str) -> float:
    value: Any = values.get(name)
    if not _is_number(value):
        raise GridError(f"The {name} in {path} is {value!r}; it must be a number.")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
