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

"""The triplet loss, and the hard images of a mini-batch that enter it (ICRA 2019, sections III and IV)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def triplet_loss(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Mean over triplets and negatives of max(0, margin + d(a, p) - min(d(a, n), d(p, n))).

    d is Euclidean.  Using the distance of a negative to the nearer of anchor and positive is the anchor swap
    (Balntas et al., BMVC 2016).

    Args:
        anchors, positives: (T, D) descriptors.
        negatives: (T, H, D) descriptors.
        margin: by how much nearer the positive must be.
    """
    to_positive = F.pairwise_distance(anchors, positives)[:, None]
    to_negative = torch.minimum(
        F.pairwise_distance(anchors[:, None], negatives), F.pairwise_distance(positives[:, None], negatives)
    )
    return F.relu(margin + to_positive - to_negative).mean()


@dataclass(frozen=True)
class HardImages:
    """The images of each triplet that enter the losses, numbered within their triplet.

    Attributes:
        positive: (T,) the positive farthest from the anchor.
        negatives: (T, H) the negatives nearest to the anchor, the nearest first.
    """

    positive: Tensor
    negatives: Tensor

    @property
    def images(self) -> Tensor:
        """Numbers (T, 2 + H): the anchor, which is image 0, the positive, and the negatives."""
        return torch.cat(
            [torch.zeros_like(self.positive)[:, None], self.positive[:, None], self.negatives], 1
        )


@torch.no_grad()
def mine_hard(joint: Tensor, positives: int, hard_negatives: int) -> HardImages:
    """Finds the hardest positive and the hardest negatives of triplets, by Euclidean distance to the anchor.

    Args:
        joint: (T, 1 + P + N, D) descriptors of anchor, positives and negatives.
        positives: P.
        hard_negatives: H, at most N.
    """
    joint = joint.float()
    distance = (joint[:, 1:] - joint[:, :1]).norm(dim=2)
    farthest = distance[:, :positives].argmax(dim=1)
    nearest = distance[:, positives:].topk(hard_negatives, dim=1, largest=False).indices
    return HardImages(1 + farthest, 1 + positives + nearest)


def take(values: Tensor, images: Tensor) -> Tensor:
    """Selects the values (T, H, ...) of the images (T, H) from those of all images (T, M, ...) of
    triplets.
    """
    return values[torch.arange(len(values), device=values.device)[:, None], images.to(values.device)]
