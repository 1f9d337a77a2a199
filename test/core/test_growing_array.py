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

"""Arrays that grow on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scene_geo_loc.core.growing_array import GrowingArray, write_blocks


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(first=st.integers(0, 5), kept=st.integers(0, 5), second=st.integers(0, 120))
def test_rows_survive_closing_reopening_and_truncating(
    tmp_path: Path, first: int, kept: int, second: int
) -> None:
    path = tmp_path / "rows.npy"
    path.unlink(missing_ok=True)
    kept = min(kept, first)
    rows = np.random.default_rng(first).integers(-9, 9, (first + second, 3, 2)).astype(np.int16)
    array = GrowingArray(path, (3, 2), np.int16)
    for row in rows[:first]:
        array.append(row)
    array.close()
    array = GrowingArray(path, (3, 2), np.int16)
    assert len(array) == first
    array.truncate(kept)
    for row in rows[first:]:
        array.append(row)
    expected = np.concatenate([rows[:kept], rows[first:]])
    np.testing.assert_array_equal(array.rows(), expected)
    array.close()
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), expected)


def test_a_torn_row_is_not_counted_and_can_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    array = GrowingArray(path, (4,), np.float32)
    array.append([1, 2, 3, 4])
    array.close()
    with path.open("ab") as file:
        file.write(b"\x00" * 7)
    array = GrowingArray(path, (4,), np.float32)
    assert len(array) == 1
    array.truncate(1)
    array.append([5, 6, 7, 8])
    array.close()
    np.testing.assert_array_equal(np.load(path), [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_an_array_written_in_blocks_is_the_file_that_numpy_writes(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16)
    write_blocks(tmp_path / "blocks.npy", rows.shape, rows.dtype, [rows[:4], rows[4:4], rows[4:]])
    np.save(tmp_path / "whole.npy", rows)
    assert (tmp_path / "blocks.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    with pytest.raises(ValueError, match="4 of 7 rows"):
        write_blocks(tmp_path / "short.npy", rows.shape, rows.dtype, [rows[:4]])
