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

"""Poses of a generalized camera from three rays: the minimal solver of a rig, for many samples at once.

Nistér and Stewénius, A minimal solution to the generalised 3-point pose problem, Journal of Mathematical
Imaging and Vision 2007.  The distances along the three rays fulfil three quadratic equations, one for each
side of the triangle of points; eliminating two distances leaves a polynomial of degree 8 in the third.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose

REAL = 1e-2
"""Largest imaginary part of a root that counts as real, as a share of its magnitude."""

NEWTON_STEPS = 3
"""Refining steps of the distances: the polynomial has lost digits that the three equations still have."""

MAX_RESIDUAL = 1e-6
"""Largest residual of the three equations, as a share of the mean squared side of the triangle."""

FLAT = 1e-6
"""Least area of a triangle of points, as a share of its mean squared side."""


def generalized_p3p(
    centres: NDArray[np.float64], directions: NDArray[np.float64], points: NDArray[np.float64]
) -> Pose:
    """Returns poses T_map_base (H, 4, 4) from samples of three rays and the points that they see.

    A sample has up to eight poses with all points in front of their cameras; a degenerate one has none.  Of
    two poses with nearly the same distance along the first ray one may be missed, less than once in a
    thousand random samples.

    Args:
        centres: (N, 3, 3) origins of the rays in the base, metres.
        directions: (N, 3, 3) unit directions of the rays in the base.
        points: (N, 3, 3) points in the map, metres.
    """
    sides = np.stack([points[:, i] - points[:, j] for i, j in ((0, 1), (0, 2), (1, 2))], axis=1)
    squared = (sides**2).sum(axis=2)
    scale = np.sqrt(squared.mean(axis=1))
    proper = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) > FLAT * scale**2
    centres, directions, points, scale = centres[proper], directions[proper], points[proper], scale[proper]
    sample, distances = _distances(
        centres / scale[:, None, None], directions, squared[proper] / scale[:, None] ** 2
    )
    distances *= scale[sample, None]
    seen = centres[sample] + distances[:, :, None] * directions[sample]
    return _aligning_poses(seen, points[sample])


@dataclass(frozen=True)
class _Polynomials:
    """Polynomials in one variable, one a sample.

    Attributes:
        coefficients: (N, degree + 1), the constant first.
    """

    coefficients: NDArray[np.float64]

    def __add__(self, other: _Polynomials) -> _Polynomials:
        a, b = sorted((self.coefficients, other.coefficients), key=lambda values: values.shape[1])
        total = b.copy()
        total[:, : a.shape[1]] += a
        return _Polynomials(total)

    def __sub__(self, other: _Polynomials) -> _Polynomials:
        return self + _Polynomials(-other.coefficients)

    def __mul__(self, other: _Polynomials) -> _Polynomials:
        a, b = self.coefficients, other.coefficients
        product = np.zeros((len(a), a.shape[1] + b.shape[1] - 1))
        for i in range(a.shape[1]):
            product[:, i : i + b.shape[1]] += a[:, i, None] * b
        return _Polynomials(product)

    def positive_roots(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Returns the samples (H,) and values (H,) of the positive real roots."""
        with np.errstate(all="ignore"):
            monic = self.coefficients[:, :-1] / self.coefficients[:, -1:]
        solvable = np.flatnonzero(np.isfinite(monic).all(axis=1))
        degree = monic.shape[1]
        companion = np.zeros((len(solvable), degree, degree))
        companion[:, 1:, :-1] = np.eye(degree - 1)
        companion[:, :, -1] = -monic[solvable]
        roots = np.linalg.eigvals(companion)
        row, column = np.nonzero((abs(roots.imag) <= REAL * abs(roots)) & (roots.real > 0))
        return solvable[row], np.asarray(roots.real[row, column], np.float64)

    def at(self, sample: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the values (H,) of the polynomials of some samples (H,) at some points (H,)."""
        total = np.zeros_like(value)
        for coefficient in self.coefficients[sample].T[::-1]:
            total = total * value + coefficient
        return total


def _distances(
    centres: NDArray[np.float64], directions: NDArray[np.float64], squared: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Returns the samples (H,) and distances along the rays (H, 3) of all solutions.

    The distances are x, y and z.  The sides from the first point give y² + b y + c = 0 and z² + e z + f = 0,
    whose coefficients are polynomials in x; the third side gives y² + z² + g yz + h y + k z + l = 0.  The
    first two turn the third into z = -(p y + m) / (g y + n).  With that z, the second becomes
    alpha y + beta = 0.  With that y, the first becomes a polynomial in x alone.

    Args:
        centres, directions: see `generalized_p3p`; in units of the triangle's side.
        squared: (N, 3) squared sides of the triangle.
    """
    baseline = [centres[:, i] - centres[:, j] for i, j in ((0, 1), (0, 2), (1, 2))]
    d = directions.transpose(1, 0, 2)
    far = [_dot(baseline[i], baseline[i]) - squared[:, i] for i in range(3)]
    b = _polynomials(-2 * _dot(d[1], baseline[0]), -2 * _dot(d[0], d[1]))
    c = _polynomials(far[0], 2 * _dot(d[0], baseline[0]), np.ones(len(squared)))
    e = _polynomials(-2 * _dot(d[2], baseline[1]), -2 * _dot(d[0], d[2]))
    f = _polynomials(far[1], 2 * _dot(d[0], baseline[1]), np.ones(len(squared)))
    g = _polynomials(-2 * _dot(d[1], d[2]))
    h = _polynomials(2 * _dot(d[1], baseline[2]))
    k = _polynomials(-2 * _dot(d[2], baseline[2]))
    p, m, n = h - b, _polynomials(far[2]) - c - f, k - e
    quadratic = p * p - e * p * g + f * g * g
    linear = p * m + p * m - e * (p * n + m * g) + f * (g * n + g * n)
    constant = m * m - e * m * n + f * n * n
    alpha, beta = linear - b * quadratic, constant - c * quadratic
    sample, x = (beta * beta - b * alpha * beta + c * alpha * alpha).positive_roots()
    with np.errstate(all="ignore"):
        y = -beta.at(sample, x) / alpha.at(sample, x)
        z = -(p.at(sample, x) * y + m.at(sample, x)) / (g.at(sample, x) * y + n.at(sample, x))
        distances, residual = _refined(
            np.stack([x, y, z], axis=1), centres[sample], directions[sample], squared[sample]
        )
        valid = (distances > 0).all(axis=1) & (residual <= MAX_RESIDUAL)
    return sample[valid], distances[valid]


def _refined(
    distances: NDArray[np.float64],
    centres: NDArray[np.float64],
    directions: NDArray[np.float64],
    squared: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns distances (H, 3) after Newton steps on the three equations, and their largest residual (H,)."""
    for step in range(NEWTON_STEPS + 1):
        seen = centres + distances[:, :, None] * directions
        s, t, u = (seen[:, i] - seen[:, j] for i, j in ((0, 1), (0, 2), (1, 2)))
        residuals = np.stack([_dot(s, s), _dot(t, t), _dot(u, u)], axis=1) - squared
        if step == NEWTON_STEPS:
            break
        r, q, w = residuals.T
        # The Jacobian's rows are (a, b, 0), (c, 0, d) and (0, e, f).
        a, b = 2 * _dot(directions[:, 0], s), -2 * _dot(directions[:, 1], s)
        c, d = 2 * _dot(directions[:, 0], t), -2 * _dot(directions[:, 2], t)
        e, f = 2 * _dot(directions[:, 1], u), -2 * _dot(directions[:, 2], u)
        cramer = [b * d * w - d * e * r - b * f * q, a * f * q - a * d * w - c * f * r]
        cramer.append(c * e * r - a * e * q - b * c * w)
        distances = distances + np.stack(cramer, axis=1) / (a * d * e + b * c * f)[:, None]
    return distances, abs(residuals).max(axis=1)


def _aligning_poses(seen: NDArray[np.float64], points: NDArray[np.float64]) -> Pose:
    """Returns the poses (H, 4, 4) that take triangles (H, 3, 3) in the base to triangles in the map."""
    T = np.tile(np.eye(4), (len(seen), 1, 1))
    T[:, :3, :3] = _frames(points) @ _frames(seen).transpose(0, 2, 1)
    T[:, :3, 3] = points.mean(axis=1) - (T[:, :3, :3] @ seen.mean(axis=1)[:, :, None])[:, :, 0]
    return T


def _frames(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the axes (H, 3, 3), as columns, of triangles (H, 3, 3): along a side, in the plane, normal."""
    along = triangles[:, 1] - triangles[:, 0]
    normal = np.cross(along, triangles[:, 2] - triangles[:, 0])
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return np.stack([along, np.cross(normal, along), normal], axis=2)


def _polynomials(*coefficients: NDArray[np.float64]) -> _Polynomials:
    return _Polynomials(np.stack(coefficients, axis=1))


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("ni,ni->n", a, b)
