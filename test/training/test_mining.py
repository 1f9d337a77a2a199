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

"""Hard images of triplets."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.training.descriptor.triplet_loss import mine_hard, take


def descriptors(*distances: float) -> torch.Tensor:
    """One triplet: an anchor at 0 and the others so far from it."""
    return torch.tensor([0.0, *distances]).view(1, -1, 1)


def test_the_farthest_positive_and_the_nearest_negatives_are_hard() -> None:
    hard = mine_hard(descriptors(0.2, 0.9, 0.5, 4.0, 1.0, 3.0, 2.0), positives=3, hard_negatives=2)
    assert hard.positive.tolist() == [2]
    assert hard.negatives.tolist() == [[5, 7]]
    assert hard.images.tolist() == [[0, 2, 5, 7]]


def test_each_triplet_is_mined_on_its_own() -> None:
    both = torch.cat([descriptors(0.1, 0.2, 5.0, 3.0), descriptors(0.2, 0.1, 3.0, 5.0)])
    hard = mine_hard(both, positives=2, hard_negatives=1)
    assert hard.images.tolist() == [[0, 2, 4], [0, 1, 3]]


def test_mining_passes_no_gradient() -> None:
    joint = descriptors(1.0, 2.0).requires_grad_()
    assert not mine_hard(joint, positives=1, hard_negatives=1).images.requires_grad


@given(
    triplets=st.integers(1, 3),
    positives=st.integers(1, 4),
    negatives=st.integers(1, 6),
    seed=st.integers(0, 999),
)
def test_no_image_that_was_left_is_harder(triplets: int, positives: int, negatives: int, seed: int) -> None:
    count = 1 + seed % negatives
    joint = torch.randn(triplets, 1 + positives + negatives, 4, generator=torch.Generator().manual_seed(seed))
    hard = mine_hard(joint, positives, count)
    apart = (joint - joint[:, :1]).norm(dim=2)
    chosen = take(apart, hard.images)
    for t in range(triplets):
        assert chosen[t, 1] == apart[t, 1 : 1 + positives].max()
        assert torch.equal(chosen[t, 2:], apart[t, 1 + positives :].sort().values[:count])
