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
"""Panoramas as they would look from beside their camera, by their coarse depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.equirectangular import Equirectangular

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LARGEST = 512
"""Most columns of a depth map that is used, as street-view services give; a finer one is thinned out."""
SKY_FROM_DEG = -5.0
"""Elevation from which directions without depth count as infinitely far: sky, or the end of the street."""
_SAME_SURFACE = 0.05
"""Relative difference of depths in one direction that are of one surface."""
_FEWEST, _MOST = 2, 32
"""Samples along each side of a facet."""


class Facets:
    """The surfaces around a panorama: a flat facet for each pixel of its depth map.

    The plane {X : m X = 1} has the inverse distance m u in the direction u, linear in u: slopes of the
    inverse distance give m, also at grazing angles.

    Attributes:
        shape: rows and columns of the depth map that is used.
        inverse: (H, W) inverse distances along the rays, 1/m; 0 where unknown.
        plane: (H, W, 3) m of each facet's plane, 1/m; 0 where unknown.
    """

    def __init__(self, distance: F32) -> None:
        """Takes distances (h, w) in metres along the rays, NaN where unknown."""
        step = -(-distance.shape[1] // LARGEST)
        distance = distance[step // 2 :: step, step // 2 :: step]
        self.shape = height, width = distance.shape
        known = np.isfinite(distance) & (distance > 0)
        self.inverse = np.where(known, 1 / np.where(known, distance, 1), 0).astype(np.float64)
        self.grid = Equirectangular(width, height)
        v, u = np.mgrid[:height, :width]
        self.rays = self.grid.rays(np.stack([u, v], axis=-1))
        self.is_sky = ~known & (self.rays[..., 1] <= np.sin(np.radians(-SKY_FROM_DEG)))
        east, south = _tangents(self.rays)
        across = _slope(self.inverse, axis=1) * (width / (2 * np.pi))
        down = _slope(self.inverse, axis=0) * (height / np.pi)
        level = np.maximum(np.hypot(self.rays[..., 0], self.rays[..., 2]), 1e-6)
        self.plane = (
            self.inverse[..., None] * self.rays + (across / level)[..., None] * east + down[..., None] * south
        )
        self.plane[~known] = 0

    def nearest_m(self, shift: F64, radius_m: float) -> float:
        """Returns how far one gets along a shift (3,) in metres before something is within a radius; inf: on.

        What is seen in the direction of the shift counts as well, however coarse the depth map is.
        """
        length = float(np.linalg.norm(shift))
        known = self.inverse > 0
        points = self.rays[known] / self.inverse[known][:, None]
        along = points @ (shift / length)
        beside = np.linalg.norm(points - along[:, None] * (shift / length), axis=1)
        near = along[(beside < radius_m) & (along > 0)]
        ahead = self.inverse[self._at(shift[None])][0]
        return min(near.min(initial=np.inf), 1 / ahead if ahead > 0 else np.inf)

    def _at(self, directions: F64) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Returns rows and columns of the pixels nearest to directions (..., 3)."""
        pixels = np.round(self.grid.project(directions))
        column = pixels[..., 0].astype(np.intp) % self.shape[1]
        return np.clip(pixels[..., 1].astype(np.intp), 0, self.shape[0] - 1), column


