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
"""Draws global descriptors of a city that are distributed like those of two real drives of one street.

The mean and the covariance of a drive's descriptors are fitted (the covariance is shrunk, as a drive has
fewer keyframes than a descriptor has numbers), and along each principal axis the correlation from keyframe to
keyframe. A route is a Gaussian process with these: neighbours along it are similar, and two routes as alike
as two places of the street. What another drive changes is fitted to the second drive: the cosines of its
descriptors with those of the same places, and mean, covariance and correlation of the directions in which
they differ. Each route of the city is driven several times, and a query is another such view of a keyframe.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

VISITS = 4
"""Drives of each route, as of a map with several lights and weathers of each place."""
PLACES = 1000
"""Keyframes of a route."""
ROUTES = 16
"""Routes that are drawn at a time."""
MOST_CORRELATION = 0.98
"""Largest correlation from a keyframe to the next: higher ones are errors of few keyframes."""


@dataclass(frozen=True)
class GaussianPath:
    """A stationary Gaussian process of unit vectors along a path.

    Attributes:
        mean: (D,).
        axes: (R, D) principal axes, each as long as the standard deviation along it.
        correlation: (R,) from one step to the next along each axis.
    """

    mean: F32
    axes: F32
    correlation: F32

    @classmethod
    def fit(cls, rows: NDArray[np.floating]) -> GaussianPath:
        """Fits the process to the vectors (N, D) of one path, in their order."""
        mean = rows.mean(axis=0)
        centred = rows - mean
        variances, axes = np.linalg.eigh(shrunk_covariance(centred))
        along = centred @ axes
        power = (along**2).sum(axis=0)
        step = (along[1:] * along[:-1]).sum(axis=0) / np.maximum(power, 1e-12)
        scaled = (axes * np.sqrt(np.maximum(variances, 0))).T
        correlation = np.clip(step, 0, MOST_CORRELATION)
        return cls(*(np.ascontiguousarray(array, np.float32) for array in (mean, scaled, correlation)))

    def draw(self, paths: int, steps: int, rng: np.random.Generator) -> F32:
        """Returns the vectors (paths, steps, D) of independent paths."""
        along = rng.standard_normal((steps, paths, len(self.correlation)), dtype=np.float32)
        along[1:] *= np.sqrt(1 - self.correlation**2)
        for step in range(1, steps):
            along[step] += self.correlation * along[step - 1]
        rows = along.transpose(1, 0, 2).reshape(paths * steps, -1) @ self.axes + self.mean
        return unit(rows).reshape(paths, steps, -1)


@dataclass(frozen=True)
class DescriptorModel:
    """Distribution of the descriptors of a city's keyframes, and of queries.

    Attributes:
        places: process of the descriptors along a route.
        changes: process of the directions in which another drive's descriptors differ.
        cosines: (M,) of two drives' descriptors of one place, from which those of the city are drawn.
    """

    places: GaussianPath
    changes: GaussianPath
    cosines: F32

    @classmethod
    def fit(cls, drive: NDArray[np.floating], other: NDArray[np.floating]) -> DescriptorModel:
        """Fits the model to descriptors (N, D) of a drive and those (N, D) of another at its places."""
        cosines = (drive * other).sum(axis=1)
        changes = unit(other - cosines[:, None] * drive)
        return cls(GaussianPath.fit(drive), GaussianPath.fit(changes), cosines.astype(np.float32))

    def keyframes(self, count: int, rng: np.random.Generator) -> Iterator[F32]:
        """Yields the descriptors of a city's keyframes in blocks (B, D), `count` in all."""
        left = count
        while left > 0:
            routes = self.places.draw(min(ROUTES, -(-left // (VISITS * PLACES))), PLACES, rng)
            for route in routes:
                visits = [route, *(self._changed(route, rng) for _ in range(VISITS - 1))]
                block = np.concatenate(visits)[:left]
                left -= len(block)
                yield block
                if left == 0:
                    return

    def queries(self, keyframes: NDArray[np.floating], rng: np.random.Generator) -> F32:
        """Returns views (Q, D) of keyframes (Q, D) by another drive, each of a drive of its own."""
        changes = self.changes.draw(len(keyframes), 1, rng)[:, 0]
        return self._moved(np.asarray(keyframes, np.float32), changes, rng)

    def _changed(self, route: F32, rng: np.random.Generator) -> F32:
        return self._moved(route, self.changes.draw(1, len(route), rng)[0], rng)

    def _moved(self, rows: F32, changes: F32, rng: np.random.Generator) -> F32:
        away = unit(changes - (changes * rows).sum(axis=1, keepdims=True) * rows)
        cosines = rng.choice(self.cosines, (len(rows), 1))
        return np.asarray(cosines * rows + np.sqrt(1 - cosines**2) * away, np.float32)


def shrunk_covariance(centred: NDArray[np.floating]) -> NDArray[np.float64]:
    """Returns the covariance (D, D) of centred rows (N, D), shrunk towards a multiple of the identity.

    Source: O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88, 2004.
    """
    rows = np.asarray(centred, np.float64)
    count, size = rows.shape
    sample = rows.T @ rows / count
    scale = np.trace(sample) / size
    apart = (sample**2).sum() - size * scale**2
    error = ((rows**2).sum(axis=1) ** 2).sum() / count**2 - (sample**2).sum() / count
    share = float(np.clip(error / max(apart, 1e-12), 0, 1))
    return np.asarray((1 - share) * sample + share * scale * np.eye(size))


def unit(rows: NDArray[np.floating]) -> F32:
    """Returns rows (N, D) at unit length."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), np.float32)
