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

"""The losses of inferred depth (ICRA 2019, section III; BMVC 2019, section 4.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.architecture.decoders import InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.training.common.protocols import DepthLoss


def depth_loss(inferred: InferredDepth, depth_m: Tensor, scale: DepthScale, kind: DepthLoss) -> Tensor:
    """Mean loss of all levels of inferred depth against depth (B, H, W) in metres, NaN where unknown.

    If the decoder infers the scale of its error, the loss of the last level is `laplace_depth_loss`.
    """

    def of_level(depth: Tensor, known_m: Tensor) -> Tensor:
        if kind is DepthLoss.METRES:
            return metric_depth_loss(depth, known_m, scale)
        return l1_depth_loss(depth, known_m, scale)

    coarser = [of_level(depth, resized_depth(depth_m, depth)) for depth in inferred.coarser]
    if inferred.log_scale is not None:
        last = laplace_depth_loss(inferred.depth, inferred.log_scale, depth_m, scale)
    else:
        last = of_level(inferred.depth, depth_m)
    return torch.stack([*coarser, last]).mean()


def l1_depth_loss(inferred: Tensor, depth_m: Tensor, scale: DepthScale) -> Tensor:
    """Mean absolute error of inferred depth (B, 1, H, W), 0 to 1, against depth (B, H, W) in metres.

    The mean is over the pixels of `supervised`; 0 if there are none.
    """
    return mean_where((inferred[:, 0] - scale.normalise(depth_m)).abs(), supervised(depth_m))


def metric_depth_loss(inferred: Tensor, depth_m: Tensor, scale: DepthScale) -> Tensor:
    """Mean absolute error in metres of inferred depth (B, 1, H, W), 0 to 1, against (B, H, W) in metres.

    Perspective-n-Learned-Point, section 4.1: pixels of unknown depth do not count.
    """
    known = depth_m.isfinite()
    return mean_where((scale.metres(inferred[:, 0]) - depth_m.nan_to_num(0.0)).abs(), known)


def resized_depth(depth_m: Tensor, like: Tensor) -> Tensor:
    """Resizes depth maps (B, H, W) to a map (B, C, h, w); each cell takes the depth at its centre.

    A mean across an edge would be a depth without a surface.
    """
    return F.interpolate(depth_m[:, None], like.shape[2:], mode="nearest-exact")[:, 0]


def laplace_depth_loss(inferred: Tensor, log_scale: Tensor, depth_m: Tensor, scale: DepthScale) -> Tensor:
    """Negative log-likelihood of known depth under a Laplace distribution around the inferred depth.

    |d - t| / s + log s without its constant, for s = exp(log_scale): errors weigh less where the network
    infers a large uncertainty (Kendall and Gal, NeurIPS 2017).  The mean is over the pixels of `supervised`;
    0 if there are none.

    Args:
        inferred, log_scale: (B, 1, H, W), in units of the depth scale.
        depth_m: (B, H, W) metres, NaN where unknown.
        scale: of the inferred depth.
    """
    error = (inferred[:, 0] - scale.normalise(depth_m)).abs()
    return mean_where(error * torch.exp(-log_scale[:, 0]) + log_scale[:, 0], supervised(depth_m))


def supervised(depth_m: Tensor) -> Tensor:
    """Mask (B, H, W) of the pixels to train on, for depth maps (B, H, W) in metres, NaN where unknown.

    These are the pixels of known depth and the sky, which is far: unknown pixels up to the upper edge of the
    image. The authors' depth maps are unknown only there, and they treat all unknown pixels as far (ICRA
    2019, section IV).  Other maps have holes elsewhere too, between the lidar's lines and where it measured
    nothing, which are often near.  Images without any known depth are not trained on.
    """
    known = depth_m.isfinite()
    sky = known.cumsum(dim=1) == 0
    return (known | sky) & known.flatten(1).any(dim=1)[:, None, None]


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where a mask of their shape is set; 0 if it is set nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
