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

"""Motion of the vehicle: a line within its lane, a speed limited by the bends, pitch and roll."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.town.plan import StreetPlan

LANE_M = -1.2
"""Middle of the lane in metres to the left of the centre line, in right-hand traffic."""

_GRID_M = 0.25
_LATERAL_LIMIT = 2.2
_BRAKING, _THRUST = 1.8, 1.3


class Motion:
    """A drive along a part of the loop.

    Args:
        start, length: part of the loop in metres.
        speed: cruising speed in metres per second.
        seed: of the line, the speed and the stops; each seed gives another drive.
        lane: mean distance of the vehicle to the left of the centre line in metres.

    Attributes:
        duration: of the drive in seconds.
        way: length of the driven line in metres.
    """

    def __init__(
        self,
        plan: StreetPlan,
        start: float,
        length: float,
        speed: float,
        seed: int,
        lane: float = LANE_M,
    ) -> None:
        rng = stream(plan.seed, "motion", seed)
        margin = 12.0
        along = np.arange(start - margin, start + length + margin, _GRID_M)
        lateral = np.full(len(along), lane + rng.uniform(-0.25, 0.25))
        for wavelength in (29.0, 53.0, 97.0):
            lateral += rng.uniform(0.04, 0.15) * np.sin(along / wavelength * 2 * np.pi + rng.uniform(0, 7))
        # The driver smooths the abrupt ends of the street's arcs.
        xy = gaussian_filter1d(plan.at(along, lateral), 2.5 / _GRID_M, axis=0, mode="nearest")
        inside = slice(int(margin / _GRID_M), int((margin + length) / _GRID_M) + 1)
        xy = xy[inside]
        self._q = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
        self._line = CubicSpline(self._q, xy)
        self._phases = rng.uniform(0, 2 * np.pi, (3, 3))
        self._speed = self._speed_profile(speed, rng)
        mean = (self._speed[1:] + self._speed[:-1]) / 2
        t = np.concatenate([[0.0], np.cumsum(np.diff(self._q) / mean)])
        waits = np.zeros(len(t))
        waits[self._stops] = rng.uniform(1.2, 2.5, len(self._stops))
        # A stop has two times: the arrival and the departure.
        self._t = np.insert(t + np.cumsum(waits), self._stops, (t + np.cumsum(waits) - waits)[self._stops])
        self._way = np.insert(self._q, self._stops, self._q[self._stops])
        self.duration, self.way = float(self._t[-1]), float(self._q[-1])
        push = gaussian_filter1d(np.gradient(self._speed**2 / 2, self._q), 1.0 / _GRID_M)
        self._pitch = -0.006 * push
        self._roll = 0.008 * gaussian_filter1d(self._speed**2 * self._curvature(self._q), 1.0 / _GRID_M)

    def _curvature(self, q: NDArray) -> NDArray[np.float64]:
        d1, d2 = self._line(q, 1), self._line(q, 2)
        return (d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]) / np.maximum(np.linalg.norm(d1, axis=1), 1e-9) ** 3

    def _speed_profile(self, speed: float, rng: np.random.Generator) -> NDArray[np.float64]:
        q = self._q
        wish = speed * (1 + 0.08 * np.sin(q / rng.uniform(40, 80) + rng.uniform(0, 7)))
        bend = np.abs(gaussian_filter1d(self._curvature(q), 2.0 / _GRID_M))
        limit = np.minimum(wish, np.sqrt(_LATERAL_LIMIT / np.maximum(bend, 1e-6)))
        self._stops: list[int] = []
        for block in range(int(q[-1] / 200)):
            at = int(np.searchsorted(q, (block + rng.uniform(0.2, 0.8)) * 200))
            if rng.random() < 0.7 and 20 < at < len(q) - 20:
                self._stops.append(at)
                limit[at] = 0.0
        steps = np.diff(q)
        for i in range(1, len(q)):
            limit[i] = min(limit[i], np.sqrt(limit[i - 1] ** 2 + 2 * _THRUST * steps[i - 1]))
        for i in range(len(q) - 2, -1, -1):
            limit[i] = min(limit[i], np.sqrt(limit[i + 1] ** 2 + 2 * _BRAKING * steps[i]))
        return limit

    def seconds_at(self, way: ArrayLike) -> NDArray[np.float64]:
        """Returns the times (N,) at which the vehicle has driven distances (N,) in metres."""
        return np.interp(np.asarray(way, np.float64), self._way, self._t)

    def poses(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Returns T_map_base (N, 4, 4) at times (N,) in seconds from the start."""
        t = np.atleast_1d(np.asarray(seconds, float))
        q = np.interp(t, self._t, self._way)
        tangent = self._line(q, 1)
        yaw = np.arctan2(tangent[:, 1], tangent[:, 0])
        # Unevenness of the road is a function of distance, so a stopped vehicle does not move.
        bumps = [
            sum(np.sin(q / w + p) for w, p in zip((0.9, 2.3, 5.1), row, strict=True)) for row in self._phases
        ]
        pitch = np.interp(q, self._q, self._pitch) + 0.0012 * bumps[0]
        roll = np.interp(q, self._q, self._roll) + 0.0012 * bumps[1]
        out = np.tile(np.eye(4), (len(t), 1, 1))
        out[:, :3, :3] = Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], 1)).as_matrix()
        out[:, :2, 3] = self._line(q)
        out[:, 2, 3] = 0.004 * bumps[2]
        return out

    def velocities(self, seconds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns linear and angular velocity (N, 3) in base_link, metres and radians per second."""
        t = np.atleast_1d(np.asarray(seconds, float))
        step = 0.01
        before = self.poses(np.clip(t - step, 0, self.duration))
        after = self.poses(np.clip(t + step, 0, self.duration))
        span = np.clip(t + step, 0, self.duration) - np.clip(t - step, 0, self.duration)
        R = self.poses(t)[:, :3, :3]
        linear = np.einsum("nji,nj->ni", R, (after - before)[:, :3, 3] / span[:, None])
        turn = Rotation.from_matrix(np.swapaxes(before[:, :3, :3], 1, 2) @ after[:, :3, :3]).as_rotvec()
        return linear, turn / span[:, None]
