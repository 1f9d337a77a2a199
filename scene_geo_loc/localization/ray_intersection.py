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

"""Depth of a query's matches by each other: rays of keyframes at two places that meet give a point.

Where a feature of the query matches features without depth of keyframes at two places, these see the same
point, and the known poses of the keyframes give its place.  Epipolar constraints alone leave the position
along the line through the places open when the query is on it, as it is in a street; such points do not.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.localization.estimate import Matches
from scene_geo_loc.localization.pnp import UNKNOWN_DEPTH_M, depth_is_known
from scene_geo_loc.mapping.keyframe_depth.keyframe_depth import MAX_DEPTH_ERROR

SIGMA_PX = 1.0
"""Standard deviation of the direction of a ray, in pixels of the network's input."""

GATE_SIGMAS = 3.0
"""Rays meet where they miss each other by at most this many standard deviations."""

MOST_RAYS = 5
"""Most rays of one feature of the query that are intersected with each other."""


def intersected(matches: Matches, focal_px: float) -> Matches:
    """Returns the matches, those without depth as points where two rays of one feature of the query meet.

    Each takes the depth with the least standard deviation among the intersections of its ray.  Depth with a
    relative error above `MAX_DEPTH_ERROR` stays unknown.

    Args:
        focal_px: focal length of the keyframes at the size of the network's input.
    """
    rows = np.flatnonzero(~depth_is_known(matches.points_sigma, len(matches)))
    order = np.lexsort(matches.query_pixels[rows].T)
    rows = rows[order]
    if len(rows) < 2:
        return matches
    pixels = matches.query_pixels[rows]
    directions = matches.points_sigma[rows] / UNKNOWN_DEPTH_M
    origins = matches.points_map[rows] - directions
    depth, error = np.full(len(rows), np.nan), np.full(len(rows), MAX_DEPTH_ERROR)
    sigma = SIGMA_PX / focal_px
    for lag in range(1, min(MOST_RAYS, len(rows))):
        first = np.flatnonzero((pixels[lag:] == pixels[:-lag]).all(axis=1))
        second = first + lag
        for a, b in ((first, second), (second, first)):
            found, relative = _depth_of_meeting(origins[a], directions[a], origins[b], directions[b], sigma)
            better = relative < error[a]
            depth[a[better]], error[a[better]] = found[better], relative[better]
    known = np.isfinite(depth)
    points_map, points_sigma = matches.points_map.copy(), matches.points_sigma.copy()
    lifted = depth[known, None] * directions[known]
    points_map[rows[known]] = origins[known] + lifted
    points_sigma[rows[known]] = error[known, None] * lifted
    return replace(matches, points_map=points_map, points_sigma=points_sigma)


def _depth_of_meeting(
    origins: NDArray[np.float64],
    directions: NDArray[np.float64],
    other_origins: NDArray[np.float64],
    other_directions: NDArray[np.float64],
    sigma: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns depths (n,) of rays where they are nearest to others, and their relative errors (n,).

    The error is infinite where the rays do not meet in front of both keyframes.

    Args:
        sigma: standard deviation of a direction, radians.
    """
    length = np.linalg.norm(directions, axis=1)
    d, e = directions / length[:, None], other_directions / np.linalg.norm(other_directions, axis=1)[:, None]
    between, normal = other_origins - origins, np.cross(d, e)
    sine = np.linalg.norm(normal, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (np.cross(between, e) * normal).sum(axis=1) / sine**2
        other = (np.cross(between, d) * normal).sum(axis=1) / sine**2
        missed = np.abs((between * normal).sum(axis=1)) / sine
        meets = (along > 0) & (other > 0) & (missed <= GATE_SIGMAS * sigma * np.hypot(along, other))
        relative = sigma * np.hypot(other, along * np.sqrt(1 - np.minimum(sine, 1) ** 2)) / (sine * along)
    return along / length, np.where(meets, relative, np.inf)
