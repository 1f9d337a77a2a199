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

"""Oncoming cars at night, whose lights shine on the road and into the camera."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.night import Moment
from scene_geo_loc.simulation.town.plan import StreetPlan
from scene_geo_loc.simulation.vehicle.motion import Motion

_GAP_M, _SPEED = 100.0, 8.0
_LATERAL_M, _SIGHT_M = 1.9, 90.0


class Traffic:
    """Cars in the oncoming lane.  They have lights but no body, since little else is visible at night."""

    def __init__(self, plan: StreetPlan, motion: Motion, seed: int) -> None:
        self._plan, self._motion = plan, motion
        rng = stream(plan.seed, "traffic", seed)
        self._starts = rng.uniform(0, plan.length, max(1, round(plan.length / _GAP_M)))

    def moment(self, seconds: float) -> Moment:
        """Returns the vehicle and the cars around it, `seconds` after the start of the drive."""
        T_map_base = self._motion.poses(seconds)[0]
        linear, angular = self._motion.velocities(seconds)
        s = self._starts - _SPEED * seconds
        xy = self._plan.at(s, _LATERAL_M)
        away = np.linalg.norm(xy - T_map_base[:2, 3], axis=1)
        near = np.argsort(away)[: int((away < _SIGHT_M).sum())]
        heading = self._plan.heading(s[near]) + np.pi
        others = np.tile(np.eye(4), (len(near), 1, 1))
        others[:, 0, 0] = others[:, 1, 1] = np.cos(heading)
        others[:, 1, 0], others[:, 0, 1] = np.sin(heading), -np.sin(heading)
        others[:, :2, 3] = xy[near]
        return Moment(T_map_base, linear[0], angular[0], others)
