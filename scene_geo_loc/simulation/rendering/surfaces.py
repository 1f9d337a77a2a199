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

"""Flat surfaces of a mesh: their planes, texture coordinates and tints, ready for shading."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.rendering.mesh import Mesh, flat_normals

F32 = NDArray[np.float32]

SKY = -1
"""Surface of a ray that hits nothing."""


class SurfacePoints(NamedTuple):
    """Properties of the surfaces at N points, (N,) each.

    Attributes:
        nx, ny, nz: unit normal for shading, on either side.
        ux, uy, uz, vx, vy, vz: gradients of the texture coordinates u and v.
        u, v: texture coordinates at the origin of the map.
        red, green, blue: tint.
        texture: index into a TextureBank.
    """

    nx: F32
    ny: F32
    nz: F32
    ux: F32
    uy: F32
    uz: F32
    vx: F32
    vy: F32
    vz: F32
    u: F32
    v: F32
    red: F32
    green: F32
    blue: F32
    texture: NDArray[np.int32]


class Surfaces:
    """Surfaces of a mesh; triangles of one polygon that share plane, texture and tint are one surface.

    Attributes:
        of_triangle: (T,) surface of each triangle, which is the index of the surface's first triangle.
    """

    def __init__(self, mesh: Mesh) -> None:
        corners = mesh.corners.astype(np.float64)
        gradients, offsets = _texture_maps(corners, mesh.uv.astype(np.float64))
        plane = flat_normals(corners)
        self._planes = np.column_stack([plane, np.einsum("ti,ti->t", corners[:, 0], plane)]).astype(
            np.float32
        )
        # A row of 16 numbers is one cache line.
        self._rows = np.zeros((len(mesh), 16), np.float32)
        self._rows[:, :3] = mesh.normal
        self._rows[:, 3:9] = gradients.reshape(-1, 6)
        self._rows[:, 9:11] = offsets
        self._rows[:, 11:14] = mesh.tint
        self._rows[:, 14] = mesh.texture
        self.of_triangle = self._merged(mesh.corners)

    def _merged(self, corners: F32) -> NDArray[np.int32]:
        """Merges the triangles of a fan, which follow each other and share an edge."""
        rows, planes = self._rows, self._planes
        same = (corners[:-1, 0] == corners[1:, 0]).all(1) & (corners[:-1, 2] == corners[1:, 1]).all(1)
        same &= (np.abs(rows[:-1, :9] - rows[1:, :9]) < 1e-4).all(1) & (rows[:-1, 11:] == rows[1:, 11:]).all(
            1
        )
        same &= (np.abs(planes[:-1] - planes[1:]) < 1e-3).all(1)
        first = np.arange(len(rows), dtype=np.int32)
        first[1:][same] = 0
        return np.maximum.accumulate(first)

    def at(self, surface: NDArray[np.int32]) -> SurfacePoints:
        """Returns the properties of surfaces (N,)."""
        columns = cv2.transpose(self._rows.take(surface, axis=0))
        return SurfacePoints._make([*columns[:14], columns[14].astype(np.int32)])

    def distance(self, eye: F32, directions: F32, surface: NDArray[np.int32]) -> F32:
        """Returns the distances (N,) along unit directions (N, 3) from a point (3,) to planes of surfaces."""
        planes = self._planes.take(surface, axis=0)
        along = np.einsum("ni,ni->n", planes[:, :3], directions)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((planes[:, 3] - planes[:, :3] @ eye) / along)


def _texture_maps(corners: NDArray, uv: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns texture coordinates as affine functions: gradients (T, 2, 3) in the plane, offsets (T, 2)."""
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    d1, d2 = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    normal = np.cross(e1, e2)
    area = np.square(normal).sum(1)[:, None]
    flat = area[:, 0] < 1e-14
    along_1, along_2 = np.cross(e2, normal), np.cross(normal, e1)
    gradients = d1[:, :, None] * along_1[:, None] + d2[:, :, None] * along_2[:, None]
    gradients /= np.maximum(area, 1e-14)[:, None]
    gradients[flat] = 0
    return gradients, uv[:, 0] - np.einsum("tki,ti->tk", gradients, corners[:, 0])
