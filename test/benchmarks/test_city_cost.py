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
"""Maps of cities for the speed benchmark: drawn like real drives, and measured in a process of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.benchmarks.speed.city_cost import measure_cities
from scene_geo_loc.benchmarks.speed.city_map import NOT_SUMMED, disk_bytes, positions_of, write_city
from scene_geo_loc.benchmarks.speed.descriptor_model import (
    DescriptorModel,
    GaussianPath,
    shrunk_covariance,
    unit,
)
from scene_geo_loc.benchmarks.speed.plot import map_size_figure
from scene_geo_loc.mapping.map_info import CODES, INDEX
from scene_geo_loc.mapping.reference_map import ReferenceMap

pytestmark = pytest.mark.slow


def drive(count: int, size: int, step: float, rng: np.random.Generator) -> np.ndarray:
    """Descriptors of a drive: each is the last one times `step` and something new."""
    rows = rng.normal(size=(count, size))
    for row in range(1, count):
        rows[row] = step * rows[row - 1] + np.sqrt(1 - step**2) * rows[row]
    return unit(rows)


def test_drawn_paths_are_as_similar_from_step_to_step_as_the_drive() -> None:
    rng = np.random.default_rng(0)
    rows = drive(3000, 16, 0.7, rng)
    drawn = GaussianPath.fit(rows).draw(20, 400, rng)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=2), 1.0, atol=1e-5)
    for lag in (1, 2, 5):
        wanted = (rows[lag:] * rows[:-lag]).sum(axis=1).mean()
        assert (drawn[:, lag:] * drawn[:, :-lag]).sum(axis=2).mean() == pytest.approx(wanted, abs=0.05)


def test_queries_are_as_far_from_their_keyframes_as_the_drives_from_each_other() -> None:
    rng = np.random.default_rng(0)
    rows = drive(500, 32, 0.8, rng)
    others = unit(rows + 0.15 * rng.normal(size=rows.shape))
    model = DescriptorModel.fit(rows, others)
    places = model.places.draw(1, 2000, rng)[0]
    cosines = (model.queries(places, rng) * places).sum(axis=1)
    wanted = (rows * others).sum(axis=1)
    np.testing.assert_allclose(
        np.percentile(cosines, [5, 50, 95]), np.percentile(wanted, [5, 50, 95]), atol=0.02
    )


def test_the_covariance_of_few_rows_is_shrunk_towards_the_true_one() -> None:
    rng = np.random.default_rng(0)
    true = np.diag(np.linspace(1, 2, 60))
    rows = rng.normal(size=(40, 60)) * np.sqrt(np.diag(true))
    rows -= rows.mean(axis=0)
    sample = rows.T @ rows / len(rows)
    assert np.linalg.norm(shrunk_covariance(rows) - true) < 0.5 * np.linalg.norm(sample - true)


def test_keyframes_of_a_city_stand_along_its_streets() -> None:
    positions = positions_of(np.array([0, 1, 1000, 4000, 240_000]))
    np.testing.assert_allclose(
        positions, [[0, 0, 1.5], [1.5, 0, 1.5], [0, 0.3, 1.5], [0, 30, 1.5], [1530, 0, 1.5]]
    )


def test_maps_of_cities_open_and_find_what_exact_search_finds(
    room_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scene_geo_loc.mapping.search.stored_index.EXACT_BELOW", 2000)
    source, rng = ReferenceMap.open(room_map), np.random.default_rng(0)
    rows = drive(300, source.index.size, 0.8, rng)
    near = DescriptorModel.fit(rows, unit(rows + 0.02 * rng.normal(size=rows.shape)))
    small, large = measure_cities(source, near, {"near": near}, [1000, 3000], tmp_path)
    assert (small.index, large.index) == ("DescriptorIndex", "CompressedIndex")
    assert small.recall["near"] == 1.0
    assert large.recall["near"] >= 0.98
    for cost in (small, large):
        assert 0 < cost.open_ms < 5000
        assert min(cost.cpu_ms, cost.prior_cpu_ms) > 0
        assert 0 < cost.p50_ms <= cost.p95_ms
        assert cost.resident_mb > cost.before_mb > 10
    opened = ReferenceMap.open(tmp_path / "city_3000")
    assert CODES in opened.info.files
    assert INDEX not in opened.info.files
    assert opened.info.files[CODES].sha256 == NOT_SUMMED
    assert len(opened.within(positions_of(np.array([500]))[0], 1.0)) == 3
    assert opened.name_of(2999) == "00002999.png"
    assert opened.thumbnail(2999).shape == source.thumbnail(0).shape
    assert disk_bytes(opened.path) < sum(file.stat().st_size for file in opened.path.iterdir())
    written = json.loads((tmp_path / "map_size.json").read_text())
    assert [cost["keyframes"] for cost in written] == [1000, 3000]
    assert map_size_figure([small, large]).axes[0].get_xlabel() == "keyframes"


def test_a_city_that_is_written_again_replaces_the_old_one(room_map: Path, tmp_path: Path) -> None:
    source, rng = ReferenceMap.open(room_map), np.random.default_rng(0)
    rows = drive(100, source.index.size, 0.8, rng)
    model = DescriptorModel.fit(rows, unit(rows + 0.02 * rng.normal(size=rows.shape)))
    for count in (50, 20):
        write_city(source, model, count, tmp_path / "city")
        assert len(ReferenceMap.open(tmp_path / "city")) == count
