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

"""Positions on the Earth: published points, and conversions there and back."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry import geodesy
from scene_geo_loc.geometry.geodesy import (
    UtmZone,
    check_geodetic,
    ecef_of_geodetic,
    enu_axes,
    geodetic_of_ecef,
)

positions = st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(-500, 9000))


def degrees(d: int, m: int, s: float) -> float:
    return d + m / 60 + s / 3600


def test_the_point_of_epsg_guidance_note_7_2_has_its_earth_centred_coordinates() -> None:
    # Method 9602, geographic to geocentric: 53 degrees 48' 33.820" N, 2 degrees 7' 46.380" E, 73.0 m.
    point = [degrees(53, 48, 33.820), degrees(2, 7, 46.380), 73.0]
    assert ecef_of_geodetic(point) == pytest.approx([3771793.968, 140253.342, 5124304.349], abs=2e-3)


@given(positions)
def test_earth_centred_coordinates_come_back(position: tuple[float, float, float]) -> None:
    there = ecef_of_geodetic(position)
    assert ecef_of_geodetic(geodetic_of_ecef(there)) == pytest.approx(there, abs=1e-5)


@given(positions)
def test_up_points_away_from_the_ellipsoid(position: tuple[float, float, float]) -> None:
    axes = enu_axes(position[0], position[1])
    higher = (position[0], position[1], position[2] + 10.0)
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-12)
    up = ecef_of_geodetic(higher) - ecef_of_geodetic(position)
    assert up == pytest.approx(10 * axes[:, 2], abs=1e-5)


def test_many_positions_are_converted_at_once() -> None:
    grid = np.array([[[52.0, 5.0, 0.0], [52.0, 6.0, 0.0]], [[-33.0, 151.0, 10.0], [90.0, 0.0, 0.0]]])
    assert geodetic_of_ecef(ecef_of_geodetic(grid)) == pytest.approx(grid, abs=1e-6)


def test_a_known_place_of_the_grid_has_its_latitude_and_longitude() -> None:
    # The CN Tower: 43 degrees 38' 33.24" north, 79 degrees 23' 13.7" west; 630084 m east, 4833438 m north.
    latitude, longitude, height = UtmZone(17, is_north=True).geodetic_of_grid([630084, 4833438, 70])
    assert latitude == pytest.approx(degrees(43, 38, 33.24), abs=1e-5)
    assert longitude == pytest.approx(-degrees(79, 23, 13.7), abs=1e-5)
    assert height == pytest.approx(70)


@pytest.mark.parametrize(
    ("latitude", "longitude", "zone"),
    [
        (51.75, -1.26, "30N"),
        (-33.9, 151.2, "56S"),
        (0.0, 180.0, "1N"),
        (10.0, -180.0, "1N"),
        (10.0, 179.999, "60N"),
        (60.4, 5.3, "32N"),  # Bergen: zone 32 is wider there
        (78.2, 15.6, "33N"),  # Svalbard has no zones 32, 34 and 36
        (78.2, 8.0, "31N"),
        (78.2, 41.0, "37N"),
    ],
)
def test_a_position_has_its_zone(latitude: float, longitude: float, zone: str) -> None:
    assert str(UtmZone.of(latitude, longitude)) == zone


@given(st.floats(-80, 84), st.floats(-180, 180))
def test_the_grid_comes_back(latitude: float, longitude: float) -> None:
    zone = UtmZone.of(latitude, longitude)
    grid = zone.grid_of_geodetic([latitude, longitude, 12.0])
    assert 100_000 < grid[0] < 1_000_000
    assert 0 <= grid[1] <= 10_000_000
    back = zone.geodetic_of_grid(grid)
    assert ecef_of_geodetic(back) == pytest.approx(ecef_of_geodetic([latitude, longitude, 12.0]), abs=1e-4)


def test_coordinates_go_on_across_the_border_of_a_zone() -> None:
    west = UtmZone(31, is_north=True)
    before, after = west.grid_of_geodetic([[52.0, 5.9999, 0.0], [52.0, 6.0001, 0.0]])
    assert np.linalg.norm(after - before) == pytest.approx(13.73, abs=0.05)
    assert UtmZone.of(52.0, 6.0001).number == 32


@pytest.mark.parametrize("latitude", [84.01, 90.0, -80.01, -90.0])
def test_there_is_no_grid_at_the_poles(latitude: float) -> None:
    with pytest.raises(GeodesyError, match=r"outside of the UTM grid.*ECEF"):
        UtmZone.of(latitude, 10.0)


@given(st.floats(-79, 83), st.floats(-3.2, 3.2))
def test_the_convergence_is_the_one_of_spherical_trigonometry(latitude: float, east_of_middle: float) -> None:
    # tan(convergence) = tan(longitude from the middle) sin(latitude), exact on the sphere.
    expected = np.degrees(np.arctan(np.tan(np.radians(east_of_middle)) * np.sin(np.radians(latitude))))
    zone = UtmZone(31, latitude >= 0)
    assert zone.convergence_deg(latitude, 3.0 + east_of_middle) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ((np.nan, 5.0, 0.0), "not a number"),
        ((90.1, 5.0, 0.0), "latitude 90.1"),
        ((50.0, 361.0, 0.0), "longitude 361"),
        ((50.0, 5.0, 1e6), "height 1e\\+06"),
    ],
)
def test_impossible_positions_are_named(position: tuple[float, float, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_geodetic(*position)


def test_without_pyproj_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyproj", None)
    geodesy._transformer.cache_clear()
    with pytest.raises(GeodesyError, match="need pyproj, which is not installed"):
        ecef_of_geodetic([52.0, 5.0, 0.0])
