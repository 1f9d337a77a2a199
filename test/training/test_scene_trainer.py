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

"""Training depth, matching and places on images of known pose, against results known from geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.decoders import InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.training.common.protocols import Freeze, SceneProtocol, Task
from scene_geo_loc.training.scene.batches import SceneBatch
from scene_geo_loc.training.scene.losses import (
    matching_loss,
    photometric_distance,
    pixel_rays,
    project,
    true_matches,
    view_synthesis_loss,
    warped,
)
from scene_geo_loc.training.scene.trainer import SceneTrainer

pytestmark = pytest.mark.slow

H, W, F = 48, 64, 50.0
K = torch.tensor([[F, F, W / 2 - 0.5, H / 2 - 0.5]])
SCALE = DEPTH_SCALES["inverse_20m"]


def texture(seed: int = 0) -> Tensor:
    """Smooth noise (1, 3, H, W) in 0..1, wider than an image."""
    torch.manual_seed(seed)
    coarse = torch.rand(1, 3, 16, 32)
    return torch.nn.functional.interpolate(coarse, (H, 2 * W), mode="bicubic").clamp(0, 1)


def wall(depth_m: float, shift_m: float) -> tuple[Tensor, Tensor, Tensor]:
    """A wall seen by two cameras side by side: both images (1, 3, H, W) and T_other_image (1, 4, 4)."""
    pixels = F * shift_m / depth_m
    assert pixels == int(pixels)
    picture = texture()
    T = torch.eye(4)[None]
    T[0, 0, 3] = -shift_m
    return picture[..., 8 : 8 + W], picture[..., 8 + int(pixels) : 8 + int(pixels) + W], T


def test_points_project_where_a_pinhole_sees_them() -> None:
    rays = pixel_rays(K, H, W)
    pixels, in_front = project(rays * 3.0, torch.eye(4)[None], K)
    assert in_front.all()
    np.testing.assert_allclose(pixels[0, 7, 11], [11, 7], atol=1e-4)
    behind = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))[None]
    assert not project(rays, behind, K)[1].any()


def test_a_view_is_warped_to_another_by_the_true_depth_alone() -> None:
    image, other, T = wall(5.0, 0.5)
    points = pixel_rays(K, H, W) * 5.0
    seen, inside = warped(other, points, T, K)
    assert 0.85 < inside.float().mean() < 1
    np.testing.assert_allclose(seen[0, :, inside[0]], image[0, :, inside[0]], atol=1e-3)
    wrong, _ = warped(other, points / 2, T, K)
    assert (wrong - image)[0, :, inside[0]].abs().mean() > 0.02


def test_nothing_is_more_like_an_image_than_itself() -> None:
    one, other = texture(0)[..., :W], texture(1)[..., :W]
    np.testing.assert_allclose(photometric_distance(one, one), 0, atol=1e-4)
    assert (photometric_distance(one, other) > 0.05).float().mean() > 0.8


def loss_at(depth_m: float) -> float:
    image, other, T = wall(5.0, 0.5)
    depth = SCALE.normalise(torch.full((1, 1, H, W), depth_m))
    inferred = InferredDepth(depth, None, (depth[..., ::2, ::2],))
    return view_synthesis_loss(inferred, image, other[:, None], T[:, None], K, K[:, None], SCALE).item()


def test_the_true_depth_in_metres_explains_the_views_best() -> None:
    losses = {depth: loss_at(depth) for depth in (2.5, 4.0, 5.0, 6.5, 12.0)}
    assert min(losses, key=lambda depth: losses[depth]) == 5.0
    assert losses[5.0] < 0.3 * losses[2.5]


def test_depth_is_found_by_descending_the_loss() -> None:
    image, other, T = wall(5.0, 0.5)
    logit = SCALE.normalise(torch.tensor(4.0)).logit().clone().requires_grad_()
    optimiser = torch.optim.Adam([logit], lr=0.02)
    for _ in range(60):
        inferred = InferredDepth(logit.sigmoid().expand(1, 1, H, W), None)
        loss = view_synthesis_loss(inferred, image, other[:, None], T[:, None], K, K[:, None], SCALE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert SCALE.metres(logit.sigmoid()).item() == pytest.approx(5.0, rel=0.03)


CENTRES = torch.stack(
    torch.meshgrid(torch.arange(3.5, W, 8), torch.arange(3.5, H, 8), indexing="xy"), dim=-1
).reshape(-1, 2)
GRID = (H // 8, W // 8)


def test_cells_match_where_geometry_puts_them() -> None:
    # A whole cell to the left: 8 pixels at 50 / 5 pixels a metre.
    depth = torch.full((1, H, W), 5.0)
    T = torch.eye(4)[None]
    T[0, 0, 3] = -0.8
    cells, known = true_matches(depth, depth, T, K, K, CENTRES, GRID)
    here = np.arange(GRID[0] * GRID[1]).reshape(GRID)
    np.testing.assert_array_equal(known[0].reshape(GRID), here % GRID[1] > 0)
    np.testing.assert_array_equal(cells[0].reshape(GRID)[:, 1:], here[:, :-1])


def test_what_is_hidden_or_of_unknown_depth_has_no_match() -> None:
    depth, other = torch.full((1, H, W), 5.0), torch.full((1, H, W), 5.0)
    other[:, : H // 2] = 2.0
    depth[:, :, : W // 2] = torch.nan
    _, known = true_matches(depth, other, torch.eye(4)[None], K, K, CENTRES, GRID)
    rows, columns = known[0].reshape(GRID).any(dim=1), known[0].reshape(GRID).any(dim=0)
    assert rows.tolist() == [False] * 3 + [True] * 3
    assert columns.tolist() == [False] * 4 + [True] * 4


def test_matching_features_are_less_surprising_than_others() -> None:
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(1, 16, *GRID), dim=1)
    cells = torch.arange(GRID[0] * GRID[1])[None]
    known = torch.ones_like(cells, dtype=torch.bool)
    right = matching_loss(features, features, cells, known)
    wrong = matching_loss(features, features.flip(3), cells, known)
    assert right < 0.1 * wrong
    assert matching_loss(features, features, cells, ~known) == 0


def network(**config: Any) -> SceneNetwork:
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "descriptor": "rgb_depth",
        "pooling": "mac",
        "depth_scale": "inverse_20m",
        **config,
    }
    return SceneNetwork(NetworkConfig(input_width=W, input_height=H, **values))


def batch(seed: int = 0) -> SceneBatch:
    """Two walls at 5 m, each seen from 0.5 m to the side."""
    images, others, T = (torch.cat(of) for of in zip(*(wall(5.0, 0.5) for _ in range(2)), strict=True))
    images = (255 * images).round().to(torch.uint8).movedim(1, 3)
    others = (255 * others).round().to(torch.uint8).movedim(1, 3)
    depth, both = torch.full((2, H, W), 5.0), K.expand(2, 4)
    apart = torch.tensor([[0.5, 60.0], [60.0, 0.5]])
    views = (others[:, None], both[:, None], T[:, None])
    return SceneBatch(images, depth, both, images, *views, others, depth, both, T, apart)


@pytest.mark.parametrize(
    ("tasks", "freeze", "learns"),
    [
        ((Task.DEPTH,), Freeze.ENCODER, {"descriptor.decoder"}),
        ((Task.VIEWS,), Freeze.ENCODER, {"descriptor.decoder"}),
        ((Task.MATCHING,), Freeze.ENCODER, {"local_features.layers"}),
        ((Task.DEPTH,), Freeze.NOTHING, {"descriptor.decoder", "encoder.conv_stem"}),
        (
            (Task.VIEWS, Task.MATCHING, Task.PLACES),
            Freeze.NOTHING,
            {"descriptor.decoder", "encoder.conv_stem", "local_features.layers"},
        ),
    ],
)
def test_each_task_trains_its_part_and_what_is_frozen_stays(
    tasks: tuple[Task, ...], freeze: Freeze, learns: set[str]
) -> None:
    trained = network(local_features="learned")
    before = {key: value.clone() for key, value in trained.named_parameters()}
    trainer = SceneTrainer(trained, freeze, SceneProtocol(tasks=tasks))
    assert np.isfinite(trainer.learn(*batch()))
    changed = {key for key, value in trained.named_parameters() if not torch.equal(value, before[key])}
    assert {".".join(key.split(".")[:2]) for key in changed} >= learns
    if freeze is Freeze.ENCODER:
        assert not any(key.startswith("encoder.") for key in changed)


@pytest.mark.parametrize("task", [Task.DEPTH, Task.VIEWS, Task.MATCHING])
def test_a_task_is_learned(task: Task) -> None:
    trained = network(local_features="learned")
    protocol = SceneProtocol(tasks=(task,), learning_rate=3e-3, encoder_learning_rate=1e-3)
    trainer = SceneTrainer(trained, Freeze.NOTHING, protocol)
    losses = [trainer.learn(*batch()) for _ in range(30)]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_where_nothing_would_learn_that_is_told() -> None:
    with pytest.raises(SceneGeoLocError, match="freeze encoder no layer is trained for matching"):
        SceneTrainer(network(), Freeze.ENCODER, SceneProtocol(tasks=(Task.MATCHING,)))
