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

"""Poses of a drive in a frame of its own, brought into the frame of a map."""

from __future__ import annotations

import numpy as np
import pytest
from drifting_drives import COVARIANCE, T_DRIVE_MAP, drifted, heading
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose, position_error_m, rotation_error_deg
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.mapping.alignment.pose_graph import align_poses


def loop(count: int = 120, radius_m: float = 40.0) -> NDArray[np.float64]:
    """True poses around a circle."""
    angles = np.linspace(0, 1.5 * np.pi, count)
    places = radius_m * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    return np.stack([make_pose(heading(a), p) for a, p in zip(angles, places, strict=True)])


def measurements(
    truth: NDArray[np.float64], numbers: list[int], rng: np.random.Generator
) -> dict[int, tuple[Pose, NDArray[np.float64]]]:
    found = {}
    for i in numbers:
        noise = make_pose(matrix_of_vector(rng.normal(0, np.radians(0.2), 3)), np.zeros(3))
        T = truth[i] @ noise
        T[:3, 3] += rng.normal(0, 0.03, 3)
        found[i] = (T, COVARIANCE)
    return found


def test_drift_between_localized_poses_is_corrected_and_wrong_poses_are_left_out() -> None:
    truth, rng = loop(), np.random.default_rng(0)
    drive = drifted(truth, T_DRIVE_MAP, np.radians(0.05))
    measured = measurements(truth, list(range(0, 120, 6)), rng)
    for i in (12, 60, 84):  # of other places that look alike
        measured[i] = (make_pose(heading(0.3), (7.0, -9.0, 0.0)) @ measured[i][0], COVARIANCE)
    aligned = align_poses(drive, measured)
    errors = [float(position_error_m(a, b)) for a, b in zip(aligned.T_map_camera, truth, strict=True)]
    assert max(errors) < 0.15
    assert (
        max(float(rotation_error_deg(a, b)) for a, b in zip(aligned.T_map_camera, truth, strict=True)) < 0.6
    )
    assert aligned.measured[aligned.is_outlier].tolist() == [12, 60, 84]
    assert aligned.drift_m > 1.0
    assert aligned.residual_m < 0.1
    assert 0.01 < aligned.std_m < 0.3
    # A rigid whole cannot fit a drive that drifts.
    rigid = measured[0][0] @ inverse(drive[0]) @ drive
    assert position_error_m(rigid[-1], truth[-1]) > 1.0


def test_the_deviation_grows_away_from_what_was_localized() -> None:
    truth, rng = loop(), np.random.default_rng(1)
    drive = drifted(truth, T_DRIVE_MAP, 0.0)
    whole = align_poses(drive, measurements(truth, list(range(0, 120, 10)), rng))
    part = align_poses(drive, measurements(truth, list(range(0, 30, 3)), rng))
    assert part.std_m > 3 * whole.std_m
    errors = [float(position_error_m(a, b)) for a, b in zip(part.T_map_camera, truth, strict=True)]
    assert max(errors) < 4 * part.std_m


def test_a_drive_of_another_place_is_refused() -> None:
    truth, rng = loop(), np.random.default_rng(2)
    drive = drifted(truth, T_DRIVE_MAP, 0.0)
    few = measurements(truth, [0, 10, 20], rng)
    with pytest.raises(MapError, match=r"3 of 3 localized poses .* < 5"):
        align_poses(drive, few)
    scattered = {
        i: (make_pose(heading(rng.uniform(0, 6)), rng.uniform(-90, 90, 3)), COVARIANCE)
        for i in range(0, 120, 8)
    }
    with pytest.raises(MapError, match="another place"):
        align_poses(drive, scattered)
    with pytest.raises(MapError, match="0 of 0"):
        align_poses(drive, {})


def test_a_drive_whose_poses_jump_is_held_by_its_localized_poses() -> None:
    truth, rng = loop(), np.random.default_rng(3)
    drive = drifted(truth, T_DRIVE_MAP, 0.0)
    drive[:, :3, 3] += rng.normal(0, (0.5, 0.5, 0.1), (len(drive), 3))  # of a GPS without correction
    drive[70, :3, 3] += (2.0, 1.5, 0.0)  # a reflection: the localized pose is right
    aligned = align_poses(drive, measurements(truth, list(range(0, 120, 2)), rng))
    errors = [float(position_error_m(a, b)) for a, b in zip(aligned.T_map_camera, truth, strict=True)]
    assert errors[70] < 0.2
    assert aligned.step_factors[0] > 5
    assert aligned.step_factors[1] < 2
    assert not aligned.is_outlier.any()
    # Between two localized poses the steps add some of their noise.
    assert np.median(errors[::2]) < 0.06
    assert np.median(errors) < 0.3
    assert "times as uncertain" in str(aligned)
