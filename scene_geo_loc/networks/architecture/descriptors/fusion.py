"""Fusions: the parts of a descriptor to the one that images are compared by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Concatenation(nn.Module):
    """The parts one after another, each of the same weight.

    They are divided by the root of their number, so that the whole has unit length and cosines remain
    within 1; the authors, who did not, have distances that are longer by that factor.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()

    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Unit descriptors (B, sum of Di) of unit parts, each (B, Di)."""
        return torch.cat(parts, dim=1) / len(parts) ** 0.5


class GatedFusion(nn.Module):
    """The parts one after another, each weighted by a gate that is learned from all of them.

    The squares of an image's gates add up to 1, and so the whole has unit length.  Untrained, all are equal:
    what `Concatenation` gives.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.gates = nn.Linear(sum(sizes), len(sizes))
        nn.init.zeros_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)

    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Unit descriptors (B, sum of Di) of unit parts, each (B, Di)."""
        # The root by way of the logarithm: where a gate closes, its slope stays finite.
        weights = (self.gates(torch.cat(parts, dim=1)).log_softmax(dim=1) / 2).exp()
        return torch.cat([part * weights[:, i : i + 1] for i, part in enumerate(parts)], dim=1)


FUSIONS: dict[str, type[Concatenation] | type[GatedFusion]] = {
    "concatenate": Concatenation,
    "gated": GatedFusion,
}
