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

"""Point lights that shine into the camera: smaller than a pixel, brighter than everything else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, transform
from scene_geo_loc.simulation.rendering.night import F32, HEADLIGHT, TAIL_LIGHT, Lamps, Moment
from scene_geo_loc.simulation.rendering.render import Scene

_RANGE_M = 160.0
_RADIUS_M = 0.05


class Glints(NamedTuple):
    """Point lights: position (N, 3) in metres, and intensity (N, 3) as radiance times area."""

    position: F32
    intensity: F32


def glints(lamps: Lamps, moment: Moment | None, eye: F32) -> Glints:
    """Returns the lamps, and the front or rear lights of other cars, that face a point (3,) of the map."""
    places, intensities = [lamps.position], [lamps.light * np.float32(1.6)]
    for T in moment.others if moment is not None else ():
        to_eye = eye - T[:3, 3]
        facing = float(to_eye @ T[:3, 0]) / max(float(np.linalg.norm(to_eye)), 1e-6)
        # Headlights are brightest along their beams; tail lights shine wide.
        colour = np.array(HEADLIGHT) * (0.3 + 9 * facing**24) if facing > 0 else np.array(TAIL_LIGHT) * 0.3
        front = 1.95 if facing > 0 else -2.2
        lights = np.array([(front, side, 0.65) for side in (-0.62, 0.62)])
        places.append((lights @ T[:3, :3].T + T[:3, 3]).astype(np.float32))
        intensities.append(np.tile(colour, (2, 1)).astype(np.float32))
    return Glints(np.concatenate(places), np.concatenate(intensities))


def add_glints(light: F32, scene: Scene, camera: Camera, T_map_camera: Pose, moment: Moment | None) -> None:
    """Adds the point lights that a camera sees to its linear image (H, W, 3)."""
    eye = T_map_camera[:3, 3].astype(np.float32)
    found = glints(scene.lamps, moment, eye)
    seen = transform(inverse(T_map_camera), found.position.astype(np.float64))
    away = np.linalg.norm(seen, axis=1)
    pixels = camera.project(seen)
    with np.errstate(invalid="ignore"):
        inside = ((pixels > -0.5) & (pixels < np.array([camera.width, camera.height]) - 0.5)).all(1)
        # Distortion may project a point far outside the image back into it.
        inside &= (seen[:, 2] > 0.2 * away) & (away < _RANGE_M) & (away > 0.5)
    chosen = np.flatnonzero(inside)
    if not len(chosen):
        return
    for i in chosen[scene.shines_through(eye, found.position[chosen])]:
        pixels_a_metre = camera.fx / away[i]
        sigma = max(0.7, _RADIUS_M * pixels_a_metre)
        _splat(light, pixels[i], sigma, found.intensity[i] * np.float32(pixels_a_metre**2))


def _splat(light: F32, pixel: NDArray[np.float64], sigma: float, energy: F32) -> None:
    """Adds a Gaussian spot whose sum over the image is `energy` (3,)."""
    reach = int(np.ceil(5 * sigma))
    u, v = (round(float(x)) for x in pixel)
    rows = np.arange(max(0, v - reach), min(light.shape[0], v + reach + 1))
    columns = np.arange(max(0, u - reach), min(light.shape[1], u + reach + 1))
    spot = np.outer(
        np.exp(-np.square((rows - pixel[1]) / sigma) / 2),
        np.exp(-np.square((columns - pixel[0]) / sigma) / 2),
    )
    spot /= 2 * np.pi * sigma**2
    light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += spot[..., None].astype(np.float32) * energy