@dataclass(frozen=True)
class Warp:
    """View from beside a panorama's camera, in each direction of a grid (H, W) as of its depth map.

    Attributes:
        fields: (H, W, 3) inverse distances from there, 1/m, 0 where unknown or infinite; and the turns to the
            right and down, in radians, to what the panorama shows of it.
        visible: (H, W) mask of the directions that show something.
        is_smooth: (H, W) mask of the directions around which all is of one surface.
    """

    fields: F32
    visible: NDArray[np.bool_]
    is_smooth: NDArray[np.bool_]

    @property
    def inverse(self) -> F32:
        """Inverse distances (H, W)."""
        return self.fields[..., 0]

    @property
    def offset(self) -> F32:
        """Turns (H, W, 2) to the right and down."""
        return self.fields[..., 1:]

    @classmethod
    def of(cls, facets: Facets, shift: F64) -> Warp:
        """Returns the warp for a camera at `shift` (3,), in metres along the panorama's axes.

        The facets are drawn with a depth buffer; what no facet covers is a hole, and so is the back of one.
        """
        inverse, is_back = _drawn(facets, shift)
        drawn = (inverse > 0) & ~is_back
        sky = (inverse == 0) & facets.is_sky
        rays = facets.rays
        points = rays.copy()
        points[drawn] = rays[drawn] / inverse[drawn][:, None] + shift
        # The buffer has the resolution of the depth map; the plane that was hit gives the exact distance.
        plane = facets.plane[facets._at(points)]
        with np.errstate(divide="ignore", invalid="ignore"):
            exact = np.einsum("ijk,ijk->ij", plane, rays) / (1 - plane @ shift)
            is_near = np.abs(exact / inverse - 1) < 2 * _SAME_SURFACE
        inverse = np.where(drawn, np.where(is_near, exact, inverse), 0)
        points[drawn] = rays[drawn] / inverse[drawn][:, None] + shift
        there = facets.grid.project(points)
        v, u = np.mgrid[: facets.shape[0], : facets.shape[1]]
        offset = (there - np.stack([u, v], axis=-1)) * (np.pi / facets.shape[0])
        offset[..., 0] = (offset[..., 0] + np.pi) % (2 * np.pi) - np.pi
        visible = drawn | sky
        offset[~visible] = 0
        fields = np.dstack([inverse, offset]).astype(np.float32)
        return cls(fields, visible, _smooth(inverse, offset, visible, sky))


def _drawn(facets: Facets, shift: F64) -> tuple[F64, NDArray[np.bool_]]:
    """Returns the inverse distances (H, W) of the nearest facets from a camera at `shift`, 0 where none is.

    Returns also the mask of those that turn their back, whose colour is not known.
    """
    height, width = facets.shape
    front, back = np.zeros((2, height * width), np.float32)
    row, column = np.nonzero(facets.inverse)
    plane = facets.plane[row, column]
    faces = plane @ shift < 1
    count = _samples_needed(facets, shift, row, column)
    for n in np.unique(count):
        chosen = np.flatnonzero(count == n)
        rays = _samples(facets, row[chosen], column[chosen], int(n))
        whole = facets.inverse[row[chosen], column[chosen]][:, None].astype(np.float32)
        inverse = np.clip(
            _product(rays, plane[chosen].astype(np.float32).T[..., None]), 0.5 * whole, 2 * whole
        )
        x, y, z = (ray / inverse - step for ray, step in zip(rays, shift.astype(np.float32), strict=True))
        level = np.hypot(x, z)
        nearness = 1 / np.maximum(np.hypot(level, y), np.float32(1e-3))
        u = ((np.arctan2(x, z) + np.float32(np.pi)) * np.float32(width / (2 * np.pi))).astype(np.intp)
        v = ((np.arctan2(y, level) + np.float32(np.pi / 2)) * np.float32(height / np.pi)).astype(np.intp)
        at = np.clip(v, 0, height - 1) * width + u % width
        for buffer, is_of in ((front, faces[chosen]), (back, ~faces[chosen])):
            np.maximum.at(buffer, at[is_of].ravel(), nearness[is_of].ravel())
    front, back = front.reshape(height, width), back.reshape(height, width)
    is_back = back > front * (1 + _SAME_SURFACE)
    nearest = np.maximum(front, back)
    # Single pixels between the samples of a surface, through which something farther shows.
    around = cv2.medianBlur(np.pad(nearest, ((0, 0), (1, 1)), mode="wrap").astype(np.float32), 3)[:, 1:-1]
    closed = nearest < around * (1 - _SAME_SURFACE)
    return np.where(closed, around, nearest), is_back & ~closed


def _samples(facets: Facets, row: NDArray[np.intp], column: NDArray[np.intp], n: int) -> list[F32]:
    """Returns x, y, z, each (K, n * n), of the directions of n by n samples of each of K facets."""
    height, width = facets.shape
    azimuth = (np.arange(width * n) + 0.5) * (2 * np.pi / (width * n)) - np.pi
    elevation = np.pi / 2 - (np.arange(height * n) + 0.5) * (np.pi / (height * n))
    v, u = (part.ravel() for part in np.indices((n, n)))
    u, v = column[:, None] * n + u, row[:, None] * n + v
    tables = (np.sin(azimuth), np.cos(azimuth), np.sin(elevation), np.cos(elevation))
    sine, cosine, up, level = (table.astype(np.float32) for table in tables)
    return [level[v] * sine[u], -up[v], level[v] * cosine[u]]


