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
"""Tiles find the keyframes around a place, as looking at all of them would."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.mapping.search.tiles import TILE_M, Tiles

POSITIONS = np.random.default_rng(0).uniform(-400, 300, (500, 3)) * (1, 1, 0.1)
TILED = Tiles.of(POSITIONS)

places = st.tuples(*(st.floats(-1000, 1000) for _ in range(3)))


@given(places, st.floats(0, 2000))
def test_all_keyframes_within_a_radius_are_in_the_tiles_around(
    place: tuple[float, float, float], radius_m: float
) -> None:
    found = TILED.around(place[0], place[1], radius_m)
    near = np.flatnonzero(np.linalg.norm(POSITIONS - place, axis=1) <= radius_m)
    assert np.isin(near, found).all()
    assert (np.diff(found) > 0).all()


@given(places, st.booleans())
def test_the_nearest_keyframe_is_that_of_all(place: tuple[float, float, float], has_height: bool) -> None:
    point = np.array(place)[: 3 if has_height else 2]
    distances = np.linalg.norm(POSITIONS[:, : len(point)] - point, axis=1)
    keyframe, distance_m = TILED.nearest(point, POSITIONS)
    assert keyframe == distances.argmin()
    assert distance_m == pytest.approx(distances.min())


def test_few_keyframes_are_looked_at() -> None:
    found = TILED.around(0.0, 0.0, TILE_M)
    corner = np.abs(POSITIONS[found][:, :2])
    assert 0 < len(found) < 20
    assert corner.max() < 3 * TILE_M


def test_a_map_without_keyframes_has_none_around() -> None:
    empty = Tiles.of(np.zeros((0, 3)))
    assert len(empty.around(0.0, 0.0, 10.0)) == 0
    assert empty.nearest(np.zeros(3), np.zeros((0, 3))) == (None, np.inf)


def test_a_place_that_is_no_number_has_none_around() -> None:
    assert len(TILED.around(float("nan"), 0.0, 10.0)) == 0


def test_they_round_trip_through_their_files(tmp_path: Path) -> None:
    TILED.save(tmp_path / "tiles.npy", tmp_path / "keyframes.npy")
    again = Tiles.read(tmp_path / "tiles.npy", tmp_path / "keyframes.npy", len(POSITIONS))
    np.testing.assert_array_equal(again.around(0, 0, 90.0), TILED.around(0, 0, 90.0))
    with pytest.raises(ValueError, match="not of 499 keyframes"):
        Tiles.read(tmp_path / "tiles.npy", tmp_path / "keyframes.npy", 499)
    np.save(tmp_path / "tiles.npy", TILED.tiles[:-1])
    with pytest.raises(ValueError, match="other keyframes"):
        Tiles.read(tmp_path / "tiles.npy", tmp_path / "keyframes.npy", len(POSITIONS))
