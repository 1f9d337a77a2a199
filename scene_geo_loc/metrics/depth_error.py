"""How good dense depth maps are: judged by lidar points held out, and by the true depth where it is known.

Protocol.  Of a sparse depth map a share of the points is held out, the rest made dense, and the dense
map compared with the held-out points: of single points drawn at random, whose neighbours mostly stay,
and of all points in square blocks, so that what is said across gaps is judged too.  Coverage is the
share of the held-out pixels that get a depth; errors are over those that every method but the sparse
map itself gives a depth, so that saying little does not pay.
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
"""Side of a held-out block, pixels of an image 640 wide."""

TRUE_DEPTH_END_M = 65.0
"""Recorded true depth ends here, at 16 bits of millimetres: beyond, sky and far walls look alike."""


def nearest_point(sparse: F32, image: NDArray[np.uint8]) -> F32:
    """Each pixel takes the depth of the nearest point in the image."""
    v, u = distance_transform_edt(~np.isfinite(sparse), return_distances=False, return_indices=True)
    return sparse[v, u]


def linear(sparse: F32, image: NDArray[np.uint8]) -> F32:
    """Linear interpolation of the inverse depth over the Delaunay triangulation of the points."""
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
        asked, given: pixels whose depth is known, and how many of these got a depth.
        compared: those of them that errors are over.
        relative, square, close: sums of |estimate - truth| / truth, of squared errors in metres, and of
            pixels whose ratio, or its inverse, is below 1.25.
    """

    asked: int = 0
    given: int = 0
    compared: int = 0
    relative: float = 0.0
    square: float = 0.0
    close: int = 0

    def add(self, estimate: F32, truth: F32, asked: Mask, compared: Mask) -> None:
        """Adds the pixels of one depth map (H, W)."""
        self.asked += int(asked.sum())
        self.given += int((asked & np.isfinite(estimate)).sum())
        rows = asked & compared & np.isfinite(estimate)
        guess, true = estimate[rows].astype(np.float64), truth[rows].astype(np.float64)
        self.compared += len(true)
        self.relative += float((np.abs(guess - true) / true).sum())
        self.square += float(((guess - true) ** 2).sum())
        self.close += int(((guess < 1.25 * true) & (true < 1.25 * guess)).sum())

    def summary(self) -> dict[str, float | None]:
        """Coverage, mean absolute relative error, RMSE in metres, share within 1.25; None of no pixels."""
        n = self.compared
        return {
            "coverage": self.given / self.asked if self.asked else None,
            "abs_rel": self.relative / n if n else None,
            "rmse_m": (self.square / n) ** 0.5 if n else None,
            "within_1_25": self.close / n if n else None,
        }


@dataclass
class DepthReport:
    """The errors of every method, by what they are judged on.

    Attributes:
        maps: how many depth maps were judged.
        errors: by "points", "blocks" and "truth", then by method.
        sky: pixels without true depth, that is, sky and what is farther than 65 m.
        invented: of these, by method, those that got a depth below that.
    """

    maps: int = 0
    errors: dict[str, dict[str, DepthErrors]] = field(default_factory=dict)
    sky: int = 0
    invented: dict[str, int] = field(default_factory=dict)

    def add(self, sparse: F32, image: NDArray[np.uint8], truth: F32 | None, seed: int) -> None:
        """Judges one sparse depth map (H, W) of an image (H, W, 3).

        Args:
            truth: (H, W) metres, NaN where unknown, or None.
            seed: of what is held out.
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
            said = int((dense[unknown] < TRUE_DEPTH_END_M).sum())
            self.invented[method] = self.invented.get(method, 0) + said

    def _judge(
        self, kind: str, sparse: F32, image: NDArray[np.uint8], truth: F32, asked: Mask
    ) -> dict[str, F32]:
        if np.isfinite(sparse).sum() < 4:  # nothing can be interpolated between fewer
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
        """Plain numbers and strings, for JSON."""
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
    """A random share of the points of a sparse depth map (H, W)."""
    return np.isfinite(sparse) & (rng.random(sparse.shape) < HELD_OUT_SHARE)


def held_out_blocks(sparse: F32, rng: np.random.Generator) -> Mask:
    """The points of a sparse depth map (H, W) in a random share of square blocks."""
    side = max(1, round(BLOCK * sparse.shape[1] / 640))
    rows, columns = -(-sparse.shape[0] // side), -(-sparse.shape[1] // side)
    blocks = rng.random((rows, columns)) < HELD_OUT_SHARE
    inside = np.kron(blocks, np.ones((side, side), bool))[: sparse.shape[0], : sparse.shape[1]]
    return np.isfinite(sparse) & inside