def _product(rays: list[F32], plane: F32) -> F32:
    return rays[0] * plane[0] + rays[1] * plane[1] + rays[2] * plane[2]


def _samples_needed(
    facets: Facets, shift: F64, row: NDArray[np.intp], column: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Returns how many samples a side each facet needs to leave no gaps between them: powers of two."""
    plane, inverse = facets.plane[row, column], facets.inverse[row, column]
    corners = []
    for du, dv in ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)):
        rays = facets.grid.rays(np.stack([column + du, row + dv], axis=1))
        at = np.clip(np.einsum("ij,ij->i", plane, rays), 0.5 * inverse, 2 * inverse)
        corners.append(facets.grid.project(rays / at[:, None] - shift))
    a, b, c, d = corners
    size = np.zeros(len(row))
    for one, other in ((a, b), (a, c), (b, d), (c, d)):
        apart = np.abs(one - other)
        apart[:, 0] = np.minimum(apart[:, 0], facets.shape[1] - apart[:, 0])
        size = np.maximum(size, apart.max(axis=1))
    needed = np.clip(1.2 * size, _FEWEST, _MOST)
    return (2 ** np.ceil(np.log2(needed))).astype(np.intp)


def _tangents(rays: F64) -> tuple[F64, F64]:
    """Returns unit vectors (H, W, 3) to the right and down of directions."""
    level = np.maximum(np.hypot(rays[..., 0], rays[..., 2]), 1e-9)
    sine, cosine = rays[..., 0] / level, rays[..., 2] / level
    east = np.stack([cosine, np.zeros_like(sine), -sine], axis=-1)
    return east, np.cross(rays, east)


def _slope(inverse: F64, axis: int) -> F64:
    """Returns the change of the inverse distance (H, W) from pixel to pixel, on the pixel's own surface.

    Of the changes before and after it, that counts which goes on more evenly; at most as large as the value.
    """
    if axis == 0:
        padded = np.pad(inverse, ((2, 2), (0, 0)), mode="reflect", reflect_type="odd").T
    else:
        padded = np.pad(inverse, ((0, 0), (2, 2)), mode="wrap")
    steps = np.diff(padded)  # between pixels -2, -1, 0, 1, 2
    before, after = steps[:, 1:-2], steps[:, 2:-1]
    bend_before, bend_after = np.abs(before - steps[:, :-3]), np.abs(steps[:, 3:] - after)
    is_unknown = padded <= 0
    bend_before = np.where(is_unknown[:, 1:-3] | is_unknown[:, :-4], np.inf, bend_before)
    bend_after = np.where(is_unknown[:, 3:-1] | is_unknown[:, 4:], np.inf, bend_after)
    here = padded[:, 2:-2]
    slope = np.where(bend_before < bend_after, before, after)
    slope = np.where(
        np.abs(before - after) <= np.minimum(bend_before, bend_after), (before + after) / 2, slope
    )
    slope = np.where(np.isinf(np.minimum(bend_before, bend_after)) | (np.abs(slope) > here), 0, slope)
    return slope.T if axis == 0 else slope


def _smooth(
    inverse: F64, offset: F64, visible: NDArray[np.bool_], sky: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Returns the mask (H, W) of the pixels whose neighbours go on from them as those of one surface do."""
    kernel = np.ones((3, 3), np.uint8)
    smooth = cv2.erode(visible.astype(np.uint8), kernel) > 0
    smooth &= (cv2.erode(sky.astype(np.uint8), kernel) > 0) == (cv2.dilate(sky.astype(np.uint8), kernel) > 0)
    limits = (_SAME_SURFACE * inverse, np.full_like(inverse, 2 * np.pi / len(inverse)))
    for values, limit in zip((inverse, offset[..., 0]), limits, strict=True):
        for axis in (0, 1):
            bend = np.abs(np.roll(values, 1, axis) + np.roll(values, -1, axis) - 2 * values)
            smooth &= bend <= limit
    return np.asarray(smooth)
