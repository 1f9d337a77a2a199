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
"""Rays of an image's pixels, and the light along them, with antialiased edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.rendering.lattice import PixelLattice
from scene_geo_loc.simulation.rendering.night import Moment
from scene_geo_loc.simulation.rendering.render import Scene

F32 = NDArray[np.float32]


class PixelRays:
    """Rays from one point through the pixels of an image, of any projection.

    Args:
        directions: (H * W, 3) unit vectors through the pixels' centres, row by row.
        corners: (H * W, 3) unit vectors through the pixels' lower right corners.
        pixel_angle: angle in radians between the rays of neighbouring pixels.
        lattice: of the image's size, where another image of that size has one already.
    """

    def __init__(
        self,
        width: int,
        height: int,
        directions: F32,
        corners: F32,
        pixel_angle: float,
        lattice: PixelLattice | None = None,
    ) -> None:
        self.width, self.height = width, height
        self.directions, self.corners = directions, corners
        self.pixel_angle = pixel_angle
        self.lattice = lattice or PixelLattice(width, height)

    def light(
        self, scene: Scene, eye: F32, R_map_rays: F32, dither: F32, moment: Moment | None = None
    ) -> tuple[F32, F32]:
        """Returns linear light (H, W, 3), and distances (H, W) in metres, inf for the sky.

        Rays are saved where the pixels around see one surface: details narrower than two pixels may lack in
        places.

        Args:
            eye: (3,) in the map.
            R_map_rays: (3, 3) turns the rays' axes to the map's.
            dither: (H * W,) in [0, 1), see TextureBank.sample.
            moment: see Scene.radiance.
        """
        shape = self.height, self.width
        directions = self.directions @ R_map_rays.T
        light, hits = scene.radiance(eye, directions, self.pixel_angle, dither, moment, self.lattice)
        light, distance = light.reshape(*shape, 3), hits.distance.reshape(shape)
        return self._smooth_edges(scene, eye, R_map_rays, light, distance, dither, moment), distance

    def _smooth_edges(
        self,
        scene: Scene,
        eye: F32,
        R_map_rays: F32,
        light: F32,
        distance: F32,
        dither: F32,
        moment: Moment | None,
    ) -> F32:
        """Antialiases edges: averages their pixels with rays through two of the pixels' corners.

        Every other corner of the image serves all four pixels around it.
        """
        rows, columns = np.nonzero(_is_edge(distance))
        if not len(rows):
            return light
        # Two opposite corners of each pixel, of those whose row and column have an even sum.
        left = np.maximum(columns - 1, 0)
        above = np.maximum(rows - 1, 0)
        is_even = (rows + columns) % 2 == 0
        one = np.where(is_even, rows, above) * self.width + columns
        other = np.where(is_even, above, rows) * self.width + left
        cast = np.zeros(distance.size, bool)
        cast[one] = cast[other] = True
        chosen = np.flatnonzero(cast)
        directions = self.corners[chosen] @ R_map_rays.T
        found, _ = scene.radiance(eye, directions, self.pixel_angle, dither[chosen], moment)
        corners = np.empty((distance.size, 3), np.float32)
        corners[chosen] = found
        around = corners.take(one, axis=0) + corners.take(other, axis=0)
        light[rows, columns] = light[rows, columns] * np.float32(0.5) + around * np.float32(0.25)
        return light


def _is_edge(distance: F32) -> NDArray[np.bool_]:
    """Returns a mask (H, W) of edges and creases, where the inverse distance is not linear."""
    near = 1 / distance
    bend = np.abs(cv2.filter2D(near, -1, np.array([[1, -2, 1]], np.float32)))
    bend += np.abs(cv2.filter2D(near, -1, np.array([[1], [-2], [1]], np.float32)))
    return bend > 0.015 * near + 1e-4
