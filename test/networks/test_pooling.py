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

"""Poolings: their output against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.pooling import MAC, POOLINGS, CentredNetVLAD, GeM, NetVLAD, Pooling


def fitted(name: str, channels: int) -> Pooling:
    torch.manual_seed(0)
    pooling = POOLINGS[name](channels)
    pooling.fit(np.random.default_rng(0).normal(size=(500, channels)).astype(np.float32), 40.0)
    return pooling


@pytest.mark.parametrize("name", POOLINGS)
def test_every_pooling_gives_unit_descriptors_of_the_size_that_it_declares(name: str) -> None:
    pooling = fitted(name, 6)
    descriptors = pooling(torch.randn(3, 6, 5, 7))
    assert descriptors.shape == (3, pooling.output_size)
    assert pooling.output_size == POOLINGS[name].size_of(6)
    np.testing.assert_allclose(descriptors.norm(dim=1).detach(), 1, atol=1e-5)


@pytest.mark.parametrize("name", POOLINGS)
def test_where_a_feature_stands_in_the_map_does_not_count(name: str) -> None:
    pooling, maps = fitted(name, 6), torch.randn(1, 6, 4, 5)
    turned = maps.flip(2).transpose(2, 3)
    np.testing.assert_allclose(pooling(turned).detach(), pooling(maps).detach(), atol=1e-5)


def test_mac_is_the_maximum_of_each_channel() -> None:
    maps = torch.tensor([[[[1.0, 3.0]], [[4.0, -2.0]]]])
    np.testing.assert_allclose(MAC(2)(maps), [[0.6, 0.8]], atol=1e-6)


def test_gem_is_the_mean_of_what_is_positive_where_its_exponent_is_one() -> None:
    pooling = GeM(2)
    with torch.no_grad():
        pooling.exponent.fill_(1.0)
    maps = torch.tensor([[[[5.0, 1.0]], [[8.0, -3.0]]]])
    np.testing.assert_allclose(pooling(maps).detach(), [[0.6, 0.8]], atol=1e-6)


def test_gem_comes_near_the_maximum_where_its_exponent_is_large() -> None:
    pooling, maps = GeM(4), torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        pooling.exponent.fill_(60.0)
    np.testing.assert_allclose(pooling(maps).detach(), MAC(4)(maps), atol=0.02)


def test_gem_learns_its_exponent_also_from_a_map_without_anything_positive() -> None:
    pooling = GeM(4)
    maps = torch.cat([torch.rand(1, 4, 3, 3), -torch.rand(1, 4, 3, 3)]).requires_grad_()
    pooling(maps)[:, 0].sum().backward()
    assert pooling.exponent.grad is not None
    assert pooling.exponent.grad != 0
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize("sharpness", [20.0, 60.0])
def test_netvlad_is_the_soft_assigned_residuals_to_the_centres(sharpness: float) -> None:
    torch.manual_seed(0)
    pooling = NetVLAD(3)
    pooling.fit(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32), sharpness)
    features = torch.randn(1, 3, 2, 2)
    x = F.normalize(features[0].flatten(1).T, dim=1).double()
    centres = pooling.centres.double()
    # The assignment by its definition: a softmax of -alpha times the squared distances.
    weights = (-sharpness * torch.cdist(x, centres).square()).softmax(dim=1)
    residuals = torch.stack([(weights[:, k, None] * (x - centres[k])).sum(0) for k in range(64)])
    expected = F.normalize(F.normalize(residuals, dim=1).flatten(), dim=0)
    np.testing.assert_allclose(pooling(features)[0].detach(), expected.detach(), atol=1e-4)


def test_netvlad_finds_the_clusters_of_what_it_is_fitted_to() -> None:
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(64, 16))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    features = np.repeat(directions, 40, axis=0) * rng.uniform(0.5, 9, (64 * 40, 1))
    pooling = NetVLAD(16)
    assert not pooling.is_fitted
    pooling.fit(features.astype(np.float32), 40.0)
    assert pooling.is_fitted
    found = (directions @ pooling.centres.detach().numpy().T).max(axis=1)
    assert np.mean(found > 0.999) > 0.8  # k-means leaves some of them together


def test_centred_netvlad_hardly_notices_what_is_added_to_all_of_an_image() -> None:
    torch.manual_seed(0)
    maps, added = torch.randn(1, 6, 5, 7), 0.5 * torch.randn(1, 6, 1, 1)
    centred, plain = (fitted(name, 6) for name in ("centred_netvlad", "netvlad"))
    kept = [float((pooling(maps) * pooling(maps + added)).sum()) for pooling in (centred, plain)]
    assert kept[0] > kept[1]
    flat = CentredNetVLAD(6).local_features(added.expand(1, 6, 5, 7))
    np.testing.assert_allclose(flat, added.flatten().expand(1, 35, 6) / 2, atol=1e-6)


def test_too_few_features_for_the_clusters_are_said() -> None:
    with pytest.raises(SceneGeoLocError, match=r"63 local features < 64 clusters; take more"):
        NetVLAD(3).fit(np.ones((63, 3), np.float32), 40.0)
