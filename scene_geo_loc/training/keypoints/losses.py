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

"""The losses of keypoints: features that agree between views, and stay those of a teacher in clear views.

Pixel centres have integer coordinates.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.architecture.local_features import KeypointMaps
from scene_geo_loc.training.keypoints.batches import KeypointBatch

TEMPERATURE = 0.03
"""Divisor of the cosines before the softmax over the points of an image.  It suits features whose cosines
spread as little as the teacher's."""
APART = 6.0
"""Points of an image nearer to each other than this many pixels are not told apart."""
REACH = 0.97
"""Points of the clear view beyond this share of its half sides are left out."""
BACKGROUND = 0.2
"""Weight, beside the teacher's reliability, of a cell in which features are to stay the teacher's."""
RELIABILITY = 0.2
"""Weight of the reliability, relative to the features, that is to stay the teacher's."""
WEIGHTS = {"match": 0.5, "teacher": 1.0, "reliability": 0.5, "keep": 8.0}
"""Weights of the losses in their sum.

`keep` is strong, so that features of clear views stay the teacher's, and with them the similarity at which
they match.
"""


def keypoint_losses(
    first: KeypointMaps,
    second: KeypointMaps,
    clear: KeypointMaps,
    teacher: KeypointMaps,
    batch: KeypointBatch,
) -> dict[str, Tensor]:
    """Returns the losses of a batch by name, not yet weighted, and the share of points matched right.

    match: cross-entropy of the points of one view over those of the other, both ways.  teacher: one minus
    the cosine with the teacher's features of the clear view.  reliability: cross-entropy with the teacher's
    of the clear view.  keep: features and reliability of the clear view against the teacher's of the same.

    Args:
        first, second, clear: of the student.
        teacher: of the clear view.
    """
    size = batch.first.shape[2], batch.first.shape[1]
    known = batch.known
    grids = [_normalised(points, size)[:, None] for points in batch.points]
    views = list(zip((first, second), grids[:2], strict=True))
    features = [_features_at(maps, grid) for maps, grid in views]
    logits = features[0] @ features[1].transpose(1, 2) / TEMPERATURE
    near = (torch.cdist(batch.points[0], batch.points[0]) < APART) | (
        torch.cdist(batch.points[1], batch.points[1]) < APART
    )
    itself = torch.eye(known.shape[1], dtype=torch.bool, device=known.device)
    left_out = (near & ~itself) | ~known[:, None, :] | ~known[:, :, None]
    logits = logits.masked_fill(left_out, -1e4)
    target = torch.arange(known.shape[1], device=known.device).expand(len(known), -1)
    both = F.cross_entropy(logits.transpose(1, 2), target, reduction="none") + F.cross_entropy(
        logits, target, reduction="none"
    )
    is_right = (logits.argmax(2) == target) & (logits.argmax(1) == target)
    in_clear = known & (grids[2].abs().amax(-1)[:, 0] < REACH)
    taught = _features_at(teacher, grids[2])
    away = torch.stack([1 - (each * taught).sum(-1) for each in features]).mean(0)
    wanted = torch.sigmoid(_sampled(teacher.reliability, grids[2])[:, 0])
    reliability = [
        F.binary_cross_entropy_with_logits(_sampled(maps.reliability, grid)[:, 0], wanted, reduction="none")
        for maps, grid in views
    ]
    return {
        "match": _mean(both / 2, known),
        "teacher": _mean(away, in_clear),
        "reliability": _mean(torch.stack(reliability).mean(0), in_clear),
        "keep": keep_loss(clear, teacher),
        "right": _mean(is_right.float(), known),
    }


def keep_loss(student: KeypointMaps, teacher: KeypointMaps) -> Tensor:
    """Returns how far features and reliability are from the teacher's for the same images."""
    wanted = torch.sigmoid(teacher.reliability)
    away = 1 - (student.features * teacher.features).sum(1, keepdim=True)
    reliability = F.binary_cross_entropy_with_logits(student.reliability, wanted)
    return (away * (BACKGROUND + wanted)).mean() + RELIABILITY * reliability


def _normalised(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns pixels (..., 2) of an image of a size (width, height) as `grid_sample` takes them."""
    return (2 * pixels + 1) / pixels.new_tensor(size) - 1


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    """Returns the values (B, C, N) of maps (B, C, h, w) at places (B, 1, N, 2)."""
    return F.grid_sample(maps, grid, align_corners=False)[:, :, 0]


def _features_at(maps: KeypointMaps, grid: Tensor) -> Tensor:
    """Returns unit features (B, N, C) at places (B, 1, N, 2)."""
    return F.normalize(_sampled(maps.features, grid).transpose(1, 2), dim=2)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)
