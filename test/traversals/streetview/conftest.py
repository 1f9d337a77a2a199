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

"""A small set of panoramas whose colours encode directions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.streetview.index import IndexRow, write_index

LATITUDE, LONGITUDE, ALTITUDE = 48.8738, 2.295, 80.0
SPACING_M = 10.0
METRES_PER_DEGREE = 111_200.0
WIDTH = 1024


def coloured_panorama(width: int = WIDTH) -> NDArray[np.uint8]:
    """Returns a panorama (H, W, 3) whose colour at each pixel is 127.5 (1 + direction)."""
    v, u = np.mgrid[: width // 2, :width]
    rays = Equirectangular(width, width // 2).rays(np.stack([u, v], axis=-1))
    return np.round(127.5 * (1 + rays)).astype(np.uint8)


def direction_of(colour: NDArray) -> NDArray[np.float64]:
    """Inverse of the colours of `coloured_panorama`."""
    return np.asarray(colour, np.float64) / 127.5 - 1


def write_image(path: Path, rgb: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]) if rgb.ndim == 3 else rgb)


def rows_along_a_street(count: int) -> list[IndexRow]:
    """Returns rows of panoramas every 10 m to the north, which look east."""
    return [
        IndexRow(
            f"images/{number}.png",
            LATITUDE + number * SPACING_M / METRES_PER_DEGREE,
            LONGITUDE,
            ALTITUDE,
            heading=90.0,
            time=1_600_000_000_000_000_000 + number * 2_000_000_000,
            depth=f"depth/{number}.png",
        )
        for number in range(count)
    ]


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A set of three panoramas with depth of 5 m everywhere but the sky."""
    folder = tmp_path / "street"
    distance = np.full((32, 64), 500, np.uint16)
    distance[:8] = 0
    rows = rows_along_a_street(3)
    for row in rows:
        write_image(folder / row.file, coloured_panorama())
        write_image(folder / row.depth, distance)
    write_index(folder / "panoramas.csv", rows)
    return folder
