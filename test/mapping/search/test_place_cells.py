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

"""Cells of late maps: their axes, bits and places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.mapping.search.place_cells import MOST_AXES, MOST_CELLS, PlaceCells

SHAPE = (10, 15, 80)


def late_maps(count: int = 20, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def test_a_keyframe_has_a_bit_for_each_axis_of_each_cell() -> None:
    cells = PlaceCells.fit(SHAPE, late_maps())
    bits = cells.bits(late_maps()[0])
    assert bits.shape == cells.row_shape == (150, MOST_AXES // 8)
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1) == 1, cells.describe(late_maps()[0]) > 0)


def test_features_have_unit_length_and_do_not_see_a_change_of_contrast() -> None:
    cells, late = PlaceCells.fit(SHAPE, late_maps()), late_maps()[3]
    np.testing.assert_allclose(np.linalg.norm(cells.describe(late), axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(cells.describe(2 * late), cells.describe(late), atol=1e-5)


def test_a_change_of_all_cells_alike_changes_features_by_half() -> None:
    late = late_maps()
    cells = PlaceCells.fit(SHAPE, late)
    shift = np.random.default_rng(1).normal(size=SHAPE[2]).astype(np.float32)
    same, half = cells.describe(late[0]), cells.describe(late[0] + 0.5 * shift)
    cosines = (same * cells.describe(late[0] + shift)).sum(axis=1)
    assert cosines.mean() < (same * half).sum(axis=1).mean()
    assert cosines.mean() > 0.7  # without the subtraction of half the mean about 0.5 is left


def test_a_large_late_map_is_resized_and_its_cells_span_the_image() -> None:
    shape = (30, 40, 16)
    cells = PlaceCells.fit(shape, late_maps(4, shape))
    assert 0.9 * MOST_CELLS <= len(cells.positions) <= 1.1 * MOST_CELLS
    assert cells.row_shape[1] == 2
    assert cells.positions.real.min() == pytest.approx(1 - cells.positions.real.max())
    assert cells.positions.imag.max() + cells.positions.imag.min() == pytest.approx(30 / 40, rel=0.02)


@pytest.mark.parametrize("size", [(30, 40), (8, 11)])
def test_a_constant_late_map_of_any_size_gives_as_many_cells_that_are_all_alike(
    size: tuple[int, int],
) -> None:
    cells = PlaceCells((30, 40, 16), np.zeros(16), np.eye(16))
    constant = np.ones((*size, 16), np.float32) * np.arange(1, 17, dtype=np.float32)
    expected = np.arange(1, 17) / np.linalg.norm(np.arange(1, 17))
    np.testing.assert_allclose(
        cells.describe(constant), np.tile(expected, (len(cells.positions), 1)), atol=1e-5
    )


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    cells, late = PlaceCells.fit(SHAPE, late_maps()), late_maps()[0]
    cells.save(tmp_path / "axes.safetensors")
    again = PlaceCells.read(tmp_path / "axes.safetensors", SHAPE)
    np.testing.assert_array_equal(again.describe(late), cells.describe(late))


def test_axes_of_another_network_are_refused(tmp_path: Path) -> None:
    PlaceCells.fit(SHAPE, late_maps()).save(tmp_path / "axes.safetensors")
    with pytest.raises(CheckpointError, match="build the map again"):
        PlaceCells.read(tmp_path / "axes.safetensors", (10, 15, 40))
    (tmp_path / "other.safetensors").write_bytes(safetensors.numpy.save({"mean": np.zeros(80, np.float32)}))
    with pytest.raises(CheckpointError, match="build the map again"):
        PlaceCells.read(tmp_path / "other.safetensors", SHAPE)


def test_images_without_any_texture_give_no_numbers_that_are_not_finite() -> None:
    cells = PlaceCells.fit(SHAPE, np.zeros((3, *SHAPE), np.float32))
    assert np.isfinite(cells.describe(np.zeros(SHAPE, np.float32))).all()


def test_late_maps_that_are_not_finite_are_refused() -> None:
    with pytest.raises(SceneGeoLocError, match="not finite"):
        PlaceCells.fit(SHAPE, np.full((3, *SHAPE), np.nan, np.float32))
