"""The losses that descriptors and depth are trained with (ICRA 2019, section III)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scene_geo_loc.networks.decoder import normalised_depth


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


def l1_depth_loss(inferred: Tensor, depth_m: Tensor) -> Tensor:
    """The mean distance of inferred depth (B, 1, H, W), 0 to 1, to the true one, (B, H, W) in metres.

    What is not known (NaN) is taken as far, as the authors do, and so are 100 m and more.  Images of which
    no depth is known at all are left out; 0 where all are.
    """
    has_depth = depth_m.isfinite().flatten(1).any(dim=1)
    apart = (inferred[:, 0] - normalised_depth(depth_m)).abs().flatten(1).mean(dim=1)
    return _mean_where(apart, has_depth)


def laplace_depth_loss(inferred: Tensor, log_scale: Tensor, depth_m: Tensor) -> Tensor:
    """The negative log-likelihood of known depth under a Laplace distribution around the inferred one.

    |d - t| / s + log s, its constant left out, with s = exp(log_scale): what the network holds to be
    uncertain weighs less (Kendall and Gal, NeurIPS 2017).  0 where no depth is known.

    Args:
        inferred, log_scale: (B, 1, H, W), in units of 100 m.
        depth_m: (B, H, W) metres, NaN where unknown.
    """
    apart = (inferred[:, 0] - normalised_depth(depth_m)).abs()
    return _mean_where(apart * torch.exp(-log_scale[:, 0]) + log_scale[:, 0], depth_m.isfinite())


def feature_distance(hallucinated: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """The mean absolute difference of final feature maps (B, C, H, W) over the images (B,) with known depth.

    The thesis squares it (its L2 distance), the authors' code does not.
    """
    return _mean_where((hallucinated - wanted).abs().flatten(1).mean(dim=1), known)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values that a mask of their shape takes; 0 where it takes none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)
