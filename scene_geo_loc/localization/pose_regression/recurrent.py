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
"""Recurrent layers of a pose regressor in NumPy, as torch's `nn.LSTM` has them (gates i, f, g, o)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

ROWS = 16
"""Rows of the grid that a spatial LSTM reads, as in `networks.architecture.pose_network`."""


def last_state(
    weights: Mapping[str, NDArray[np.float32]], name: str, inputs: NDArray[np.float32], backwards: bool
) -> NDArray[np.float32]:
    """Returns the state (N, H) after a sequence (N, T, D) by one direction of a layer."""
    suffix = "l0_reverse" if backwards else "l0"
    recurrent = weights[f"{name}.weight_hh_{suffix}"].T
    bias = weights[f"{name}.bias_ih_{suffix}"] + weights[f"{name}.bias_hh_{suffix}"]
    gates_of_inputs = inputs @ weights[f"{name}.weight_ih_{suffix}"].T + bias
    state = cell = np.zeros((len(inputs), len(recurrent)), np.float32)
    steps = range(inputs.shape[1])
    for step in reversed(steps) if backwards else steps:
        entry, forget, candidate, out = np.split(gates_of_inputs[:, step] + state @ recurrent, 4, axis=1)
        cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(candidate)
        state = _sigmoid(out) * np.tanh(cell)
    return np.asarray(state, np.float32)


def spatial_context(
    weights: Mapping[str, NDArray[np.float32]], components: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns the context (N, 4 H) of components (N, D): a grid of `ROWS` rows read in four directions."""
    columns = -(-components.shape[1] // ROWS)
    padded = np.zeros((len(components), ROWS * columns), np.float32)
    padded[:, : components.shape[1]] = components
    grid = padded.reshape(-1, ROWS, columns)
    states = [
        last_state(weights, name, read, backwards)
        for name, read in (("context.down", grid), ("context.across", grid.transpose(0, 2, 1)))
        for backwards in (False, True)
    ]
    return np.concatenate(states, axis=1)


def clip_context(
    weights: Mapping[str, NDArray[np.float32]], clips: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns the context (N, 2 H) of the last images of clips (N, T, D), read in both directions."""
    forwards = last_state(weights, "context.images", clips, False)
    backwards = last_state(weights, "context.images", clips[:, -1:], True)  # it begins at the last image
    return np.concatenate([forwards, backwards], axis=1)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), np.float32)
