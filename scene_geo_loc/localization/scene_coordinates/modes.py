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


"""Poses from modes of scene coordinates of pixels with depth: pre-emptive RANSAC with Kabsch's algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose, transform
from scene_geo_loc.localization.scene_coordinates.poses import SupportedPose
from scene_geo_loc.localization.uncertainty.covariance import (
    NormalEquations,
    block_count,
    blocks_of,
    sandwich,
)

DRAWN, HYPOTHESES, BATCH, FINAL_STEPS = 6000, 256, 200, 5
"""Samples of three pixels, those of them that are scored, pixels of a batch, and steps of the last fit."""


@dataclass(frozen=True)
class ModeReading:
    """Pixels of a camera with their points in the base, and the points of the map that they may show.

    Attributes:
        pixels: (M, 2).
        width, height: of the image that they are of.
        points_base: (M, 3) metres, by the depth.
        modes: (M, K, 3) metres in the map, NaN where there are fewer.
    """

    pixels: NDArray[np.float64]
    width: int
    height: int
    points_base: NDArray[np.float64]
    modes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pixels)


def solve_modes(readings: Sequence[ModeReading], inlier_m: float, block_px: float) -> SupportedPose | None:
    """Returns the pose of the base that the modes of most pixels agree with; None where none is found."""
    points = np.concatenate([reading.points_base for reading in readings])
    modes = np.concatenate([reading.modes for reading in readings])
    poses = _hypotheses(points, modes, inlier_m)
    if not len(poses):
        return None
    rng = np.random.default_rng(1)
    order = rng.permutation(len(points))
    scores = np.zeros(len(poses))
    begin = 0
    # Each batch halves the hypotheses, and those that remain are refined (Shotton et al., algorithm 1).
    while len(poses) > 1:
        batch = order[np.arange(begin, begin + BATCH) % len(order)]
        begin += BATCH
        scores += [(_nearest(T, points[batch], modes[batch])[0] <= inlier_m).sum() for T in poses]
        kept = np.argsort(-scores, kind="stable")[: len(poses) // 2]
        seen = order[np.arange(0, min(begin, len(order)))]
        poses = np.stack([_refined(poses[i], points[seen], modes[seen], inlier_m) for i in kept])
        scores = scores[kept]
    pose = poses[0]
    for _ in range(FINAL_STEPS):
        pose = _refined(pose, points, modes, inlier_m)
    distances, nearest = _nearest(pose, points, modes)
    inlier = distances <= inlier_m
    if inlier.sum() < 4:
        return None
    parts = np.split(inlier, np.cumsum([len(reading) for reading in readings])[:-1])
    best = max(range(len(readings)), key=lambda i: float(parts[i].mean()) if len(parts[i]) else 0.0)
    reading = readings[best]
    pixels = np.concatenate([each.pixels for each in readings])
    return SupportedPose(
        pose,
        int(inlier.sum()),
        float(parts[best].mean()),
        block_count(reading.pixels[parts[best]], block_px)
        / blocks_of(reading.width, reading.height, block_px),
        _covariance(pose, points[inlier], nearest[inlier], pixels[inlier], block_px),
    )


def kabsch(points: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the rigid transforms (..., 4, 4) of points (..., N, 3) to targets with the least squares."""
    middle, target = points.mean(axis=-2), targets.mean(axis=-2)
    products = np.swapaxes(targets - target[..., None, :], -1, -2) @ (points - middle[..., None, :])
    u, _, vt = np.linalg.svd(products)
    signs = np.ones(u.shape[:-1])
    signs[..., 2] = np.linalg.det(u @ vt)
    R = (u * signs[..., None, :]) @ vt
    T = np.zeros((*R.shape[:-2], 4, 4))
    T[..., :3, :3], T[..., 3, 3] = R, 1.0
    T[..., :3, 3] = target - (R @ middle[..., None])[..., 0]
    return T


def _hypotheses(
    points: NDArray[np.float64], modes: NDArray[np.float64], inlier_m: float
) -> NDArray[np.float64]:
    """Returns poses (H, 4, 4) by three pixels each, whose distances agree with those of their modes."""
    rng = np.random.default_rng(0)
    if len(points) < 4:
        return np.zeros((0, 4, 4))
    chosen = rng.integers(len(points), size=(DRAWN, 3))
    drawn = modes[chosen, rng.integers(modes.shape[1], size=(DRAWN, 3))]
    seen = points[chosen]
    sides, sides_map = (np.linalg.norm(p - np.roll(p, 1, axis=1), axis=2) for p in (seen, drawn))
    agree = (np.abs(sides - sides_map) < 2 * inlier_m).all(axis=1) & (sides > 2 * inlier_m).all(axis=1)
    rows = np.flatnonzero(agree & np.isfinite(drawn).all(axis=(1, 2)))[:HYPOTHESES]
    return kabsch(seen[rows], drawn[rows])


def _nearest(
    T: Pose, points: NDArray[np.float64], modes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the distances (M,) of points (M, 3) at a pose from their nearest modes, and these (M, 3)."""
    squared = ((modes - transform(T, points)[:, None]) ** 2).sum(axis=2)
    squared = np.where(np.isfinite(squared), squared, np.inf)
    best = squared.argmin(axis=1)
    rows = np.arange(len(points))
    return np.sqrt(squared[rows, best]), modes[rows, best]


def _refined(
    T: Pose, points: NDArray[np.float64], modes: NDArray[np.float64], inlier_m: float
) -> NDArray[np.float64]:
    distances, nearest = _nearest(T, points, modes)
    inlier = distances <= inlier_m
    return kabsch(points[inlier], nearest[inlier]) if inlier.sum() >= 4 else np.asarray(T)


def _covariance(
    T: Pose,
    points: NDArray[np.float64],
    targets: NDArray[np.float64],
    pixels: NDArray[np.float64],
    block_px: float,
) -> NDArray[np.float64] | None:
    """Returns the covariance (6, 6) by the distances of the inliers, blocks of the image being clusters."""
    moved = transform(T, points)
    residuals = moved - targets
    J = np.concatenate([np.tile(np.eye(3), (len(points), 1, 1)), -skew(moved - T[:3, 3])], axis=2)
    gradients = np.einsum("nij,ni->nj", J, residuals)
    _, block = np.unique(np.floor(pixels / block_px), axis=0, return_inverse=True)
    sums = np.zeros((int(block.max()) + 1, 6))
    np.add.at(sums, block.ravel(), gradients)
    return sandwich(NormalEquations(np.einsum("nij,nik->jk", J, J), sums.T @ sums))
