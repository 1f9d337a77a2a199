"""Hard images of the triplets of a mini-batch, by the joint descriptor (ICRA 2019, section IV)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hard:
    """Which images of each triplet enter the losses; images are numbered within their triplet.

    Attributes:
        positive: (T,) the positive farthest from the anchor.
        negatives: (T, H) the negatives nearest to the anchor, the nearest first.
    """

    positive: Tensor
    negatives: Tensor

    @property
    def images(self) -> Tensor:
        """(T, 2 + H): the anchor, which is image 0, the positive, and the negatives."""
        return torch.cat(
            [torch.zeros_like(self.positive)[:, None], self.positive[:, None], self.negatives], 1
        )


@torch.no_grad()
def mine_hard(joint: Tensor, positives: int, hard_negatives: int) -> Hard:
    """The hardest positive and the hardest negatives of triplets, by Euclidean distance to the anchor.

    Args:
        joint: (T, 1 + P + N, D) descriptors of anchor, positives and negatives.
        positives: P.
        hard_negatives: H, at most N.
    """
    joint = joint.float()
    apart = (joint[:, 1:] - joint[:, :1]).norm(dim=2)
    farthest = apart[:, :positives].argmax(dim=1)
    nearest = apart[:, positives:].topk(hard_negatives, dim=1, largest=False).indices
    return Hard(1 + farthest, 1 + positives + nearest)


def take(values: Tensor, images: Tensor) -> Tensor:
    """The values (T, H, ...) of the images (T, H) out of those of all images (T, M, ...) of triplets."""
    return values[torch.arange(len(values), device=values.device)[:, None], images.to(values.device)]
