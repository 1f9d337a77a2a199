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
"""Sets of panoramas are read back as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.datum import Datum
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.streetview.datum import DATUM_NAME, read_datum, write_datum
from scene_geo_loc.traversals.streetview.depth_planes import read_depth_planes
from scene_geo_loc.traversals.streetview.panorama import read_distance
from scene_geo_loc.traversals.streetview.writer import (
    MAX_PLANES,
    planes_text,
    write_depth_planes,
    write_depth_png,
)


def test_distances_read_back_in_centimetres(tmp_path: Path) -> None:
    distance = np.array([[1.234, 655.0, np.inf, 700.0], [0.5, 20.0, 3.0, 4.0]])
    write_depth_png(tmp_path / "depth.png", distance)
    np.testing.assert_allclose(
        read_distance(tmp_path / "depth.png"), [[1.23, 655, np.nan, np.nan], [0.5, 20, 3, 4]], rtol=1e-6
    )


def test_planes_read_back_as_the_distances_that_they_are_of(tmp_path: Path) -> None:
    height, width = 16, 32
    v, u = np.mgrid[:height, :width]
    rays = Equirectangular(width, height).rays(np.stack([u, v], axis=-1))
    # The ground 2 m below, a wall 7 m to the right, and the sky.
    planes = np.array([[0.0, 1.0, 0.0, 2.0], [1.0, 0.0, 0.0, 7.0]])
    index = np.where(rays[..., 1] > 0.1, 0, np.where(rays[..., 0] > 0.2, 1, -1))
    write_depth_planes(tmp_path / "depth.txt", planes, index)
    along = np.einsum("hwi,hwi->hw", planes[index, :3], rays)
    expected = np.where(index >= 0, planes[index, 3] / along, np.nan)
    np.testing.assert_allclose(read_depth_planes(tmp_path / "depth.txt"), expected, rtol=1e-5)


def test_more_planes_than_a_byte_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=f"a byte numbers {MAX_PLANES}"):
        planes_text(np.ones((MAX_PLANES + 1, 4)), np.zeros((2, 4), np.int64))


def test_the_datum_reads_back(tmp_path: Path) -> None:
    assert read_datum(tmp_path) is None
    datum = Datum(52.0, 5.0, 40.0, 12.5)
    write_datum(tmp_path, datum)
    assert read_datum(tmp_path) == datum


@pytest.mark.parametrize(
    "text", ["[]", '{"latitude": 52}', '{"latitude": 99, "longitude": 1, "altitude": 0}', "{"]
)
def test_a_damaged_datum_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / DATUM_NAME).write_text(text)
    with pytest.raises(TraversalError, match=DATUM_NAME):
        read_datum(tmp_path)
