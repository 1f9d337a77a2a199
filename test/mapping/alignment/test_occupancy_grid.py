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

"""Occupancy grids as nav2's map_server reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from scene_geo_loc.mapping.alignment.occupancy_grid import GridError, read_occupancy_grid

VALUES: dict[str, Any] = {
    "image": "plan.pgm",
    "resolution": 0.05,
    "origin": [-10.0, 2.0, 0.5],
    "negate": 0,
    "occupied_thresh": 0.65,
    "free_thresh": 0.196,
}


def write(folder: Path, pixels: Any = ((0, 205, 254), (254, 254, 254)), **changed: Any) -> Path:
    values = {name: value for name, value in (VALUES | changed).items() if value is not None}
    cv2.imwrite(str(folder / "plan.pgm"), np.array(pixels, np.uint8))
    (folder / "plan.yaml").write_text(yaml.safe_dump(values))
    return folder / "plan.yaml"


def test_black_is_occupied_white_is_free_and_the_first_row_is_the_farthest(tmp_path: Path) -> None:
    grid = read_occupancy_grid(write(tmp_path))
    assert grid.occupied.tolist() == [[False] * 3, [True, False, False]]
    assert grid.free.tolist() == [[True] * 3, [False, False, True]]
    assert grid.known.sum() == 5
    assert (grid.resolution, grid.origin) == (0.05, (-10.0, 2.0, 0.5))


@pytest.mark.parametrize(
    ("changed", "occupied"),
    [({"negate": 1}, 5), ({"mode": "raw", "pixels": ((0, 100, 65), (50, 255, 7))}, 2)],
)
def test_grids_may_be_negated_or_raw(tmp_path: Path, changed: dict[str, Any], occupied: int) -> None:
    pixels = changed.pop("pixels", ((0, 205, 254), (254, 254, 254)))
    assert read_occupancy_grid(write(tmp_path, pixels, **changed)).occupied.sum() == occupied


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resolution": 0.0}, "resolution .* between 0 and 100"),
        ({"resolution": "fine"}, "resolution .* must be a number"),
        ({"origin": [0, 0]}, "origin .* three numbers"),
        ({"origin": [0, 0, float("nan")]}, "origin .* three numbers"),
        ({"mode": "colour"}, "mode .* trinary, scale, raw"),
        ({"image": None}, "names no image"),
        ({"image": "nowhere.pgm"}, "nowhere.pgm cannot be read"),
        ({"image": "plan.yaml"}, "PGM, PNG or BMP"),
        ({"occupied_thresh": None}, "occupied_thresh"),
        ({"image": "plan.pgm", "negate": 0, "occupied_thresh": 1.5}, "no occupied cell"),
    ],
)
def test_a_damaged_grid_is_refused_in_a_sentence(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(GridError, match=message):
        read_occupancy_grid(write(tmp_path, **changed))


@pytest.mark.parametrize("text", ["", "- a list", "{", "image: [1"])
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(GridError, match=r"plan\.yaml"):
        read_occupancy_grid(tmp_path / "plan.yaml")
