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

"""Losses, against numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import tensor

from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.training.common.depth_loss import l1_depth_loss, laplace_depth_loss, supervised
from scene_geo_loc.training.descriptor.hallucination import feature_distance
from scene_geo_loc.training.descriptor.triplet_loss import triplet_loss

NAN = math.nan
LINEAR = DEPTH_SCALES["linear"]


def test_a_triplet_costs_the_margin_and_what_the_positive_is_farther_than_the_negative() -> None:
    anchor, positive = tensor([[0.0, 0.0]]), tensor([[0.0, 3.0]])
    negative = tensor([[[-4.0, 0.0]]])  # 4 from the anchor and 5 from the positive
    assert triplet_loss(anchor, positive, negative, margin=1.5) == pytest.approx(1.5 + 3 - 4, abs=1e-4)


def test_a_negative_that_is_nearer_to_the_positive_is_measured_from_there() -> None:
    anchor, positive = tensor([[0.0, 0.0]]), tensor([[0.0, 3.0]])
    negative = tensor([[[0.0, 4.0]]])
    assert triplet_loss(anchor, positive, negative, margin=0.1) == pytest.approx(0.1 + 3 - 1, abs=1e-4)


def test_triplets_that_are_told_apart_cost_nothing() -> None:
    anchor = positive = tensor([[1.0, 0.0]])
    assert triplet_loss(anchor, positive, tensor([[[-1.0, 0.0], [0.0, 1.0]]]), margin=0.1) == 0


def test_the_triplet_loss_is_the_mean_over_all_negatives_of_all_triplets() -> None:
    anchors, positives = torch.zeros(2, 1), torch.zeros(2, 1)
    negatives = tensor([[[0.0], [9.0]], [[0.05], [9.0]]])
    assert triplet_loss(anchors, positives, negatives, margin=0.1) == pytest.approx(0.15 / 4, abs=1e-4)


def test_an_image_that_is_its_own_positive_still_has_a_finite_gradient() -> None:
    anchors = torch.zeros(1, 4, requires_grad=True)
    triplet_loss(anchors, anchors, anchors[:, None], margin=0.1).backward()
    assert anchors.grad is not None
    assert anchors.grad.isfinite().all()


def test_the_sky_is_learned_as_far_and_holes_below_what_is_known_are_not_learned() -> None:
    columns = tensor([[[NAN, NAN, 9.0], [NAN, 8.0, NAN], [7.0, NAN, 6.0]]])
    assert supervised(columns).tolist() == [[[True, True, True], [True, True, False], [True, False, True]]]


def test_sky_and_100_m_and_more_are_taken_as_1() -> None:
    inferred = torch.full((1, 1, 1, 4), 0.5)
    depth_m = tensor([[[NAN, 250.0, 100.0, 50.0]]])
    assert l1_depth_loss(inferred, depth_m, LINEAR) == pytest.approx(3 * 0.5 / 4)


def test_images_without_any_depth_do_not_count() -> None:
    inferred = torch.full((2, 1, 1, 2), 0.5)
    depth_m = tensor([[[NAN, NAN]], [[0.0, 50.0]]])
    assert l1_depth_loss(inferred, depth_m, LINEAR) == pytest.approx(0.25)
    assert l1_depth_loss(inferred, torch.full((2, 1, 2), NAN), LINEAR) == 0


def test_the_laplace_loss_leaves_holes_out() -> None:
    inferred, log_scale = torch.full((1, 1, 2, 1), 0.5), torch.full((1, 1, 2, 1), math.log(0.2))
    known = tensor([[[60.0], [NAN]]])
    assert laplace_depth_loss(inferred, log_scale, known, LINEAR) == pytest.approx(
        0.1 / 0.2 + math.log(0.2), abs=1e-5
    )
    assert laplace_depth_loss(inferred, log_scale, torch.full((1, 2, 1), NAN), LINEAR) == 0


def test_the_laplace_loss_is_least_where_the_scale_is_the_error() -> None:
    depth_m = torch.full((1, 1, 1), 70.0)
    scales = torch.linspace(0.05, 0.6, 56)
    losses = [
        laplace_depth_loss(torch.full((1, 1, 1, 1), 0.5), s.log().view(1, 1, 1, 1), depth_m, LINEAR)
        for s in scales
    ]
    assert scales[int(torch.stack(losses).argmin())] == pytest.approx(0.2, abs=0.011)


def test_the_distance_of_feature_maps_is_over_images_with_depth() -> None:
    hallucinated, wanted = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    hallucinated[0] = 7.0
    assert feature_distance(hallucinated, wanted, tensor([False, True])) == 1
    assert feature_distance(hallucinated, wanted, tensor([True, True])) == pytest.approx((6 + 1) / 2)
