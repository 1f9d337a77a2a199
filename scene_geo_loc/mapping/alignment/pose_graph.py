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

"""Brings the poses of a drive into the frame of a map by a robust pose graph.

The poses of a drive (odometry, another SLAM, a GPS of its own) are right from one to the next and drift over
the way.  Some of its images were localized in a map; a few of these poses may be wrong.  The graph holds the
steps between consecutive poses, with a standard deviation that grows with their length, and the localized
poses with their covariances, which a robust loss (Geman and McClure) tells the wrong ones from.  Where the
steps differ by more from those between localized poses, as those of a GPS do, which does not drift but jumps,
their standard deviation is raised to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.lie import difference, displaced, skew
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.rotation import vector_of_matrix

MIN_MEASURED = 5
"""Fewest localized poses that must agree with one frame."""
MIN_AGREEING = 0.5
"""Share of the localized poses that must agree with it."""
STEP_STD_M, STEP_STD_SHARE = 0.01, 0.02
"""Standard deviation of a step: constant, and as a share of its length."""
STEP_STD_DEG, STEP_STD_DEG_PER_M = 0.05, 0.05
MEASURED_STD_M, MEASURED_STD_DEG = 0.02, 0.1
"""Least standard deviations of a localized pose."""
AGREEING_M, AGREEING_SHARE, AGREEING_DEG = 1.0, 0.1, 10.0
"""A localized pose agrees with the frame of another one within so many metres, plus this share of the way
between the two, and within so many degrees."""
OUTLIER_SIGMAS = 4.0
"""A localized pose is taken for wrong where it is this many standard deviations off the adjusted one."""
STEP_PAIRS = 10
"""Fewest pairs of localized poses near each other that the standard deviation of the steps is measured by."""
_NEAR_STEPS = (3, 30)
"""Most steps between the two of a pair; the second where there are too few such pairs."""
_MEDIAN_OF_LENGTH = 1.538
"""Median length of a vector of three independent normal numbers of unit variance."""
_ITERATIONS = 80
_NARROWING = 1.4
"""The loss begins so wide that all localized poses count, and narrows by this factor in each iteration:
graduated non-convexity, Yang et al., "Graduated non-convexity for robust spatial perception", RA-L 2020."""
_CONVERGED = 1e-6
_STD_NODES = 50
"""Most poses whose standard deviation is computed."""


@dataclass(frozen=True)
class AlignedPoses:
    """Poses of a drive in the frame of a map.

    Attributes:
        T_map_camera: (N, 4, 4).
        measured: (M,) poses that were localized.
        is_outlier: (M,) whether the localized pose was taken for wrong.
        residual_m, residual_deg: medians of the others' differences from the adjusted poses.
        drift_m: largest distance between an adjusted pose and the drive moved as a rigid whole.
        std_m: largest standard deviation of a position.
        step_factors: multiples of the usual standard deviations of a step, of position and of rotation, that
            those of the drive have; 1 where they are no larger.
    """

    T_map_camera: NDArray[np.float64]
    measured: NDArray[np.intp]
    is_outlier: NDArray[np.bool_]
    residual_m: float
    residual_deg: float
    drift_m: float
    std_m: float
    step_factors: tuple[float, float] = (1.0, 1.0)

    def __str__(self) -> str:
        used = int((~self.is_outlier).sum())
        steps = ""
        if max(self.step_factors) > 2:
            steps = (
                "; the steps of the drive are {:.0f} (position) and {:.0f} (rotation) times as uncertain as "
                "those of odometry".format(*self.step_factors)
            )
        return (
            f"{used} of {len(self.measured)} localized poses agree, {self.residual_m:.3f} m and "
            f"{self.residual_deg:.2f}° off (median); drift of up to {self.drift_m:.2f} m corrected; standard "
            f"deviation of a position at most {self.std_m:.3f} m{steps}"
        )


def align_poses(
    T_drive_camera: NDArray[np.float64], measured: Mapping[int, tuple[Pose, NDArray[np.float64]]]
) -> AlignedPoses:
    """Returns the poses of a drive in the frame of a map.

    Args:
        T_drive_camera: (N, 4, 4) in the frame of the drive, in order of time.
        measured: pose in the map (4, 4) and its covariance (6, 6) by the number of the image.

    Raises MapError where too few localized poses agree with each other.
    """
    numbers = np.array(sorted(measured), np.intp)
    rigid, agreeing = _rigid_alignment(T_drive_camera, measured, numbers)
    poses = rigid.copy()
    roots = {i: root_of(measured[i][1]) for i in numbers}
    steps = Steps(T_drive_camera)
    factors = steps.measured_factors(measured, numbers[agreeing])
    steps.weights /= np.repeat(factors, 3)
    sigmas_2 = max(float(np.sum((roots[i] @ difference(measured[i][0], poses[i])) ** 2)) for i in numbers)
    widening = max(1.0, 2 * sigmas_2 / (6 * OUTLIER_SIGMAS**2))
    for _ in range(_ITERATIONS):
        normal, gradient = _normal_equations(poses, measured, roots, steps, widening)
        update = splu(normal).solve(-gradient).reshape(-1, 6)
        poses = np.stack([displaced(T, step) for T, step in zip(poses, update, strict=True)])
        if widening == 1.0 and np.abs(update).max() < _CONVERGED:
            break
        widening = max(1.0, widening / _NARROWING)
    apart = np.stack([difference(poses[i], measured[i][0]) for i in numbers])
    sigmas = np.array(
        [np.linalg.norm(roots[i] @ e) / np.sqrt(6) for i, e in zip(numbers, apart, strict=True)]
    )
    is_outlier = sigmas > OUTLIER_SIGMAS
    if (~is_outlier).sum() < MIN_MEASURED:
        raise MapError(_too_few(int((~is_outlier).sum()), len(numbers)))
    good = apart[~is_outlier]
    return AlignedPoses(
        T_map_camera=poses,
        measured=numbers,
        is_outlier=is_outlier,
        residual_m=float(np.median(np.linalg.norm(good[:, :3], axis=1))),
        residual_deg=float(np.degrees(np.median(np.linalg.norm(good[:, 3:], axis=1)))),
        drift_m=float(np.linalg.norm(poses[:, :3, 3] - rigid[:, :3, 3], axis=1).max()),
        std_m=largest_std(_normal_equations(poses, measured, roots, steps)[0]),
        step_factors=factors,
    )


def _too_few(agreeing: int, found: int) -> str:
    return (
        f"{agreeing} of {found} localized poses agree with one frame < {MIN_MEASURED}, or less than half of "
        "them: the drive shows another place, or too little of this one."
    )


def _rigid_alignment(
    T_drive_camera: NDArray[np.float64],
    measured: Mapping[int, tuple[Pose, NDArray[np.float64]]],
    numbers: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns the drive moved to where most of its localized poses agree, and which of `numbers` do.

    Raises MapError where few do.
    """
    if not len(numbers):
        raise MapError(_too_few(0, 0))
    lengths = np.linalg.norm(np.diff(T_drive_camera[:, :3, 3], axis=0), axis=1)
    way = np.concatenate([[0.0], np.cumsum(lengths)])[numbers]
    of_drive, found = T_drive_camera[numbers], np.stack([measured[i][0] for i in numbers])
    T_map_drive = found @ inverse(of_drive)
    best, agreeing = np.eye(4), np.zeros(len(numbers), bool)
    for T, at in zip(T_map_drive, way, strict=True):
        apart = difference(T @ of_drive, found)
        position_m, angle = (np.linalg.norm(apart[:, part], axis=1) for part in (slice(3), slice(3, 6)))
        limit_m = AGREEING_M + AGREEING_SHARE * np.abs(way - at)
        agrees = (position_m <= limit_m) & (np.degrees(angle) <= AGREEING_DEG)
        if agrees.sum() > agreeing.sum():
            best, agreeing = T, agrees
    if agreeing.sum() < max(MIN_MEASURED, MIN_AGREEING * len(numbers)):
        raise MapError(_too_few(int(agreeing.sum()), len(numbers)))
    return np.asarray(best @ T_drive_camera), agreeing


