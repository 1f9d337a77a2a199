"""Pinhole geometry of batches of images, with gradients; pixel centres have integer coordinates."""

from __future__ import annotations

import torch
from torch import Tensor


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
    """Pixels (B, ..., 2) of points (B, ..., 3), and which of them are in front of the camera (B, ...).

    Args:
        points: metres.
        T_camera_points: (B, 4, 4), takes them into the camera's frame.
        K: (B, 4).
    """
    flat = points.flatten(1, -2)
    R, t = T_camera_points[:, :3, :3], T_camera_points[:, None, :3, 3]
    seen = flat @ R.transpose(1, 2) + t
    in_front = seen[..., 2] > 1e-3
    z = torch.where(in_front, seen[..., 2], 1.0)[..., None]
    pixels = seen[..., :2] / z * K[:, None, :2] + K[:, None, 2:]
    return pixels.reshape(*points.shape[:-1], 2), in_front.reshape(points.shape[:-1])
