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

"""The losses of posed images: view synthesis for depth, and matching for local features (BMVC 2019).

View synthesis trains depth without depth maps (section 4.1): depth and the known pose of a neighbour give the
position of each pixel in the neighbour, where the image must look the same.  The poses are metric, hence the
depth is too.  The matching loss makes features of the same scene point similar in two images, and all others
different.

Pixel centres have integer coordinates.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.architecture.decoders import InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DepthScale

L1_SHARE = 0.5
"""Weight of L1 in the photometric distance; the rest is that of SSIM."""
SMOOTHNESS = 1e-2
"""Weight of the edge-aware smoothness of the depth, in units of its scale."""
TEMPERATURE = 0.07
"""Divisor of the cosines before the softmax of the matching loss."""
HIDDEN = 0.1
"""A point is hidden in the other image if that image sees something nearer by more than this fraction."""
_C1, _C2 = 0.01**2, 0.03**2


def view_synthesis_loss(
    inferred: InferredDepth,
    images: Tensor,
    neighbours: Tensor,
    T_neighbour_image: Tensor,
    K: Tensor,
    K_neighbours: Tensor,
    scale: DepthScale,
) -> Tensor:
    """Mean photometric distance, over all levels, between images and neighbours warped by the inferred depth.

    At each pixel the most similar neighbour counts, since the point may be hidden in the others.  Pixels
    outside all neighbours do not count.

    Args:
        inferred: depth of the images, level by level.
        images: (B, 3, H, W) in 0..1.
        neighbours: (B, M, 3, H, W) in 0..1.
        T_neighbour_image: (B, M, 4, 4), pose of the image in each neighbour, metres.
        K, K_neighbours: (B, 4) and (B, M, 4), fx, fy, cx, cy in pixels of H x W.
        scale: of the depth.
    """
    losses = []
    for depth in (*inferred.coarser, inferred.depth):
        image = _at_size(images, depth)
        metres = scale.metres(depth[:, 0])
        factors = [depth.shape[3] / images.shape[3], depth.shape[2] / images.shape[2]]
        distances = []
        for m in range(neighbours.shape[1]):
            rays = pixel_rays(_resized_K(K, factors), metres.shape[1], metres.shape[2])
            seen, inside = warped(
                _at_size(neighbours[:, m], depth),
                rays * metres[..., None],
                T_neighbour_image[:, m],
                _resized_K(K_neighbours[:, m], factors),
            )
            distances.append(torch.where(inside, photometric_distance(image, seen), torch.inf))
        least = torch.stack(distances).amin(dim=0)
        counted = least.isfinite()
        mean = torch.where(counted, least, 0.0).sum() / counted.sum().clamp(min=1)
        losses.append(mean + SMOOTHNESS * edge_aware_smoothness(depth, image))
    return torch.stack(losses).mean()


def warped(image: Tensor, points: Tensor, T_camera_points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Samples an image at the projections of points, with a mask of the points that lie in it.

    Args:
        image: (B, 3, h, w) of the camera.
        points: (B, h, w, 3) metres.
        T_camera_points: (B, 4, 4), takes the points to the frame of the camera.
        K: (B, 4) of the camera.

    Returns:
        The samples (B, 3, h, w), and a mask (B, h, w).
    """
    pixels, in_front = project(points, T_camera_points, K)
    height, width = image.shape[2:]
    grid = 2 * (pixels + 0.5) / pixels.new_tensor([width, height]) - 1
    inside = in_front & (grid.abs() <= 1).all(dim=-1)
    seen = F.grid_sample(image, grid.clamp(-2, 2), padding_mode="border", align_corners=False)
    return seen, inside


def photometric_distance(first: Tensor, second: Tensor) -> Tensor:
    """Distance (B, H, W) between two images (B, 3, H, W) in 0..1 at each pixel: L1 and structure (SSIM)."""
    l1 = (first - second).abs().mean(dim=1)
    structure = (1 - _ssim(first, second).mean(dim=1)) / 2
    return L1_SHARE * l1 + (1 - L1_SHARE) * structure.clamp(0, 1)


def edge_aware_smoothness(depth: Tensor, image: Tensor) -> Tensor:
    """Mean step of depth (B, 1, H, W) between pixels, weighted less at edges of the image (B, 3, H, W)."""

    def along(dim: int) -> Tensor:
        step = depth.diff(dim=dim).abs()
        edge = image.diff(dim=dim).abs().mean(dim=1, keepdim=True)
        return (step * torch.exp(-10 * edge)).mean()

    return along(2) + along(3)


