"""How far a pose can be trusted: its covariance, from what its matches are off by.

Matches err together: those near each other see the same part of the image, in one keyframe after the other,
and those with one keyframe lean on its pose and its depth.  How much of their errors they share the residuals
tell themselves: little where one drive in sun is matched with another, much where snow has changed what is
seen, or where keyframes do not agree.  This is the cluster-robust estimate of statistics, the clusters being
blocks of the image and keyframes (Cameron, Gelbach and Miller, Robust inference with multiway clustering,
Journal of Business & Economic Statistics 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.least_squares import error_scale, linearised
from scene_geo_loc.localization.pnp import reprojection_errors

BLOCK_PX = 40.0
"""Side of the blocks of the image whose matches are off together, in pixels of the network's input."""

SHARED = 0.2
"""How much weight the assumption has that a block's matches are all off by the same.

It keeps the covariance sound where there are few blocks, and from changing much from image to image: a
tracker would believe those images most whose covariance happens to be too small.
"""

EXCESS = np.repeat([1.5, 1.0], 3)
"""So many times as far off as the residuals show are position and rotation.

Chosen on simulated drives in sun, snow and night, so that 95 % of the errors lie in the 95 % ellipsoids.
"""

MAP_STD = np.repeat([0.01, np.radians(0.1)], 3)
"""No map's own poses are better known than this, metres and radians: nor is a pose in it."""


@dataclass(frozen=True)
class NormalEquations:
    """What matches say of the pose at a solution, by a least-squares fit.

    Attributes:
        information: (6, 6) JᵀJ of the reprojections by the pose, order and axes as in `covariance_of`.
        scatter: (6, 6) covariance of Jᵀr, the sum over all matches.
    """

    information: NDArray[np.float64]
    scatter: NDArray[np.float64]

    def of_base(self, lever: NDArray[np.float64]) -> NormalEquations:
        """The same of a frame rigidly fixed to the camera, `lever` (3,) from it along the map's axes."""
        J = np.eye(6)
        J[:3, 3:] = skew(lever[None])[0]  # a turn of the base about itself takes the camera to w x (-lever)
        return NormalEquations(J.T @ self.information @ J, J.T @ self.scatter @ J)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.information + other.information, self.scatter + other.scatter)


def normal_equations(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    points_map: NDArray[np.float64],
    camera: Camera,
    points_sigma: NDArray[np.float64] | None = None,
    keyframe: NDArray[np.int64] | None = None,
) -> NormalEquations:
    """What the inliers of a pose say of it.

    Args:
        T_map_camera: the solution.
        pixels, points_map: its inliers, (M, 2) ideal pixels and (M, 3) metres.
        camera: intrinsics.
        points_sigma: (M, 3) how far a point moves by a standard deviation of its depth, see `Matches`.
        keyframe: (M,) the keyframe each was matched with; None where that is one for all.
    """
    scale = error_scale(reprojection_errors(T_map_camera, pixels, points_map, camera))
    residuals, J = linearised(T_map_camera, pixels, points_map, camera, points_sigma, scale)
    information = np.einsum("mij,mik->jk", J, J)
    gradients = np.einsum("mij,mi->mj", J, residuals)
    blocks = _block_numbers(pixels)
    variance = (residuals**2).sum() / max(residuals.size - 6, 1)
    all_shared = variance * len(pixels) / max(len(np.unique(blocks)), 1) * information
    scatter = SHARED * all_shared + (1 - SHARED) * _scatter(gradients, blocks, fitted=6)
    if keyframe is not None:
        scatter = scatter + _scatter(gradients, keyframe, fitted=1)
    return NormalEquations(information, scatter)


def covariance_of(equations: NormalEquations) -> NDArray[np.float64] | None:
    """The covariance (6, 6) of a pose that follows.

    Order x, y, z, rotation about x, y, z; metres and radians along the map's axes, as in
    geometry_msgs/PoseWithCovariance.

    Returns None where the inliers do not fix the pose, such as points on one line.
    """
    scale = np.sqrt(np.diag(equations.information))
    if not (scale > 0).all():
        return None
    normalised = equations.information / np.outer(scale, scale)
    if np.linalg.cond(normalised) > 1e10:
        return None
    inverse = np.linalg.inv(normalised) / np.outer(scale, scale)
    return inverse @ equations.scatter @ inverse * np.outer(EXCESS, EXCESS) + np.diag(MAP_STD**2)


def move_covariance(covariance: NDArray[np.float64], lever: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance of a frame rigidly fixed to another: order and axes as in `covariance_of`.

    Args:
        covariance: (6, 6) of the first frame.
        lever: (3,) from the first frame's origin to the second's, along the map's axes, metres.
    """
    J = np.eye(6)
    J[:3, 3:] = -skew(lever[None])[0]
    return J @ covariance @ J.T


def block_count(pixels: NDArray) -> int:
    """In how many blocks of `BLOCK_PX` pixels (N, 2) lie."""
    return len(np.unique(_block_numbers(pixels)))


def _scatter(gradients: NDArray[np.float64], cluster: NDArray[np.int64], fitted: int) -> NDArray[np.float64]:
    """The covariance (6, 6) of the sum of gradients (M, 6) that those of a cluster (M,) make it.

    As many of the clusters tell nothing as numbers were `fitted` to them.
    """
    clusters, number = np.unique(cluster, return_inverse=True)
    sums = np.zeros((len(clusters), 6))
    np.add.at(sums, number, gradients)
    return len(clusters) / max(len(clusters) - fitted, 1) * sums.T @ sums


def _block_numbers(pixels: NDArray) -> NDArray[np.int64]:
    """A number (N,) for each block that pixels (N, 2) lie in."""
    columns, rows = np.floor(pixels / BLOCK_PX).astype(np.int64).T
    return (columns << 32) + rows
