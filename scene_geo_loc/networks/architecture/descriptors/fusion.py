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

"""Fusions: the parts of a descriptor to the joint descriptor that images are compared by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """Base of the fusions.

    Attributes:
        name: name in configs.
        needs_two_parts: true if it fuses only descriptors of two parts.
    """

    name: ClassVar[str]
    needs_two_parts: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, sizes: Sequence[int]) -> None:
        """Creates the fusion for parts of these sizes."""
        super().__init__()

    @abstractmethod
    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Returns unit descriptors (B, sum of Di) of unit parts, each (B, Di)."""


class Concatenation(Fusion):
    """Concatenates the parts with equal weights.

    They are divided by the root of their number, so that the result has unit length and cosines stay within
    1.  The authors do not divide: their distances are longer by that factor.
    """

    name = "concatenate"

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes)

    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:
        """See `Fusion.forward`."""
        return torch.cat(parts, dim=1) / len(parts) ** 0.5


class GatedFusion(Fusion):
    """Concatenates the parts, each weighted by a learned gate that depends on all of them.

    The squared gates of an image sum to 1, so the result has unit length.  Untrained gates are equal, which
    is `Concatenation`.
    """

    name = "gated"
    needs_two_parts = True

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes)
        self.gates = nn.Linear(sum(sizes), len(sizes))
        nn.init.zeros_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)

    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:
        """See `Fusion.forward`."""
        # The root is taken of the logarithm: its slope stays finite where a gate closes.
        weights = (self.gates(torch.cat(parts, dim=1)).log_softmax(dim=1) / 2).exp()
        return torch.cat([part * weights[:, i : i + 1] for i, part in enumerate(parts)], dim=1)


FUSIONS: dict[str, type[Fusion]] = {fusion.name: fusion for fusion in (Concatenation, GatedFusion)}
"""The fusions by their names in configs."""
