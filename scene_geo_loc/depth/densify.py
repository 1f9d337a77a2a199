"""Dense depth maps from sparse ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SIGMAS = (1.0, 2.0, 4.0)
"""Widths of the smoothing, pixels of an image 640 wide: the least that finds points is taken."""

_MIN_SUPPORT = 0.5
"""Points, weighted by the Gaussian with 1 in its middle, that a value must rest on."""

_REACH = 8
"""Pixels of an image 640 wide: gaps twice as wide are closed, and nothing is said beyond the points."""

_MIXED = 0.06
"""Relative spread of the inverse depth beyond which a value would lie between two surfaces."""

_RADIUS = 6
_SIGMA_PIXELS = 2.0
_SIGMA_GREY = 12.0


def densify(sparse: NDArray[np.float32], image: NDArray[np.uint8] | None = None) -> NDArray[np.float32]:
    """Fills the gaps between the points of a sparse depth map.

    The inverse depth is smoothed by normalized convolution (Knutsson and Westin, CVPR 1993), as
    narrow as the points allow: on a plane it is linear in the image.  Where two surfaces meet,
    a mean would hang in the air between them; there each pixel takes the depth of one point,
    the one that is near and, where the image is given, alike in brightness.

    Args:
        sparse: (H, W) float32 metres, NaN where unknown.
        image: (H, W, 3) uint8 RGB of the same size.

    Returns:
        (H, W) float32 metres, NaN where no point is near, as in the sky.
    """
    known = np.isfinite(sparse)
    weight = known.astype(np.float32)
    inverse = np.zeros(sparse.shape, np.float32)
    inverse[known] = 1.0 / sparse[known]
    mean = np.full(sparse.shape, np.nan, np.float32)
    spread = np.zeros(sparse.shape, np.float32)
    scale = max(1.0, sparse.shape[1] / 640)
    for sigma in (scale * s for s in _SIGMAS):
        area = 2 * np.pi * sigma**2
        support, total, squares = (
            cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
            for values in (weight, inverse, inverse * inverse)
        )
        new = np.isnan(mean) & (support * area > _MIN_SUPPORT)
        mean[new] = total[new] / support[new]
        spread[new] = np.sqrt(np.maximum(squares[new] / support[new] - mean[new] ** 2, 0.0)) / mean[new]
    mean[~_between(known, round(_REACH * scale))] = np.nan
    mixed = spread > _MIXED
    mixed &= ~np.isnan(mean)
    mean[mixed] = _most_alike(inverse, mixed, image)
    return 1.0 / mean


def _between(known: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Which pixels lie between known ones: the morphological closing, so that outlines do not grow."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, disc).astype(bool)


def _most_alike(
    inverse: NDArray[np.float32], where: NDArray[np.bool_], image: NDArray[np.uint8] | None
) -> NDArray[np.float32]:
    """For each pixel of `where`, the inverse depth of the point near it that is most like it.

    NaN where no point is within the radius.
    """
    v, u = np.nonzero(where)
    values = _padded(inverse)
    if image is not None:
        grey = _padded(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32))
        own = grey[v + _RADIUS, u + _RADIUS]
    best = np.full(len(v), np.inf, np.float32)
    out = np.full(len(v), np.nan, np.float32)
    for down in range(-_RADIUS, _RADIUS + 1):
        for right in range(-_RADIUS, _RADIUS + 1):
            at = (v + (_RADIUS + down), u + (_RADIUS + right))
            value = values[at]
            cost = np.full(len(v), (down**2 + right**2) / (2 * _SIGMA_PIXELS**2), np.float32)
            if image is not None:
                cost += np.abs(grey[at] - own) / _SIGMA_GREY
            better = (value > 0) & (cost < best)
            best[better] = cost[better]
            out[better] = value[better]
    return out


def _padded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.pad(values, _RADIUS)