class Steps:
    """The steps between consecutive poses: motions (S, 4, 4), and the inverses of their deviations (S, 6)."""

    def __init__(self, T_drive_camera: NDArray[np.float64]) -> None:
        self.motions = np.stack([inverse(a) @ b for a, b in pairwise(T_drive_camera)])
        length = np.linalg.norm(self.motions[:, :3, 3], axis=1)
        position = STEP_STD_M + STEP_STD_SHARE * length
        rotation = np.radians(STEP_STD_DEG + STEP_STD_DEG_PER_M * length)
        self.weights = 1.0 / np.repeat(np.stack([position, rotation], axis=1), 3, axis=1)

    def measured_factors(
        self, measured: Mapping[int, tuple[Pose, NDArray[np.float64]]], numbers: NDArray[np.intp]
    ) -> tuple[float, float]:
        """Returns by how much steps differ from those of localized poses, as multiples of their deviations.

        One number for positions and one for rotations, at least 1, and 1 where there are few pairs to tell.

        Args:
            numbers: localized poses that agree with one frame, ascending.
        """
        pairs: list[tuple[int, int]] = []
        for limit in _NEAR_STEPS:
            if len(pairs) < STEP_PAIRS:
                pairs = [(int(i), int(j)) for i, j in pairwise(numbers) if j - i <= limit]
        if len(pairs) < STEP_PAIRS:
            return 1.0, 1.0
        apart, usual, of_fixes = [], [], []
        for i, j in pairs:
            by_drive = np.eye(4)
            for motion in self.motions[i:j]:
                by_drive = by_drive @ motion
            by_fixes = inverse(measured[i][0]) @ measured[j][0]
            turn = vector_of_matrix(by_drive[:3, :3].T @ by_fixes[:3, :3])
            apart.append([np.linalg.norm(by_fixes[:3, 3] - by_drive[:3, 3]), np.linalg.norm(turn)])
            usual.append((self.weights[i:j, [0, 3]] ** -2).sum(axis=0))
            variances = np.diag(measured[i][1]) + np.diag(measured[j][1])
            of_fixes.append([variances[:3].mean(), variances[3:].mean()])
        seen = (np.median(apart, axis=0) / _MEDIAN_OF_LENGTH) ** 2
        of_steps = np.maximum(seen - np.median(of_fixes, axis=0), 0.0) / np.median(usual, axis=0)
        position, rotation = np.sqrt(np.maximum(of_steps, 1.0))
        return float(position), float(rotation)


