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

"""Triangle meshes with textures and tints, built piece by piece in local frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Mesh:
    """Triangles that share no vertices.

    Attributes:
        corners: (T, 3, 3) float32 metres in the map.
        uv: (T, 3, 2) float32 texture coordinates in metres, v upwards.
        texture: (T,) int32 index into a TextureBank.
        tint: (T, 3) float32, multiplies the texture's colour (linear light).
        normal: (T, 3) float32 unit normals for shading; surfaces are two-sided.
    """

    corners: NDArray[np.float32]
    uv: NDArray[np.float32]
    texture: NDArray[np.int32]
    tint: NDArray[np.float32]
    normal: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.corners)

    def joined(self, other: Mesh) -> Mesh:
        """Returns this mesh and another as one."""
        return Mesh(
            *(np.concatenate([getattr(self, part.name), getattr(other, part.name)]) for part in fields(self))
        )


class _Part(NamedTuple):
    """Triangles in the map, with one texture and tint or one of each; without normals the shading is flat."""

    corners: NDArray
    uv: NDArray
    texture: int | NDArray
    tint: NDArray
    normal: NDArray | None


_BOX_FACES = np.array(
    (
        ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)),
        ((0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)),
        ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1)),
        ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)),
        ((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)),
        ((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)),
    )
)
"""Corners of a box's faces: on each axis the low (0) or the high (1) end."""
_BOX_AXES = np.array(((0, 2), (0, 2), (1, 2), (1, 2), (0, 1), (0, 1)))
"""Axes of a box's faces that are the texture's u and v."""


