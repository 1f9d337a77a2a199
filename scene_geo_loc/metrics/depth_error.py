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

"""Errors of dense depth maps against held-out lidar points, and against the true depth where it is known.

Protocol: a share of the points of a sparse depth map is held out, the other points are densified, and the
dense map is compared with the held-out points.  The held-out points are either single points drawn at
random, most of whose neighbours remain, or all points in randomly drawn square blocks, which also measures
the depth inside gaps.  Coverage is the share of held-out pixels that get a depth.  Errors are over the
held-out pixels that all methods except the sparse map itself give a depth, so that a method does not gain
by leaving out difficult pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import distance_transform_edt

from scene_geo_loc.depth.densify import densify

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

HELD_OUT_SHARE = 0.2
BLOCK = 12
"""Side of a held-out block in pixels, for an image 640 pixels wide."""

TRUE_DEPTH_END_M = 65.0
"""Largest recorded true depth, limited by 16 bits of millimetres; sky and farther surfaces have none."""


def nearest_point(sparse: F32, image: NDArray[np.uint8]) -> F32:
    """Returns a depth map (H, W) in which each pixel has the depth of the nearest point in the image."""
    v, u = distance_transform_edt(~np.isfinite(sparse), return_distances=False, return_indices=True)
    return sparse[v, u]


def linear(sparse: F32, image: NDArray[np.uint8]) -> F32:
    """Returns a depth map (H, W) with inverse depth interpolated linearly over the points' triangulation.

    The triangulation is Delaunay's; pixels outside it are NaN.
    """
    v, u = np.nonzero(np.isfinite(sparse))
    rows, columns = np.mgrid[: sparse.shape[0], : sparse.shape[1]]
    return (1.0 / LinearNDInterpolator((v, u), 1.0 / sparse[v, u])(rows, columns)).astype(np.float32)


METHODS: dict[str, Callable[[F32, NDArray[np.uint8]], F32]] = {
    "sparse only": lambda sparse, image: sparse,
    "nearest point": nearest_point,
    "linear": linear,
    "ours": densify,
}


@dataclass
class DepthErrors:
    """Errors pooled over pixels of many depth maps.

    Attributes:
        asked, given: number of pixels whose depth is known, and number of these with an estimate.
        compared: number of these that the errors are computed over.
        relative: sum of |estimate - truth| / truth.
        square: sum of squared errors, square metres.
        close: number of pixels whose ratio of estimate to truth lies between 1 / 1.25 and 1.25.
    """

    asked: int = 0
    given: int = 0
    compared: int = 0
    relative: float = 0.0
    square: float = 0.0
    close: int = 0

    def add(self, estimate: F32, truth: F32, asked: Mask, compared: Mask) -> None:
        """Adds the pixels of one depth map.

        Args:
            estimate, truth: (H, W) metres, NaN where unknown.
            asked: (H, W) mask of the pixels that coverage is computed over.
            compared: (H, W) mask of the pixels that errors may be computed over.
        """
        self.asked += int(asked.sum())
        self.given += int((asked & np.isfinite(estimate)).sum())
        rows = asked & compared & np.isfinite(estimate)
        guess, true = estimate[rows].astype(np.float64), truth[rows].astype(np.float64)
        self.compared += len(true)
        self.relative += float((np.abs(guess - true) / true).sum())
        self.square += float(((guess - true) ** 2).sum())
        self.close += int(((guess < 1.25 * true) & (true < 1.25 * guess)).sum())

    def summary(self) -> dict[str, float | None]:
        """Returns coverage, mean absolute relative error, RMSE in metres and share within a factor of 1.25.

        A number is None if it has no pixels.
        """
        n = self.compared
        return {
            "coverage": self.given / self.asked if self.asked else None,
            "abs_rel": self.relative / n if n else None,
            "rmse_m": (self.square / n) ** 0.5 if n else None,
            "within_1_25": self.close / n if n else None,
        }


@dataclass
class DepthReport:
    """Errors of every densification method, by the kind of depth that they are computed against.

    Attributes:
        maps: number of depth maps evaluated.
        errors: by "points", "blocks" and "truth", then by method.
        sky: number of pixels without true depth: sky, and surfaces beyond `TRUE_DEPTH_END_M`.
        invented: number of these pixels that a method gives a depth below `TRUE_DEPTH_END_M`, by method.
    """

    maps: int = 0
    errors: dict[str, dict[str, DepthErrors]] = field(default_factory=dict)
    sky: int = 0
    invented: dict[str, int] = field(default_factory=dict)

    def add(self, sparse: F32, image: NDArray[np.uint8], truth: F32 | None, seed: int) -> None:
        """Adds the errors of one sparse depth map (H, W) of an image (H, W, 3).

        Args:
            truth: (H, W) metres, NaN where unknown, or None.
            seed: of the random choice of held-out points.
        """
        self.maps += 1
        rng = np.random.default_rng(seed)
        for kind, held_out in (("points", held_out_points), ("blocks", held_out_blocks)):
            asked = held_out(sparse, rng)
            self._judge(kind, np.where(asked, np.float32(np.nan), sparse), image, sparse, asked)
        if truth is None:
            return
        unknown = ~np.isfinite(truth)
        self.sky += int(unknown.sum())
        for method, dense in self._judge("truth", sparse, image, truth, ~unknown).items():
            invented = int((dense[unknown] < TRUE_DEPTH_END_M).sum())
            self.invented[method] = self.invented.get(method, 0) + invented

    def _judge(
        self, kind: str, sparse: F32, image: NDArray[np.uint8], truth: F32, asked: Mask
    ) -> dict[str, F32]:
        if np.isfinite(sparse).sum() < 4:  # too few points to interpolate between
            return {}
        dense = {name: method(sparse, image) for name, method in METHODS.items()}
        compared = np.logical_and.reduce(
            [np.isfinite(depth) for name, depth in dense.items() if name != "sparse only"]
        )
        pooled = self.errors.setdefault(kind, {name: DepthErrors() for name in METHODS})
        for name, depth in dense.items():
            pooled[name].add(depth, truth, asked, compared)
        return dense

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON."""
        return {
            "protocol": {
                "held_out_share": HELD_OUT_SHARE,
                "block_pixels_of_640": BLOCK,
                "true_depth_end_m": TRUE_DEPTH_END_M,
            },
            "maps": self.maps,
            "errors": {
                kind: {name: {**asdict(errors), **errors.summary()} for name, errors in methods.items()}
                for kind, methods in self.errors.items()
            },
            "invented": {name: count / self.sky for name, count in self.invented.items() if self.sky},
        }


def held_out_points(sparse: F32, rng: np.random.Generator) -> Mask:
    """Mask (H, W) of a random share of the points of a sparse depth map (H, W)."""
    return np.isfinite(sparse) & (rng.random(sparse.shape) < HELD_OUT_SHARE)


def held_out_blocks(sparse: F32, rng: np.random.Generator) -> Mask:
    """Mask (H, W) of the points of a sparse depth map (H, W) in a random share of square blocks."""
    side = max(1, round(BLOCK * sparse.shape[1] / 640))
    rows, columns = -(-sparse.shape[0] // side), -(-sparse.shape[1] // side)
    blocks = rng.random((rows, columns)) < HELD_OUT_SHARE
    inside = np.kron(blocks, np.ones((side, side), bool))[: sparse.shape[0], : sparse.shape[1]]
    return np.isfinite(sparse) & inside
