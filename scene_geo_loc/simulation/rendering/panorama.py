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
"""Renders panoramas of all directions, as of one camera or stitched from those of a rosette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.lattice import PixelLattice
from scene_geo_loc.simulation.rendering.photo import Photographer
from scene_geo_loc.simulation.rendering.pixel_rays import PixelRays
from scene_geo_loc.simulation.rendering.render import Scene

F32 = NDArray[np.float32]

_ROWS, _COLUMNS = 128, 1024
"""Largest tile that is rendered at once, in pixels: its arrays stay small."""


@dataclass(frozen=True)
class Rosette:
    """Cameras on a circle that look outwards, whose images are stitched to a panorama.

    Near surfaces are cut at the seams, since each camera has its own centre.

    Attributes:
        cameras: number of cameras.
        radius_m: of the circle.
        stitched_m: distance of the surfaces that the stitching aligns.
        blend_deg: width of the zone about a seam in which two images are blended.
        gain_std, balance_std: relative standard deviations of the cameras' exposures, and of each colour.
    """

    cameras: int = 15
    radius_m: float = 0.1
    stitched_m: float = 15.0
    blend_deg: float = 3.0
    gain_std: float = 0.04
    balance_std: float = 0.015


class PanoramaView:
    """Renders equirectangular panoramas (`geometry.equirectangular`).

    Args:
        height: half the width, where pixels are square.
        rosette: cameras of a stitched panorama; None for one camera that sees everything.
    """

    def __init__(
        self, scene: Scene, width: int, height: int, seed: int = 0, rosette: Rosette | None = None
    ) -> None:
        self.scene, self.seed, self.rosette = scene, seed, rosette
        self.image = Equirectangular(width, height)
        # The sensors of a rosette are balanced, so that nothing is darker in the corners.
        self._photographer = Photographer(
            scene.condition, width, height, seed, vignette=0.0, exposed=(1 / 3, 2 / 3)
        )
        self._lattices: dict[tuple[int, int], PixelLattice] = {}

    def take(self, T_map_panorama: Pose, number: int) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3); `number` seeds its noise."""
        return self._photographer.develop(self.light(T_map_panorama, number), number)

    def light(self, T_map_panorama: Pose, number: int) -> F32:
        """Returns linear light (H, W, 3)."""
        dither = stream(self.seed, "dither", number).random((self.image.height, self.image.width), np.float32)
        if self.rosette is None:
            return self._light(T_map_panorama, np.arange(self.image.width), dither)
        return self._stitched(self.rosette, T_map_panorama, dither)

    def _stitched(self, rosette: Rosette, T_map_panorama: Pose, dither: F32) -> F32:
        width = self.image.width
        out = np.zeros((self.image.height, width, 3), np.float32)
        for camera, (columns, share) in enumerate(seams(rosette, width)):
            azimuth = (camera + 0.5) * 2 * np.pi / rosette.cameras - np.pi
            centre = rosette.radius_m * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
            light = self._light(T_map_panorama, columns, dither, centre, rosette.stitched_m)
            rng = stream(self.seed, "rosette", camera)
            colour = np.exp(rng.normal(0, rosette.gain_std) + rng.normal(0, rosette.balance_std, 3))
            out[:, columns] += light * (share[None, :, None] * colour.astype(np.float32))
        return out

    def _light(
        self,
        T_map_panorama: Pose,
        columns: NDArray[np.intp],
        dither: F32,
        centre: NDArray[np.float64] | None = None,
        stitched_m: float = np.inf,
    ) -> F32:
        """Returns the linear light (H, len(columns), 3) that a camera at a centre (3,) of the panorama sees.

        Pixels show the directions from there to points at the stitched distance from the panorama's centre.
        """
        height = self.image.height
        out = np.empty((height, len(columns), 3), np.float32)
        offset = np.zeros(3) if centre is None else centre
        eye = (T_map_panorama[:3, :3] @ offset + T_map_panorama[:3, 3]).astype(np.float32)
        R = T_map_panorama[:3, :3].astype(np.float32)

        for top in range(0, height, _ROWS):
            rows = np.arange(top, min(top + _ROWS, height))
            for left in range(0, len(columns), _COLUMNS):
                part = columns[left : left + _COLUMNS]
                size = len(part), len(rows)
                if size not in self._lattices:
                    self._lattices[size] = PixelLattice(*size)
                rays = PixelRays(
                    *size,
                    self._directions(part, rows, offset / stitched_m),
                    self._directions(part + 0.5, rows + 0.5, offset / stitched_m),
                    2 * np.pi / self.image.width,
                    self._lattices[size],
                )
                tile = dither[np.ix_(rows, part)].ravel()
                out[rows, left : left + len(part)], _ = rays.light(self.scene, eye, R, tile)
        return out

    def _directions(self, columns: NDArray, rows: NDArray, shift: NDArray[np.float64]) -> F32:
        """Returns unit directions (N, 3) of a grid of pixels, row by row, from a shifted centre (3,)."""
        horizon, middle = (self.image.height - 1) / 2, (self.image.width - 1) / 2
        ahead = self.image.rays(np.stack([columns, np.full(len(columns), horizon)], 1)).astype(np.float32)
        upright = self.image.rays(np.stack([np.full(len(rows), middle), rows], 1)).astype(np.float32)
        out = np.empty((len(rows), len(columns), 3), np.float32)
        out[..., 0] = upright[:, 2:] * ahead[:, 0]
        out[..., 1] = upright[:, 1:2]
        out[..., 2] = upright[:, 2:] * ahead[:, 2]
        if shift.any():
            out -= shift.astype(np.float32)
            out /= np.linalg.norm(out, axis=2, keepdims=True)
        return out.reshape(-1, 3)


def seams(rosette: Rosette, width: int) -> list[tuple[NDArray[np.intp], F32]]:
    """Returns for each camera its columns of a panorama, and its share (N,) in each of them.

    The shares of all cameras sum to 1 in each column.
    """
    sector = width / rosette.cameras
    blend = rosette.blend_deg / 360 * width
    out = []
    for camera in range(rosette.cameras):
        begin, end = camera * sector - blend / 2, (camera + 1) * sector + blend / 2
        columns = np.arange(int(np.ceil(begin - 0.5)), int(np.ceil(end - 0.5)))
        share = np.ones(len(columns))
        if blend:
            share = np.clip(np.minimum(columns + 0.5 - begin, end - columns - 0.5) / blend, 0.0, 1.0)
        out.append((columns % width, share.astype(np.float32)))
    return out