def true_matches(
    depth: Tensor,
    other_depth: Tensor,
    T_other_image: Tensor,
    K: Tensor,
    K_other: Tensor,
    centres: Tensor,
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Finds the cell of another image that contains the centre of each cell of an image.

    Args:
        depth, other_depth: (B, H, W) metres, NaN where unknown.
        T_other_image: (B, 4, 4) metres.
        K, K_other: (B, 4).
        centres: (N, 2) pixels at the centres of the cells, row by row.
        grid: rows and columns of the cells.

    Returns:
        The cells (B, N) int64, and a mask (B, N) of those known: the depth is known, and the point lies in
        the other image and is not hidden.
    """
    centre_depth = _sampled(depth, centres.expand(len(depth), -1, -1))
    points = rays_through(K, centres.expand(len(K), -1, -1)) * centre_depth.nan_to_num(1.0)[..., None]
    pixels, in_front = project(points, T_other_image, K_other)
    seen = points @ T_other_image[:, :3, :3].transpose(1, 2) + T_other_image[:, None, :3, 3]
    height, width = depth.shape[1:]
    inside = ((pixels > -0.5) & (pixels < pixels.new_tensor([width, height]) - 0.5)).all(dim=-1)
    other = _sampled(other_depth, pixels)
    hidden = other.nan_to_num(torch.inf) < seen[..., 2] * (1 - HIDDEN)
    rows, columns = grid
    first, step = centres[0], centres[-1] - centres[0]
    step = step / step.new_tensor([max(columns - 1, 1), max(rows - 1, 1)])
    cell = ((pixels - first) / step).round()
    on_grid = ((cell >= 0) & (cell < cell.new_tensor([columns, rows]))).all(dim=-1)
    known = centre_depth.isfinite() & in_front & inside & ~hidden & on_grid
    index = cell[..., 1] * columns + cell[..., 0]
    return torch.where(known, index, 0.0).long(), known


def matching_loss(features: Tensor, other: Tensor, cells: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of the true matches over the cells of either image; 0 if there are none.

    Args:
        features, other: (B, C, h, w) unit local features of the two images.
        cells: (B, N) the cell of the other image that each cell of the image matches.
        known: (B, N) mask of the cells that have a match.
    """
    first, second = features.flatten(2).transpose(1, 2), other.flatten(2).transpose(1, 2)
    logits = first @ second.transpose(1, 2) / TEMPERATURE
    forth = F.cross_entropy(logits[known], cells[known], reduction="sum")
    # Reverse direction: if several cells of the image lie in one cell of the other, each is a correct match.
    batch, cell = known.nonzero(as_tuple=True)
    target = cells[batch, cell]
    of_target = logits[batch, :, target]
    back = F.cross_entropy(of_target, cell, reduction="sum")
    return (forth + back) / (2 * known.sum().clamp(min=1))


def pixel_rays(K: Tensor, height: int, width: int) -> Tensor:
    """Directions (B, H, W, 3) with z = 1 through all pixels of cameras with K (B, 4): fx, fy, cx, cy."""
    y, x = torch.meshgrid(
        torch.arange(height, device=K.device, dtype=K.dtype),
        torch.arange(width, device=K.device, dtype=K.dtype),
        indexing="ij",
    )
    return rays_through(K, torch.stack([x, y], dim=-1).expand(len(K), -1, -1, -1))


def rays_through(K: Tensor, pixels: Tensor) -> Tensor:
    """Directions (B, ..., 3) with z = 1 through pixels (B, ..., 2)."""
    f, c = (part.reshape(len(K), *[1] * (pixels.ndim - 2), 2) for part in (K[:, :2], K[:, 2:]))
    return torch.cat([(pixels - c) / f, torch.ones_like(pixels[..., :1])], dim=-1)


def project(points: Tensor, T_camera_points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Projects points (B, ..., 3) to pixels (B, ..., 2), with a mask (B, ...) of those in front of the
    camera.

    Args:
        points: metres.
        T_camera_points: (B, 4, 4), takes them to the frame of the camera.
        K: (B, 4).
    """
    flat = points.flatten(1, -2)
    R, t = T_camera_points[:, :3, :3], T_camera_points[:, None, :3, 3]
    seen = flat @ R.transpose(1, 2) + t
    in_front = seen[..., 2] > 1e-3
    z = torch.where(in_front, seen[..., 2], 1.0)[..., None]
    pixels = seen[..., :2] / z * K[:, None, :2] + K[:, None, 2:]
    return pixels.reshape(*points.shape[:-1], 2), in_front.reshape(points.shape[:-1])


def _sampled(depth: Tensor, pixels: Tensor) -> Tensor:
    """Depth (B, N) at the nearest of pixels (B, N, 2); NaN if it is unknown or outside."""
    height, width = depth.shape[1:]
    x, y = pixels.nan_to_num(-1.0).round().long().unbind(dim=-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = depth.flatten(1).gather(1, torch.where(inside, y * width + x, 0))
    return torch.where(inside, flat, torch.nan)


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity (B, 3, H, W) over windows of 3 x 3 pixels (Wang et al., 2004)."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, stride=1)

    mean_1, mean_2 = mean(first), mean(second)
    variance_1, variance_2 = mean(first**2) - mean_1**2, mean(second**2) - mean_2**2
    covariance = mean(first * second) - mean_1 * mean_2
    above = (2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)
    return above / ((mean_1**2 + mean_2**2 + _C1) * (variance_1 + variance_2 + _C2))


def _at_size(image: Tensor, like: Tensor) -> Tensor:
    return image if image.shape[2:] == like.shape[2:] else F.interpolate(image, like.shape[2:], mode="area")


def _resized_K(K: Tensor, factors: list[float]) -> Tensor:
    """fx, fy, cx, cy (B, 4) of images scaled by `factors` in width and height."""
    by = K.new_tensor([*factors, *factors])
    half = K.new_tensor([0.0, 0.0, 0.5, 0.5])
    return (K + half) * by - half
