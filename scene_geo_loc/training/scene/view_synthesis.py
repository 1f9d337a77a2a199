"""Depth without depth maps: from how well it takes one view to its neighbours (BMVC 2019, section 4.1).

An image's depth and the known pose of a neighbour tell where each pixel lies in the neighbour; what is seen
there must look like the pixel.  As the poses are metric, so is the depth.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.architecture.decoders import InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.training.scene.pinhole import pixel_rays, project

L1_SHARE = 0.5
"""Weight of L1 beside that of SSIM."""
SMOOTHNESS = 1e-2
"""Weight of the edge-aware smoothness of the depth, in units of its scale."""
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
    """How unlike their neighbours images are where the inferred depth takes them; the mean over levels.

    Of the neighbours of an image the one counts that is most like it at a pixel: what one does not see,
    another one may.  Pixels that lie outside of all of them do not count.

    Args:
        inferred: depth of the images, level by level.
        images: (B, 3, H, W) in 0..1.
        neighbours: (B, M, 3, H, W) in 0..1.
        T_neighbour_image: (B, M, 4, 4), the image's pose in each neighbour, metres.
        K, K_neighbours: (B, 4) and (B, M, 4), fx, fy, cx, cy in pixels of H x W.
        scale: of the depth.
    """
    losses = []
    for depth in (*inferred.coarser, inferred.depth):
        image = _at_size(images, depth)
        metres = scale.metres(depth[:, 0])
        factors = [depth.shape[3] / images.shape[3], depth.shape[2] / images.shape[2]]
        unlike = []
        for m in range(neighbours.shape[1]):
            rays = pixel_rays(_resized_K(K, factors), metres.shape[1], metres.shape[2])
            seen, inside = warped(
                _at_size(neighbours[:, m], depth),
                rays * metres[..., None],
                T_neighbour_image[:, m],
                _resized_K(K_neighbours[:, m], factors),
            )
            unlike.append(torch.where(inside, photometric_distance(image, seen), torch.inf))
        least = torch.stack(unlike).amin(dim=0)
        counted = least.isfinite()
        mean = torch.where(counted, least, 0.0).sum() / counted.sum().clamp(min=1)
        losses.append(mean + SMOOTHNESS * edge_aware_smoothness(depth, image))
    return torch.stack(losses).mean()


def warped(image: Tensor, points: Tensor, T_camera_points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """What a camera sees where points project to, and which points lie in its image.

    Args:
        image: (B, 3, h, w) of the camera.
        points: (B, h, w, 3) metres.
        T_camera_points: (B, 4, 4), takes the points into the camera's frame.
        K: (B, 4) of the camera.

    Returns:
        (B, 3, h, w), and (B, h, w) bool.
    """
    pixels, in_front = project(points, T_camera_points, K)
    height, width = image.shape[2:]
    grid = 2 * (pixels + 0.5) / pixels.new_tensor([width, height]) - 1
    inside = in_front & (grid.abs() <= 1).all(dim=-1)
    seen = F.grid_sample(image, grid.clamp(-2, 2), padding_mode="border", align_corners=False)
    return seen, inside


def photometric_distance(one: Tensor, other: Tensor) -> Tensor:
    """How unlike two images (B, 3, H, W) in 0..1 are at each pixel (B, H, W): L1 and structure (SSIM)."""
    l1 = (one - other).abs().mean(dim=1)
    structure = (1 - _ssim(one, other).mean(dim=1)) / 2
    return L1_SHARE * l1 + (1 - L1_SHARE) * structure.clamp(0, 1)


def edge_aware_smoothness(depth: Tensor, image: Tensor) -> Tensor:
    """Mean step of depth (B, 1, H, W) from pixel to pixel, less where the image (B, 3, H, W) steps too."""

    def along(dim: int) -> Tensor:
        step = depth.diff(dim=dim).abs()
        edge = image.diff(dim=dim).abs().mean(dim=1, keepdim=True)
        return (step * torch.exp(-10 * edge)).mean()

    return along(2) + along(3)


def _ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity (B, 3, H, W) over windows of 3 x 3 pixels (Wang et al., 2004)."""

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, stride=1)

    mean_1, mean_2 = mean(one), mean(other)
    variance_1, variance_2 = mean(one**2) - mean_1**2, mean(other**2) - mean_2**2
    covariance = mean(one * other) - mean_1 * mean_2
    above = (2 * mean_1 * mean_2 + _C1) * (2 * covariance + _C2)
    return above / ((mean_1**2 + mean_2**2 + _C1) * (variance_1 + variance_2 + _C2))


def _at_size(image: Tensor, like: Tensor) -> Tensor:
    return image if image.shape[2:] == like.shape[2:] else F.interpolate(image, like.shape[2:], mode="area")


def _resized_K(K: Tensor, factors: list[float]) -> Tensor:
    """fx, fy, cx, cy (B, 4) of images made `factors` times as wide and as high."""
    by = K.new_tensor([*factors, *factors])
    half = K.new_tensor([0.0, 0.0, 0.5, 0.5])
    return (K + half) * by - half
