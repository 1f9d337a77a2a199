"""The losses that descriptors and depth are trained with (ICRA 2019, section III; BMVC 2019, section 4.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.architecture.decoders import InferredDepth
from scene_geo_loc.networks.architecture.depth_scale import DepthScale
from scene_geo_loc.training.depth.protocol import DepthLoss


def triplet_loss(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """The mean over triplets and negatives of max(0, margin + d(a, p) - min(d(a, n), d(p, n))).

    d is Euclidean; taking the nearer of anchor and positive to a negative is the anchor swap
    (Balntas et al., BMVC 2016).

    Args:
        anchors, positives: (T, D) descriptors.
        negatives: (T, H, D) descriptors.
        margin: by how much the positive must be nearer.
    """
    to_positive = F.pairwise_distance(anchors, positives)[:, None]
    to_negative = torch.minimum(
        F.pairwise_distance(anchors[:, None], negatives), F.pairwise_distance(positives[:, None], negatives)
    )
    return F.relu(margin + to_positive - to_negative).mean()


def depth_loss(inferred: InferredDepth, depth_m: Tensor, scale: DepthScale, kind: DepthLoss) -> Tensor:
    """How far inferred depth is from depth (B, H, W) in metres, NaN where unknown: the mean over its levels.

    Where the decoder infers the scale of its error, that of the last level is `laplace_depth_loss`.
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
    """The mean distance of inferred depth (B, 1, H, W), 0 to 1, to the true one, (B, H, W) in metres.

    The mean over what `taught` says; 0 where that is nothing.
    """
    return _mean_where((inferred[:, 0] - scale.normalise(depth_m)).abs(), taught(depth_m))


def metric_depth_loss(inferred: Tensor, depth_m: Tensor, scale: DepthScale) -> Tensor:
    """The mean distance in metres of inferred depth (B, 1, H, W), 0 to 1, to the true one (B, H, W).

    Perspective-n-Learned-Point, section 4.1: pixels without a known depth do not count.
    """
    known = depth_m.isfinite()
    return _mean_where((scale.metres(inferred[:, 0]) - depth_m.nan_to_num(0.0)).abs(), known)


def resized_depth(depth_m: Tensor, like: Tensor) -> Tensor:
    """Depth maps (B, H, W) of the size of a map (B, C, h, w): of each cell the depth at its centre.

    A mean over an edge would be a depth where nothing is.
    """
    return F.interpolate(depth_m[:, None], like.shape[2:], mode="nearest-exact")[:, 0]


def laplace_depth_loss(inferred: Tensor, log_scale: Tensor, depth_m: Tensor, scale: DepthScale) -> Tensor:
    """The negative log-likelihood of known depth under a Laplace distribution around the inferred one.

    |d - t| / s + log s, its constant left out, with s = exp(log_scale): what the network holds to be
    uncertain weighs less (Kendall and Gal, NeurIPS 2017).  The mean over what `taught` says; 0 where that is
    nothing.

    Args:
        inferred, log_scale: (B, 1, H, W), of the depth scale.
        depth_m: (B, H, W) metres, NaN where unknown.
        scale: of the inferred depth.
    """
    apart = (inferred[:, 0] - scale.normalise(depth_m)).abs()
    return _mean_where(apart * torch.exp(-log_scale[:, 0]) + log_scale[:, 0], taught(depth_m))


def taught(depth_m: Tensor) -> Tensor:
    """Which pixels (B, H, W) of depth maps (B, H, W) in metres, NaN where unknown, a network learns from.

    Those that are known, and the sky, which is far: what is unknown up to the image's upper edge.  The
    authors' maps are unknown there alone, and they take all that is unknown as far (ICRA 2019, section IV).
    Maps that are not filled in by force have holes elsewhere, too, between the lidar's lines and where it
    saw nothing, and these are near as often as not.  Of images without any known depth nothing is learned.
    """
    known = depth_m.isfinite()
    sky = known.cumsum(dim=1) == 0
    return (known | sky) & known.flatten(1).any(dim=1)[:, None, None]


def feature_distance(hallucinated: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """The mean absolute difference of final feature maps (B, C, H, W) over the images (B,) with known depth.

    The thesis squares it (its L2 distance), the authors' code does not.
    """
    return _mean_where((hallucinated - wanted).abs().flatten(1).mean(dim=1), known)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values that a mask of their shape takes; 0 where it takes none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
