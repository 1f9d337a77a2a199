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

"""Motion of the simulated vehicle."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.geometry.pose import rotation_error_deg
from scene_geo_loc.simulation.town.city import City
from scene_geo_loc.simulation.vehicle.motion import Motion


def test_two_drives_never_take_quite_the_same_line_but_keep_to_the_lane(city: City) -> None:
    lines = [Motion(city.plan, 0, 300, 8.0, seed) for seed in (1, 2)]
    where = []
    for motion in lines:
        xy = motion.poses(np.arange(0, motion.duration, 0.5))[:, :2, 3]
        distance, away = city.plan.nearest(xy)
        assert (away < 2.4).all()
        heading = city.plan.heading(distance)
        left = np.stack([-np.sin(heading), np.cos(heading)], 1)
        lateral = np.einsum("ij,ij->i", xy - city.plan.at(distance), left)
        assert (lateral < 0).all(), "traffic keeps to the right"
        where.append(np.interp(np.arange(5, 295, 5.0), distance, lateral))
    assert np.abs(where[0] - where[1]).mean() > 0.05
    assert np.abs(where[0] - where[1]).max() < 1.2


def test_the_vehicle_moves_smoothly_and_leans_only_a_little(city: City) -> None:
    motion = Motion(city.plan, 0, 400, 8.0, seed=3)
    t = np.arange(0, motion.duration, 0.02)
    poses = motion.poses(t)
    assert np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max() < 0.02 * 8.0 * 1.15
    assert rotation_error_deg(poses[:-1], poses[1:]).max() < 1.0
    up = np.degrees(np.arccos(poses[:, 2, 2].clip(-1, 1)))
    assert 0.05 < up.max() < 4.0


def test_speed_stays_below_what_a_bend_allows_and_a_long_drive_stops_once(city: City) -> None:
    motion = Motion(city.plan, 0, 900, 10.0, seed=4)
    linear, angular = motion.velocities(np.arange(0, motion.duration, 0.1))
    lateral = np.abs(linear[:, 0] * angular[:, 2])
    assert lateral.max() < 4.0
    assert np.abs(linear[:, 1]).max() < 0.3, "a car does not move sideways"
    assert (np.abs(linear[:, 0]) < 0.05).any()
    assert 9.5 < linear[:, 0].max() < 11.0
