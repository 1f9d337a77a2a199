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

"""Losses of pose regression: of position and rotation, weighted, and of reprojected points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scene_geo_loc.localization.pose_regression.regressor import PLANAR_OUTPUTS, SPATIAL_OUTPUTS
from scene_geo_loc.training.pose_regression.systems import Weighting

FIRST_LOG_VARIANCES = (0.0, -3.0)
"""Of position and rotation, of learned weighting (CVPR 2017, section 3.3)."""
NEAREST_M = 0.1
"""Points nearer to the regressed camera, or behind it, count as at this depth."""


@dataclass(frozen=True)
class Targets:
    """True poses of a mini-batch.

    Attributes:
        position: (B, 3), or (B, 2) if planar, metres from the centre of the positions.
        rotation: (B, 4) quaternion x, y, z, w; or (B, 2) cos and sin of the heading.
        points: (B, P, 3) in the map from the centre, metres; None where no loss needs them.
        pixels: (B, P, 2) where the true camera sees them, NaN where there is none; over the focal length.
    """

    position: Tensor
    rotation: Tensor
    points: Tensor | None = None
    pixels: Tensor | None = None


class PoseLoss(nn.Module):
    """The loss of a system; it may have learned numbers of its own.

    Args:
        beta: factor of the rotation's error.
        scale_m: of the positions.
        focal_px: focal length in pixels of the network's input, for errors in pixels.
    """

    def __init__(self, beta: float, scale_m: float, focal_px: float) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.tensor(FIRST_LOG_VARIANCES))
        self._beta, self._scale_m, self._focal_px = beta, scale_m, focal_px

    def forward(self, outputs: Tensor, targets: Targets, weighting: Weighting) -> Tensor:
        """Returns the loss of outputs (B, O)."""
        size = targets.position.shape[1]
        position = outputs[:, :size] * self._scale_m
        rotation = outputs[:, size : SPATIAL_OUTPUTS if size == 3 else PLANAR_OUTPUTS]
        unit = nn.functional.normalize(rotation, dim=1)
        wanted = targets.rotation
        if size == 3:  # q and -q are the same rotation
            wanted = wanted * torch.where((unit * wanted).sum(1, keepdim=True) < 0, -1.0, 1.0)
        if weighting is Weighting.REPROJECTION:
            return self._reprojection(position, unit, targets)
        position_m, turn = _lengths(position - targets.position), _lengths(unit - wanted)
        if weighting is Weighting.BETA:
            return (position_m + self._beta * turn).mean()
        if weighting is Weighting.LEARNED:
            s_x, s_q = self.log_variances
            return position_m.mean() * torch.exp(-s_x) + s_x + turn.mean() * torch.exp(-s_q) + s_q
        # A quaternion differs by half the angle.
        angle = 2 * turn if size == 3 else turn
        log_x, log_q = outputs[:, -2].clamp(-10, 10), outputs[:, -1].clamp(-10, 10)
        of_position = position_m / self._scale_m * torch.exp(-log_x) + log_x
        return (of_position + angle * torch.exp(-log_q) + log_q).mean()

    def mixture(self, log_weights: Tensor, poses: Tensor, targets: Targets) -> Tensor:
        """Returns the negative log density of a mixture of Laplace densities at the true poses.

        Args:
            log_weights: (B, K) logarithms of the weights.
            poses: (K, O) outputs of the components.
            targets: the true poses.
        """
        size = targets.position.shape[1]
        position_m = torch.cdist(targets.position, poses[:, :size] * self._scale_m)
        unit = nn.functional.normalize(poses[:, size : size + targets.rotation.shape[1]], dim=1)
        cosines = targets.rotation @ unit.T
        turn = torch.sqrt(2 - 2 * (cosines.abs() if size == 3 else cosines).clamp(max=1 - 1e-7))
        s_x, s_q = self.log_variances
        log_densities = -position_m * torch.exp(-s_x) - turn * torch.exp(-s_q) - size * (s_x + s_q)
        return -torch.logsumexp(log_weights + log_densities, dim=1).mean()

    def _reprojection(self, position: Tensor, unit: Tensor, targets: Targets) -> Tensor:
        assert targets.points is not None
        assert targets.pixels is not None
        seen = torch.isfinite(targets.pixels).all(-1)
        offsets = torch.where(seen[..., None], targets.points, 0.0) - position[:, None]
        local = torch.einsum("bji,bpj->bpi", matrices(unit), offsets)
        pixels = local[..., :2] / local[..., 2:].clamp(min=NEAREST_M)
        wanted = torch.where(seen[..., None], targets.pixels, 0.0)
        errors = (pixels - wanted).abs().sum(-1) * self._focal_px
        return (errors * seen).sum() / seen.sum().clamp(min=1)


def matrices(quaternions: Tensor) -> Tensor:
    """Returns the rotations (B, 3, 3) of unit quaternions (B, 4) x, y, z, w."""
    x, y, z, w = quaternions.unbind(1)
    rows = (
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], 1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], 1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], 1),
    )
    return torch.stack(rows, 1)


def _lengths(values: Tensor) -> Tensor:
    """Returns the lengths (B,) of vectors (B, N); their gradient at 0 is 0."""
    return torch.sqrt((values**2).sum(1) + 1e-12)