def root_of(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the matrix (6, 6) that makes a difference with a covariance one of unit variance."""
    least = np.repeat([MEASURED_STD_M, np.radians(MEASURED_STD_DEG)], 3) ** 2
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance + np.diag(least))))


def _normal_equations(
    poses: NDArray[np.float64],
    measured: Mapping[int, tuple[Pose, NDArray[np.float64]]],
    roots: Mapping[int, NDArray[np.float64]],
    steps: Steps,
    widening: float = 1.0,
) -> tuple[coo_array, NDArray[np.float64]]:
    """Returns the normal matrix (6 N, 6 N) and the gradient (6 N,) for small motions of all poses.

    Args:
        widening: of the loss, as a multiple of its squared width.
    """
    blocks: list[tuple[int, int, NDArray[np.float64]]] = []
    gradient = np.zeros(6 * len(poses))
    for i, (T_map_camera, _) in measured.items():
        residual = roots[i] @ difference(T_map_camera, poses[i])
        # Geman and McClure: a pose that is far off counts for little.
        weight = (widening / (widening + residual @ residual / (6 * OUTLIER_SIGMAS**2))) ** 2
        blocks.append((i, i, weight * roots[i].T @ roots[i]))
        gradient[6 * i : 6 * i + 6] += weight * roots[i].T @ residual
    for i, (motion, weights) in enumerate(zip(steps.motions, steps.weights, strict=True)):
        residual, by_first, by_second = between(poses[i], poses[i + 1], motion)
        by_first, by_second, residual = (
            weights[:, None] * by_first,
            weights[:, None] * by_second,
            weights * residual,
        )
        for row, J_row in ((i, by_first), (i + 1, by_second)):
            gradient[6 * row : 6 * row + 6] += J_row.T @ residual
            blocks += [(row, column, J_row.T @ J) for column, J in ((i, by_first), (i + 1, by_second))]
    return assembled(blocks, len(poses)), gradient


def between(
    T_first: Pose, T_second: Pose, motion: Pose
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns how the motion between two poses differs from a given one, and the derivatives of that.

    The difference (6,) has a translation along the axes of the first pose, and a rotation along those of the
    second.  The derivatives (6, 6) are for small motions of the first and the second, see `displaced`.
    """
    R_0, R_1 = T_first[:3, :3], T_second[:3, :3]
    moved = T_second[:3, 3] - T_first[:3, 3]
    residual = np.concatenate(
        [R_0.T @ moved - motion[:3, 3], vector_of_matrix(motion[:3, :3].T @ R_0.T @ R_1)]
    )
    by_first, by_second = np.zeros((6, 6)), np.zeros((6, 6))
    by_first[:3, :3], by_second[:3, :3] = -R_0.T, R_0.T
    by_first[:3, 3:] = R_0.T @ skew(moved[None])[0]
    by_first[3:, 3:], by_second[3:, 3:] = -R_1.T, R_1.T
    return residual, by_first, by_second


def assembled(blocks: Sequence[tuple[int, int, NDArray[np.float64]]], poses: int) -> coo_array:
    """Returns the sparse matrix (6 N, 6 N) of blocks (6, 6) at rows and columns of poses, which add up."""
    rows = np.concatenate([np.repeat(np.arange(6) + 6 * r, 6) for r, _, _ in blocks])
    columns = np.concatenate([np.tile(np.arange(6) + 6 * c, 6) for _, c, _ in blocks])
    values = np.concatenate([block.ravel() for _, _, block in blocks])
    return coo_array((values, (rows, columns)), shape=(6 * poses, 6 * poses)).tocsc()


def largest_std(normal: coo_array) -> float:
    """Returns the largest standard deviation of a position, of poses spread over the drive."""
    solve, count = splu(normal).solve, normal.shape[0] // 6
    largest = 0.0
    for node in np.unique(np.linspace(0, count - 1, min(count, _STD_NODES)).round().astype(int)):
        columns = np.zeros((6 * count, 3))
        columns[6 * node : 6 * node + 3] = np.eye(3)
        covariance = solve(columns)[6 * node : 6 * node + 3]
        largest = max(largest, float(np.sqrt(np.linalg.eigvalsh((covariance + covariance.T) / 2)[-1])))
    return largest
