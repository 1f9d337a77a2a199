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


"""A head of trained layers: from the features of each cell alone to its point of the map.

It is that of ACE (Brachmann, Cavallari and Prisacariu, "Accelerated coordinate encoding", CVPR 2023, section
3): layers with residuals, and homogeneous coordinates.  Its outputs are offsets from the centres of the
scene's parts, weighted as the network chooses (Wang et al., "GLACE: global local accelerated coordinate
encoding", CVPR 2024, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LEAST_DIVISOR = 0.05
"""Least homogeneous coordinate, so that no point is infinitely far from its centre."""


class LayerHead:
    """Layers with residuals, evaluated in NumPy.

    Args:
        tensors: `mean` and `std` (F,) of the features, weights and biases of the layers `input`, `first.N`,
            `second.N` and `output`, and `centres` (K, 3) of the scene's parts, metres.
        channels: number of features.
        blocks: number of residual blocks.
        scale_m: an output of 1 is as many metres from a centre.

    Raises ValueError where the weights do not fit each other.
    """

    def __init__(self, tensors: Mapping[str, NDArray], channels: int, blocks: int, scale_m: float) -> None:
        self._weights = {name: np.asarray(value, np.float32) for name, value in tensors.items()}
        self._centres = np.asarray(tensors["centres"], np.float64)
        self._blocks, self._scale_m = blocks, scale_m
        if self._centres.ndim != 2 or self._centres.shape[1] != 3:
            raise ValueError(f"the centres have the shape {self._centres.shape}")
        if self._weights["mean"].shape != (channels,) or self._weights["std"].shape != (channels,):
            raise ValueError(f"mean and std of the features are not of {channels} channels")
        pairs = [f"{name}.{i}" for i in range(blocks) for name in ("first", "second")]
        width = channels
        for name in ("input", *pairs, "output"):
            weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise ValueError(f"layer {name} has the shapes {weight.shape} and {bias.shape}")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError(f"layer {name} has values that are not finite")
            width = len(weight)
        if width != 4 + len(self._centres):
            raise ValueError(f"the layer output has {width} numbers for {len(self._centres)} centres")

    def points(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the points (N, 3) in the map of the features (N, F) of cells, metres."""
        w = self._weights

        def layer(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(values @ w[f"{name}.weight"].T + w[f"{name}.bias"], np.float32)

        hidden = np.maximum(layer("input", (features - w["mean"]) / w["std"]), 0)
        for i in range(self._blocks):
            inner = np.maximum(layer(f"first.{i}", hidden), 0)
            hidden = hidden + np.maximum(layer(f"second.{i}", inner), 0)
        return points_of(layer("output", hidden).astype(np.float64), self._centres, self._scale_m)


def points_of(
    outputs: NDArray[np.float64], centres: NDArray[np.float64], scale_m: float
) -> NDArray[np.float64]:
    """Returns the points (N, 3) of the outputs (N, 4 + K): offset, divisor, weights of K centres."""
    logits = outputs[:, 4:] - outputs[:, 4:].max(axis=1, keepdims=True)
    weights = np.exp(logits)
    centre = (weights / weights.sum(axis=1, keepdims=True)) @ centres
    # Softplus, shifted so that an output of 0 is a divisor of 1.
    divisor = np.logaddexp(0, outputs[:, 3:4] + np.log(np.e - 1)) + LEAST_DIVISOR
    return np.asarray(centre + scale_m * outputs[:, :3] / divisor)
