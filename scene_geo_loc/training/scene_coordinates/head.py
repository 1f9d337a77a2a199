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


"""The head of a network for scene coordinates: layers on the features of each cell alone."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scene_geo_loc.localization.scene_coordinates.layers import LEAST_DIVISOR


class CoordinateHead(nn.Module):
    """Layers of a network for scene coordinates; see `LayerHead` for what it computes.

    Args:
        mean, std: (F,) of the features of the training.
        units: of the hidden layers.
        blocks: number of residual blocks of two layers.
        centres: (K, 3) of the parts of the scene, metres.
        scale_m: an output of 1 is as many metres from a centre.
    """

    mean: Tensor
    std: Tensor
    centres: Tensor

    def __init__(
        self, mean: Tensor, std: Tensor, units: int, blocks: int, centres: Tensor, scale_m: float
    ) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std), ("centres", centres)):
            self.register_buffer(name, value.float())
        self.input = nn.Linear(len(mean), units)
        self.first = nn.ModuleList(nn.Linear(units, units) for _ in range(blocks))
        self.second = nn.ModuleList(nn.Linear(units, units) for _ in range(blocks))
        self.output = nn.Linear(units, 4 + len(centres))
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)
        self._scale_m = scale_m

    def forward(self, features: Tensor) -> Tensor:
        """Returns the points (N, 3) in the map of the features (N, F) of cells."""
        hidden = torch.relu(self.input((features - self.mean) / self.std))
        for first, second in zip(self.first, self.second, strict=True):
            hidden = hidden + torch.relu(second(torch.relu(first(hidden))))
        outputs = self.output(hidden)
        centre = outputs[:, 4:].softmax(dim=1) @ self.centres
        divisor = F.softplus(outputs[:, 3:4] + math.log(math.e - 1)) + LEAST_DIVISOR
        return centre + self._scale_m * outputs[:, :3] / divisor

    def arrays(self) -> dict[str, NDArray]:
        """Returns the weights as they are stored: the hidden layers as float16."""
        return {
            name: value.detach()
            .cpu()
            .numpy()
            .astype(np.float16 if name.startswith(("first", "second")) else np.float32)
            for name, value in self.state_dict().items()
        }
