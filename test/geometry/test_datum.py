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

"""Datum of a map, and its robust fit to satellite positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.core.errors import GeodesyError
from scene_geo_loc.geometry.datum import Datum, datum_of_text
from scene_geo_loc.geometry.datum_fit import fit_datum
from scene_geo_loc.geometry.geodesy import UtmZone, ecef_of_geodetic, enu_axes, geodetic_of_ecef
from scene_geo_loc.geometry.pose import transform

datums = st.builds(
    Datum,
    st.floats(-89.9, 89.9),
    st.floats(-180, 180),
    st.floats(-400, 5000),
    st.floats(-180, 180),
    st.floats(-30, 30),
    st.floats(-30, 30),
)
TRUTH = Datum(52.1, 5.2, 40.0, 33.0)


def drive(count: int = 200) -> np.ndarray:
    """Positions (N, 3) along a bend of 320 m."""
    t = np.linspace(0, 40, count)
    return np.stack([8 * t, 30 * np.sin(t / 6), 0.3 * np.sin(t)], axis=1)


def measured(points: np.ndarray, errors: np.ndarray, datum: Datum = TRUTH) -> np.ndarray:
    """Returns the measurements of a receiver with errors (N, 3), east, north, up, at points of the map."""
    axes = enu_axes(datum.latitude_deg, datum.longitude_deg)
    return geodetic_of_ecef(ecef_of_geodetic(datum.geodetic_of(points)) + errors @ axes.T)


def test_the_point_of_epsg_guidance_note_7_2_has_its_local_coordinates() -> None:
    # Method 9837, geographic to topocentric: origin 55 N, 5 E, 200 m.
    point = [53 + 48 / 60 + 33.82 / 3600, 2 + 7 / 60 + 46.38 / 3600, 73.0]
    local = Datum(55.0, 5.0, 200.0).map_of(point)
    assert local == pytest.approx([-189013.869, -128642.040, -4220.171], abs=5e-3)


def test_yaw_turns_from_east_to_north() -> None:
    north = Datum(52.0, 5.0, 0.0, 90.0).geodetic_of([1000.0, 0.0, 0.0])
    assert north[0] == pytest.approx(52.0 + 1 / 111.27, abs=1e-5)
    assert north[1] == pytest.approx(5.0)


@given(datums, st.lists(st.floats(-5000, 5000), min_size=3, max_size=3))
def test_points_come_back(datum: Datum, point: list[float]) -> None:
    assert datum.map_of(datum.geodetic_of(point)) == pytest.approx(point, abs=1e-4)


@given(datums)
def test_a_datum_is_that_of_its_own_pose(datum: Datum) -> None:
    again = Datum.of_ecef(datum.T_ecef_map)
    assert again.T_ecef_map == pytest.approx(datum.T_ecef_map, abs=1e-5)


@given(
    st.builds(Datum, st.floats(-79, 83), st.floats(-180, 180), st.floats(0, 2000), st.floats(-180, 180)),
    st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(-10, 10)),
)
def test_the_pose_on_the_grid_is_exact_at_its_anchor_and_good_around(
    datum: Datum, anchor: tuple[float, float, float]
) -> None:
    T_utm_map, zone = datum.T_utm_map(anchor)
    around = np.array(anchor) + np.array([[0, 0, 0], [100, 0, 0], [0, 100, 0]])
    true = zone.grid_of_geodetic(datum.geodetic_of(around))
    off = np.linalg.norm(transform(T_utm_map, around) - true, axis=1)
    assert off[0] < 1e-4
    assert (off < 0.15).all()
    back = Datum.of_grid(zone, T_utm_map, anchor)
    assert back.geodetic_of(anchor) == pytest.approx(datum.geodetic_of(anchor), abs=1e-6)
    assert np.trace(back.T_ecef_map[:3, :3].T @ datum.T_ecef_map[:3, :3]) == pytest.approx(3, abs=1e-9)


def test_a_map_beyond_the_border_keeps_the_zone_that_is_asked_for() -> None:
    T_utm_map, zone = Datum(52.0, 6.001, 0.0).T_utm_map([0, 0, 0], UtmZone(31, is_north=True))
    assert zone.number == 31
    assert T_utm_map[0, 3] > 700_000


def test_a_datum_at_the_pole_has_a_place_but_no_grid() -> None:
    pole = Datum(90.0, 0.0, 0.0)
    assert pole.T_ecef_map[:3, 3] == pytest.approx([0, 0, 6356752.314], abs=1e-3)
    with pytest.raises(GeodesyError, match="UTM"):
        pole.T_utm_map([0, 0, 0])


def test_white_noise_gives_the_datum_within_its_standard_deviations() -> None:
    points = drive()
    errors = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(0, (0.5, 0.5, 1.0), points.shape)
        datum, fit = fit_datum(points, measured(points, noise))
        off = datum.map_of(TRUTH.geodetic_of(fit.centre_m)) - fit.centre_m
        errors.append([*(off[:2] / fit.horizontal_std_m), (datum.yaw_deg - 33.0) / fit.yaw_std_deg])
        assert np.linalg.norm(off[:2]) < 0.2
        assert abs(datum.yaw_deg - 33.0) < 0.1
        assert fit.outliers < 12
    # Each is about normal: 1, with what 30 draws allow.
    assert 0.5 < np.sqrt(np.mean(np.array(errors) ** 2)) < 1.6


def test_errors_that_last_are_not_averaged_away() -> None:
    points = drive()
    slow = np.repeat(np.random.default_rng(0).normal(0, 1.5, (8, 3)), 25, axis=0)
    _, fit = fit_datum(points, measured(points, slow))
    white = np.random.default_rng(0).normal(0, 1.5, points.shape)
    _, fit_white = fit_datum(points, measured(points, white))
    assert fit.horizontal_std_m > 2 * fit_white.horizontal_std_m
    assert fit.yaw_std_deg > 2 * fit_white.yaw_std_deg


def test_what_the_receiver_states_beyond_the_residuals_may_be_common_to_all_positions() -> None:
    points = drive()
    noise = np.random.default_rng(0).normal((1.2, -0.9, 2.0), 0.3, points.shape)
    _, alone = fit_datum(points, measured(points, noise))
    datum, fit = fit_datum(points, measured(points, noise), np.tile([1.5, 2.5], (len(points), 1)))
    assert alone.horizontal_std_m < 0.1
    assert (fit.horizontal_std_m, fit.vertical_std_m) == pytest.approx((1.5, 2.5), rel=0.06)
    off = datum.map_of(TRUTH.geodetic_of(fit.centre_m)) - fit.centre_m
    assert np.linalg.norm(off[:2]) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("offset", [(0, 0, 0), (4000, -3000, 50)])
def test_two_fifths_may_lie_wherever_the_map_has_its_origin(offset: tuple[float, float, float]) -> None:
    points, rng = drive(), np.random.default_rng(1)
    errors = rng.normal(0, 0.3, points.shape)
    errors[40:100] += [80, -60, 20]  # a receiver that lies for a while
    errors[rng.uniform(size=len(points)) < 0.1] += [0, 200, 0]
    datum, fit = fit_datum(points + offset, measured(points, errors))
    off = datum.map_of(TRUTH.geodetic_of(points)) - points - offset
    assert np.linalg.norm(off[:, :2], axis=1).max() < 0.3
    assert fit.outliers > 60
    assert fit.horizontal_rms_m < 1.0


def test_a_map_in_coordinates_of_a_grid_is_refused() -> None:
    with pytest.raises(GeodesyError, match="origin is not near the ground"):
        fit_datum(drive() + np.array([620_000, 5_735_000, 0]), measured(drive(), 0 * drive()))


def test_stated_errors_weigh_but_do_not_decide() -> None:
    points, rng = drive(), np.random.default_rng(2)
    sigmas = np.where(np.arange(len(points)) % 2, 0.02, 2.0)[:, None] * np.ones(2)
    errors = rng.normal(0, 1, points.shape) * sigmas[:, :1]
    errors[::20] += [30, 0, 0]  # the positions that are stated as good among them are wrong, too
    datum, fit = fit_datum(points, measured(points, errors), sigmas)
    off = datum.map_of(TRUTH.geodetic_of(fit.centre_m)) - fit.centre_m
    assert np.linalg.norm(off[:2]) < 0.02


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (drive(7), "7 satellite positions.*< 8"),
        (drive() * 0.005, "do not fit the poses.*drive farther"),
        (drive(9) * 0.02, "drive farther"),
        (drive() * 0, "do not fix the map's yaw"),
    ],
)
def test_what_gives_no_datum_is_said(points: np.ndarray, words: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.5, points.shape)
    with pytest.raises(GeodesyError, match=words):
        fit_datum(points, measured(points, noise))


def test_a_map_whose_z_does_not_point_up_is_refused() -> None:
    points = drive()
    optical = points[:, [1, 2, 0]] * [-1, -1, 1]
    with pytest.raises(GeodesyError):
        fit_datum(optical, measured(points, 0 * points))


def test_a_datum_is_read_from_text() -> None:
    assert datum_of_text("52.0, 5, 40") == Datum(52.0, 5.0, 40.0)
    assert datum_of_text("-33.9 151.2 20 12.5") == Datum(-33.9, 151.2, 20.0, 12.5)
    for text in ("", "52,5", "52,5,40,1,2", "52,5,high", "95,5,40", "nan,5,40"):
        with pytest.raises(GeodesyError, match="is no datum"):
            datum_of_text(text)
