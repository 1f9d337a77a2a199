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


"""A head of landmarks: the point of a cell is that of the landmark that its features attend to most.

It is a layer of attention whose keys are features of cells of the training and whose values are their points,
at the limit of a sharp softmax.  Nothing of it is trained by gradients: unlike layers, it keeps the metric of
the features, and knows a place from few images.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

AXES = 32
"""Principal axes of the late map's part of the features."""
_CHUNK = 512
"""Cells that are compared with all landmarks at once."""
_FITTED = 20_000
"""Most cells that the axes are fitted to."""


class LandmarkHead:
    """Landmarks, and what they are compared by.

    Args:
        tensors: `keys` (M, D) int8 of the landmarks and their `points` (M, 3), metres; `late_mean` (C,) and
            `late_axes` (A, C) of the part of the features from the late map.
        local: number of local features, which stand first.
        late: number of features of the late map.

    Raises ValueError where the arrays do not fit each other.
    """

    def __init__(self, tensors: Mapping[str, NDArray], local: int, late: int) -> None:
        self._local = local
        self._mean, self._axes = (
            np.asarray(tensors[f"late_{name}"], np.float32) for name in ("mean", "axes")
        )
        self._points = np.asarray(tensors["points"], np.float64)
        keys = tensors["keys"]
        width = local + len(self._axes)
        if self._mean.shape != (late,) or self._axes.ndim != 2 or self._axes.shape[1] != late:
            raise ValueError(f"the axes have the shape {self._axes.shape} for {late} channels")
        if keys.dtype != np.int8 or keys.ndim != 2 or keys.shape[1] != width or not len(keys):
            raise ValueError(f"the keys have the shape {keys.shape} for {width} numbers")
        if self._points.shape != (len(keys), 3) or not np.isfinite(self._points).all():
            raise ValueError(f"the points have the shape {self._points.shape} for {len(keys)} keys")
        self._keys = np.ascontiguousarray(keys.T, np.float32)

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], points: NDArray[np.float64], local: int
    ) -> dict[str, NDArray]:
        """Returns the tensors of landmarks with the features (M, F) and the points (M, 3) of cells."""
        step = max(1, len(features) // _FITTED)
        mean = features[:, local:].mean(axis=0)
        late = _unit(features[::step, local:] - mean)
        values, vectors = np.linalg.eigh(late.T @ late)
        axes = vectors[:, np.argsort(values)[::-1][:AXES]].T
        described = _described(features, local, mean, axes)
        keys = np.rint(127 / np.abs(described).max() * described).astype(np.int8)
        return {
            "keys": keys,
            "points": points.astype(np.float32),
            "late_mean": mean.astype(np.float32),
            "late_axes": axes.astype(np.float32),
        }

    def points(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the points (N, 3) in the map of the features (N, F) of cells, metres."""
        described = _described(features, self._local, self._mean, self._axes)
        nearest = [
            (described[begin : begin + _CHUNK] @ self._keys).argmax(axis=1)
            for begin in range(0, len(described), _CHUNK)
        ]
        return np.asarray(self._points[np.concatenate(nearest)])


def _described(
    features: NDArray[np.float32], local: int, mean: NDArray[np.float32], axes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns what cells are compared by, (N, D): local features, and the axes of the late map's.

    Both parts have unit length, so that what is near and the surroundings count alike.
    """
    late = _unit(features[:, local:] - mean) @ axes.T
    return np.concatenate([_unit(features[:, :local]), late], axis=1).astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)
