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

"""The first anchors of a pose regressor: images of the training spread over the place, and their poses."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scene_geo_loc.localization.pose_regression.regressor import Description
from scene_geo_loc.networks.architecture.pose_network import LEFT_OUT, AnchorHead
from scene_geo_loc.training.pose_regression.images import PlaceImages

SHARPNESSES = (5.0, 8.0, 12.0, 16.0, 20.0, 25.0, 30.0, 40.0, 60.0, 100.0)
"""Factors of the cosine between an image and an anchor that are tried."""
TESTED_COPIES = 3
"""Copies of each image that the factor is chosen by."""
FIRST_ROTATION_ERROR = 0.02
"""First expected error of a rotation, radians, of a head that infers the size of its errors."""


def set_anchors(
    head: AnchorHead, rows: NDArray[np.float32], place: PlaceImages, description: Description
) -> None:
    """Sets the anchors of a head to images of the training, and the sharpness of their weights.

    The sharpness is that of the least mean logarithm of the position errors, each image without itself.

    Args:
        head: with its projection.
        rows: (N, copies, F) features of the images to train with.
        place: the images.
        description: of the regressor.
    """
    positions = place.positions(description.is_planar)[place.training] / description.scale_m
    rotations = place.rotations(description.is_planar)[place.training]
    chosen = spread_poses(place.images.T_map_camera[place.training], place.scale_m, head.hidden.out_features)
    head.eval()
    tested = torch.from_numpy(rows[:, :TESTED_COPIES].reshape(-1, rows.shape[2]))
    with torch.no_grad():
        # A clip begins with a single image.
        embedded = head.embedded(tested[:, None] if description.clip > 1 else tested)
        unit = torch.nn.functional.normalize(embedded, dim=1).view(len(rows), -1, embedded.shape[1])
        anchors = unit[torch.from_numpy(chosen), 0]
        known = torch.from_numpy(positions)
        sharpness, error = _sharpness(unit, anchors, known, chosen)
        head.hidden.weight.copy_(sharpness * anchors)
        head.hidden.bias.zero_()
        head.output.bias.zero_()
        # The poses are means of the anchors': without a constant, which would have no sign as a quaternion.
        head.output.bias.requires_grad_(False)
        head.output.weight.zero_()
        poses = np.concatenate([positions, rotations], axis=1)[chosen]
        head.output.weight[: poses.shape[1]] = torch.from_numpy(poses).T
        if description.has_variance:
            head.output.weight[-2] = float(np.log(max(error, 1e-6)))
            head.output.weight[-1] = float(np.log(FIRST_ROTATION_ERROR))


def spread_poses(T_map_camera: NDArray[np.float64], scale_m: float, count: int) -> NDArray[np.intp]:
    """Returns numbers of poses (N, 4, 4), in order, each added where it is farthest from those before.

    A radian of direction is as far as `scale_m`.
    """
    if count >= len(T_map_camera):
        return np.arange(len(T_map_camera))
    places = np.concatenate([T_map_camera[:, :3, 3] / scale_m, T_map_camera[:, :3, 2]], axis=1)
    chosen = [0]
    distances = np.full(len(places), np.inf)
    while len(chosen) < count:
        distances = np.minimum(distances, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(distances.argmax()))
    return np.sort(np.array(chosen, np.intp))


def _sharpness(
    unit: Tensor, anchors: Tensor, positions: Tensor, chosen: NDArray[np.intp]
) -> tuple[float, float]:
    """Returns the best sharpness, and the median error of the positions with it.

    Args:
        unit: (N, copies, D) features of length 1.
        anchors: (K, D).
        positions: (N, 3), or (N, 2).
        chosen: (K,) numbers of the anchors' images.
    """
    images = torch.from_numpy(chosen)
    best = (np.inf, SHARPNESSES[0], 0.0)
    cosines = torch.einsum("ncd,kd->cnk", unit, anchors)
    cosines[:, images, torch.arange(len(images))] = -torch.inf
    for sharpness in SHARPNESSES:
        weights = torch.softmax((sharpness * cosines).clamp(min=LEFT_OUT), dim=2)
        errors = (weights @ positions[images] - positions).norm(dim=2)
        score = float(torch.log(errors + 1e-6).mean())
        if score < best[0]:
            best = score, sharpness, float(errors.median())
    return best[1], best[2]
