"""What local features learn by: the same point of the scene alike in two images, and all others not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.training.scene.pinhole import project, rays_through

TEMPERATURE = 0.07
"""Cosines are divided by it before they become odds."""
HIDDEN = 0.1
"""A point is hidden in the other image where that sees something nearer by more than this share."""


def true_matches(
    depth: Tensor,
    other_depth: Tensor,
    T_other_image: Tensor,
    K: Tensor,
    K_other: Tensor,
    centres: Tensor,
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """The cell of another image in which the centre of each cell of an image lies.

    Args:
        depth, other_depth: (B, H, W) metres, NaN where unknown.
        T_other_image: (B, 4, 4) metres.
        K, K_other: (B, 4).
        centres: (N, 2) pixels at the centres of the cells, row by row.
        grid: rows and columns of the cells.

    Returns:
        cells: (B, N) int64.
        known: (B, N) bool: the depth is known, and the point lies in the other image and is not hidden.
    """
    at = _sampled(depth, centres.expand(len(depth), -1, -1))
    points = rays_through(K, centres.expand(len(K), -1, -1)) * at.nan_to_num(1.0)[..., None]
    pixels, in_front = project(points, T_other_image, K_other)
    seen = points @ T_other_image[:, :3, :3].transpose(1, 2) + T_other_image[:, None, :3, 3]
    height, width = depth.shape[1:]
    inside = ((pixels > -0.5) & (pixels < pixels.new_tensor([width, height]) - 0.5)).all(dim=-1)
    there = _sampled(other_depth, pixels)
    hidden = there.nan_to_num(torch.inf) < seen[..., 2] * (1 - HIDDEN)
    rows, columns = grid
    first, step = centres[0], centres[-1] - centres[0]
    step = step / step.new_tensor([max(columns - 1, 1), max(rows - 1, 1)])
    cell = ((pixels - first) / step).round()
    on_grid = ((cell >= 0) & (cell < cell.new_tensor([columns, rows]))).all(dim=-1)
    known = at.isfinite() & in_front & inside & ~hidden & on_grid
    index = cell[..., 1] * columns + cell[..., 0]
    return torch.where(known, index, 0.0).long(), known


def matching_loss(features: Tensor, other: Tensor, cells: Tensor, known: Tensor) -> Tensor:
    """How surprising true matches are: cross-entropy over the cells of either image; 0 where there is none.

    Args:
        features, other: (B, C, h, w) unit local features of the two images.
        cells: (B, N) the cell of the other image that each cell of the image matches.
        known: (B, N) bool, which of them do.
    """
    one, two = features.flatten(2).transpose(1, 2), other.flatten(2).transpose(1, 2)
    odds = one @ two.transpose(1, 2) / TEMPERATURE
    forth = F.cross_entropy(odds[known], cells[known], reduction="sum")
    # Back: of those cells of the image that lie in one cell of the other, each is a right answer.
    batch, cell = known.nonzero(as_tuple=True)
    target = cells[batch, cell]
    of_target = odds[batch, :, target]
    back = F.cross_entropy(of_target, cell, reduction="sum")
    return (forth + back) / (2 * known.sum().clamp(min=1))


def _sampled(depth: Tensor, pixels: Tensor) -> Tensor:
    """Depth (B, N) at the nearest of pixels (B, N, 2); NaN where that is unknown or outside."""
    height, width = depth.shape[1:]
    x, y = pixels.nan_to_num(-1.0).round().long().unbind(dim=-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = depth.flatten(1).gather(1, torch.where(inside, y * width + x, 0))
    return torch.where(inside, flat, torch.nan)
