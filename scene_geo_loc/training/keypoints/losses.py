"""The losses of keypoints: features that agree, stay near a teacher's, and know whether they can be matched.

Pixel centres have integer coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.architecture.local_features import KeypointMaps
from scene_geo_loc.networks.architecture.xfeat import CELL
from scene_geo_loc.training.keypoints.batches import KeypointBatch

TEMPERATURE = 0.03
"""Divisor of the cosines before the softmax over the points of an image.  It suits features whose cosines
spread as little as the teacher's."""
APART = 6.0
"""Points of an image nearer to each other than this many pixels are not told apart."""
REACH = 0.97
"""Points of the clear view beyond this share of its half sides are left out."""
TEACHER_SHARE = 0.5
"""Weight of the teacher's reliability in the one that is learned; the rest is whether the match was right."""
WEIGHTS = {"match": 1.0, "teacher": 1.0, "reliability": 0.5, "keypoints": 0.3}
"""Weights of the losses in their sum."""


class TeacherMaps(NamedTuple):
    """The teacher's output for the clear views.

    Attributes:
        features: (B, C, h, w) of unit length.
        heat: (B, 1, H, W), probability of a keypoint.
        reliability: (B, 1, h, w), logits.
    """

    features: Tensor
    heat: Tensor
    reliability: Tensor


def keypoint_losses(
    first: KeypointMaps, second: KeypointMaps, teacher: TeacherMaps, batch: KeypointBatch
) -> dict[str, Tensor]:
    """Returns the losses of a batch by name, not yet weighted, and the share of points matched right.

    match: cross-entropy of the points of one view over those of the other, both ways.  teacher: one minus
    the cosine with the teacher's features of the clear view.  reliability: cross-entropy of whether a point
    is matched right and of the teacher's.  keypoints: cross-entropy of the teacher's keypoints.
    """
    size = batch.first.shape[2], batch.first.shape[1]
    known = batch.known
    grids = [_normalised(points, size)[:, None] for points in batch.points]
    features = [_features_at(maps, grid) for maps, grid in zip((first, second), grids[:2], strict=True)]
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
    reliable = torch.sigmoid(_sampled(teacher.reliability, grids[2])[:, 0])
    wanted = torch.where(
        in_clear, TEACHER_SHARE * reliable + (1 - TEACHER_SHARE) * is_right.float(), is_right.float()
    )
    reliability = torch.stack(
        [
            F.binary_cross_entropy_with_logits(
                _sampled(maps.reliability, grid)[:, 0], wanted, reduction="none"
            )
            for maps, grid in zip((first, second), grids[:2], strict=True)
        ]
    )
    return {
        "match": _mean(both / 2, known),
        "teacher": _mean(away, in_clear),
        "reliability": _mean(reliability.mean(0), known),
        "keypoints": torch.stack(
            [
                keypoint_loss(maps.positions, teacher.heat, T, has)
                for maps, T, has in zip((first, second), batch.T_clear, batch.has_clear, strict=True)
            ]
        ).mean(),
        "right": _mean(is_right.float(), known),
    }


def keypoint_loss(positions: Tensor, heat: Tensor, T_clear: Tensor, has_clear: Tensor) -> Tensor:
    """Returns the cross-entropy of the keypoints of views over the pixels of their cells, or none of them.

    Args:
        positions: (B, 65, h, w) logits.
        heat: (B, 1, H, W), probability of a keypoint in the clear views.
        T_clear: (B, 3, 3), homographies from the views to the clear ones.
        has_clear: (B,) whether there is one; the others do not count.
    """
    rows, columns = positions.shape[2] * CELL, positions.shape[3] * CELL
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1).to(heat)
    moved = torch.einsum("bij,hwj->bhwi", T_clear, pixels)
    moved = moved[..., :2] / moved[..., 2:].abs().clamp(min=1e-6)
    grid = _normalised(moved, (heat.shape[3], heat.shape[2]))
    inside = (grid.abs().amax(-1) < REACH).float()[:, None]
    cells = F.pixel_unshuffle(F.grid_sample(heat, grid, align_corners=False), CELL)
    # A view that is larger than the clear one has more probability in a cell.
    cells = cells / cells.sum(1, keepdim=True).clamp(min=1)
    wanted = torch.cat([cells, 1 - cells.sum(1, keepdim=True)], dim=1)
    counted = (F.pixel_unshuffle(inside, CELL).amin(1) > 0) & has_clear[:, None, None]
    return _mean(-(wanted * positions.log_softmax(1)).sum(1), counted)


def _normalised(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns pixels (..., 2) of an image of a size (width, height) as `grid_sample` takes them."""
    return (2 * pixels + 1) / pixels.new_tensor(size) - 1


def _sampled(maps: Tensor, grid: Tensor) -> Tensor:
    """Returns the values (B, C, N) of maps (B, C, h, w) at places (B, 1, N, 2)."""
    return F.grid_sample(maps, grid, align_corners=False)[:, :, 0]


def _features_at(maps: KeypointMaps | TeacherMaps, grid: Tensor) -> Tensor:
    """Returns unit features (B, N, C) at places (B, 1, N, 2)."""
    return F.normalize(_sampled(maps.features, grid).transpose(1, 2), dim=2)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)
