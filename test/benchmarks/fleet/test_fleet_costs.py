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

"""Costs of a fleet: the model of many workers, and an index in a database beside faiss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.benchmarks.fleet.index_costs import FAISS, LANCEDB, ask_index, build_index, descriptors_of
from scene_geo_loc.benchmarks.fleet.schedule import BuildTimes, build_seconds

TIMES = BuildTimes(start_s=5.0, drives_s=[10.0, 20.0, 30.0, 40.0], merge_s=3.0)


def test_one_worker_takes_as_long_as_all_parts_together() -> None:
    assert build_seconds(TIMES, 1) == 5 + 100 + 3
    assert build_seconds(TIMES, 1, is_like_another=True) == 5 + 100 + 3


def test_the_first_drive_is_mapped_alone_unless_all_are_like_another_map() -> None:
    assert build_seconds(TIMES, 2) == 5 + 10 + (20 + 40) + 3
    assert build_seconds(TIMES, 100) == 5 + 10 + 40 + 3
    assert build_seconds(TIMES, 100, is_like_another=True) == 5 + 40 + 3
    assert build_seconds(TIMES, 2, is_like_another=True) == 5 + (20 + 40) + 3


def test_a_lost_worker_costs_the_start_of_another() -> None:
    assert build_seconds(TIMES, 3, lost_s=4.0) == build_seconds(TIMES, 3)  # not the longest drive
    assert build_seconds(TIMES, 1, lost_s=4.0) == build_seconds(TIMES, 1) + 5
    assert build_seconds(TIMES, 1, lost_s=25.0) == build_seconds(TIMES, 1)


def test_drawn_descriptors_are_similar_along_the_drive_only() -> None:
    rows = descriptors_of(2000, 512)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.sum(rows[1:] * rows[:-1], axis=1).min() > 0.98
    assert abs(np.sum(rows[:-1000] * rows[1000:], axis=1).mean()) < 0.1


@pytest.mark.slow
def test_both_indices_can_be_measured_and_give_the_same_answers(tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason="LanceDB is not installed: pip install 'scene_geo_loc[database]'")
    for kind in (FAISS, LANCEDB):
        (tmp_path / kind).mkdir()
        assert build_index(kind, tmp_path / kind, 300, 16) > 0
        open_ms, _, query_ms, around_ms, same = ask_index(kind, tmp_path / kind, 300, 16)
        assert min(open_ms, query_ms, around_ms) > 0
        assert same > 0.99