def _cross(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Returns the cross product of two vectors (3,), faster than NumPy's."""
    (ax, ay, az), (bx, by, bz) = np.asarray(a).tolist(), np.asarray(b).tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def flat_normals(corners: NDArray) -> NDArray[np.float32]:
    """Returns unit normals (T, 3) of triangles (T, 3, 3); the z axis for degenerate ones."""
    n = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(n, axis=1, keepdims=True)
    return np.where(length > 1e-12, n / np.maximum(length, 1e-12), (0.0, 0.0, 1.0)).astype(np.float32)


class MeshBuilder:
    """Collects triangles given in the current local frame (x right, y away from the viewer, z up)."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._origin = np.zeros(3)
        self._rotation = np.eye(3)

    @contextmanager
    def frame(self, origin: ArrayLike, x_axis: ArrayLike) -> Iterator[None]:
        """Sets the local frame: at `origin` (2 or 3 numbers), with its x axis along `x_axis` (2)."""
        before = self._origin, self._rotation
        cx, cy = np.asarray(x_axis, float) / np.linalg.norm(x_axis)
        shift = np.append(origin, 0.0) if len(np.asarray(origin)) == 2 else np.asarray(origin, float)
        self._origin = before[1] @ shift + before[0]
        self._rotation = before[1] @ np.array([[cx, -cy, 0.0], [cy, cx, 0.0], [0.0, 0.0, 1.0]])
        yield
        self._origin, self._rotation = before

    def triangles(
        self,
        corners: NDArray,
        uv: NDArray,
        texture: int,
        tint: ArrayLike = WHITE,
        normal: NDArray | None = None,
    ) -> None:
        """Adds triangles (T, 3, 3) with uv (T, 3, 2), one texture, a tint (3,) or (T, 3)."""
        world = np.asarray(corners, np.float64) @ self._rotation.T + self._origin
        turned = None if normal is None else normal @ self._rotation.T
        self._parts.append(_Part(world, np.asarray(uv), texture, np.asarray(tint), turned))

    def add(self, mesh: Mesh) -> None:
        """Adds a copy of a mesh, built in a frame of its own, to the current frame."""
        world = mesh.corners.astype(np.float64) @ self._rotation.T + self._origin
        self._parts.append(_Part(world, mesh.uv, mesh.texture, mesh.tint, mesh.normal @ self._rotation.T))

    def quads(self, corners: NDArray, uv: NDArray, texture: int, tint: ArrayLike = WHITE) -> None:
        """Adds quadrilaterals (Q, 4, 3), corners in order around, with uv (Q, 4, 2)."""
        corners, uv = np.asarray(corners, float), np.asarray(uv, float)
        tint = np.asarray(tint, np.float32)
        pairs = [[0, 1, 2], [0, 2, 3]]
        self.triangles(
            corners[:, pairs].reshape(-1, 3, 3),
            uv[:, pairs].reshape(-1, 3, 2),
            texture,
            np.repeat(tint, 2, axis=0) if tint.ndim == 2 else tint,
        )

    def walls(
        self, x0: ArrayLike, x1: ArrayLike, z0: ArrayLike, z1: ArrayLike, y: ArrayLike, texture: int
    ) -> None:
        """Adds upright rectangles that face the street, textured by (x, z); arrays broadcast."""
        rows = np.stack([part.ravel() for part in np.broadcast_arrays(*np.atleast_1d(x0, x1, z0, z1, y))])
        a, b, low, high, depth = rows[:, (rows[1] - rows[0] > 1e-6) & (rows[3] - rows[2] > 1e-6)]
        corners = np.stack(
            [np.stack([a, b, b, a], 1), np.repeat(depth[:, None], 4, 1), np.stack([low, low, high, high], 1)],
            2,
        )
        self.quads(corners, corners[..., [0, 2]], texture)

    def polygon(self, corners: ArrayLike, texture: int, tint: ArrayLike = WHITE) -> None:
        """Adds a flat convex polygon (N, 3), textured in its own plane: u level, v up the slope.

        Its normal points upwards for either order of the corners.
        """
        points = np.asarray(corners, float)
        n = _cross(points[1] - points[0], points[2] - points[0])
        if n[2] < 0:
            points = points[::-1]
            n = _cross(points[1] - points[0], points[2] - points[0])
        level = np.hypot(n[0], n[1])
        u = np.array([1.0, 0.0, 0.0]) if level < 1e-9 else np.array([-n[1], n[0], 0.0]) / level
        v = _cross(n / np.linalg.norm(n), u)
        uv = np.stack([points @ u, points @ v], 1)
        fan = [[0, i, i + 1] for i in range(1, len(points) - 1)]
        self.triangles(points[fan], uv[fan], texture, tint)

    def boxes(self, low: ArrayLike, high: ArrayLike, texture: int, tint: ArrayLike = WHITE) -> None:
        """Adds boxes from `low` (N, 3) to `high` (N, 3); the normals of their undersides point down."""
        low, high = np.atleast_2d(np.asarray(low, float)), np.atleast_2d(np.asarray(high, float))
        corners = np.stack([low, high], 1)[:, _BOX_FACES, np.arange(3)].swapaxes(0, 1)
        uv = np.take_along_axis(corners, _BOX_AXES[:, None, None], axis=3)
        self.quads(corners.reshape(-1, 4, 3), uv.reshape(-1, 4, 2), texture, tint)

    def cylinder(
        self,
        start: ArrayLike,
        end: ArrayLike,
        radius: tuple[float, float],
        texture: int,
        tint: ArrayLike = WHITE,
        sides: int = 8,
        cap: bool = False,
    ) -> None:
        """Adds a cone frustum between two points, its radius from `radius[0]` to `radius[1]`."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        axis = (b - a) / np.linalg.norm(b - a)
        side = _cross(axis, (1.0, 0.0, 0.0) if abs(axis[0]) < 0.9 else (0.0, 1.0, 0.0))
        side /= np.linalg.norm(side)
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * _cross(axis, side)
        low, high = a + radius[0] * ring, b + radius[1] * ring
        corners = np.stack([low[:-1], low[1:], high[1:], high[:-1]], 1)
        around, height = angle * max(radius), np.linalg.norm(b - a)
        uv = np.zeros((sides, 4, 2))
        uv[:, [0, 3], 0], uv[:, [1, 2], 0], uv[:, 2:, 1] = around[:-1, None], around[1:, None], height
        self.quads(corners, uv, texture, tint)
        if cap:
            self.polygon(high[:-1], texture, tint)

    def ribbons(
        self,
        starts: NDArray,
        ends: NDArray,
        radius_start: NDArray,
        radius_end: NDArray,
        texture: int,
        tint: ArrayLike,
    ) -> None:
        """Adds branches from `starts` (N, 3) to `ends` (N, 3), each two crossed strips."""
        axis = ends - starts
        axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
        helper = np.where(np.abs(axis[:, 2:]) > 0.8, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
        side = np.cross(axis, helper)
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        a, b = radius_start[:, None], radius_end[:, None]
        length = np.linalg.norm(ends - starts, axis=1)
        for across in (side, np.cross(axis, side)):
            corners = np.stack(
                [starts - a * across, starts + a * across, ends + b * across, ends - b * across], 1
            )
            uv = np.zeros((len(starts), 4, 2))
            uv[:, 1:3, 0] = 2 * a
            uv[:, 2:, 1] = length[:, None]
            self.quads(corners, uv, texture, tint)

    def mesh(self) -> Mesh:
        """Returns all triangles added so far."""
        if not self._parts:
            return Mesh(
                np.zeros((0, 3, 3), np.float32),
                np.zeros((0, 3, 2), np.float32),
                np.zeros(0, np.int32),
                np.zeros((0, 3), np.float32),
                np.zeros((0, 3), np.float32),
            )
        counts = [len(part.corners) for part in self._parts]
        count = sum(counts)
        mesh = Mesh(
            np.concatenate([part.corners for part in self._parts], dtype=np.float32, casting="same_kind"),
            np.concatenate([part.uv for part in self._parts], dtype=np.float32, casting="same_kind"),
            np.empty(count, np.int32),
            np.empty((count, 3), np.float32),
            np.zeros((count, 3), np.float32),
        )
        end = 0
        for part, size in zip(self._parts, counts, strict=True):
            rows = slice(end, end + size)
            mesh.texture[rows], mesh.tint[rows] = part.texture, part.tint
            if part.normal is not None:
                mesh.normal[rows] = part.normal
            end += size
        flat = ~mesh.normal.any(1)
        mesh.normal[flat] = flat_normals(mesh.corners[flat])
        return mesh
