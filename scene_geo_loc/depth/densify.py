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

"""Densification of sparse depth maps."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_SCALES = ((1.0, 2.0), (2.0, 2.0), (4.0, 3.0), (8.0, 3.0))
"""Widths of the windows in pixels of an image 640 wide, and the number of points, weighted by a Gaussian
with 1 in its middle, that a plane needs: the narrowest window with enough points is used."""

_REACH = 8
"""Pixels of an image 640 wide: gaps twice as wide are closed; beyond the points depth stays unknown."""

_MIXED = 0.04
"""Relative deviation of the points from the plane above which there is more than one surface."""

_RIDGE = 0.005
"""Regularization that keeps a plane through collinear points level across their line; in window widths^2."""

_SKY_SIGMA = 3.0
_SKY_GREY = 40.0
_SKY_SPREADS = 1.5
"""A pixel is classified as sky, for example between leaves, if it is brighter than the points around it by
this many grey levels and this many times their standard deviation."""

_GATHERED = 20
"""A filter of the whole image takes about as long as gathering the windows of one in this many pixels."""

_RADIUS = 4
_SIGMA_PIXELS = 2.0
_SIGMA_GREY = 12.0


def densify(
    sparse: F32, image: NDArray[np.uint8] | None = None, wanted: NDArray[np.bool_] | None = None
) -> F32:
    """Fills the gaps between the points of a sparse depth map.

    Around each pixel a plane is fitted to the inverse depth by normalized convolution of first order
    (Knutsson and Westin, CVPR 1993): the inverse depth of a plane in space is linear in the image,
    so that roads and walls continue across gaps.  Where the points lie on no plane, two surfaces
    meet, and a mean would lie between them in the air; there each pixel gets the depth of the surface
    whose points are closer and, if the image is given, more similar in brightness.  Pixels that are
    brighter than the measured ones around them stay unknown, because sky gives no points.

    Args:
        sparse: (H, W) float32 metres, NaN where unknown.
        image: (H, W, 3) uint8 RGB of the same size.
        wanted: (H, W) mask of the pixels whose depth is needed; None for all.  A few are much faster.

    Returns:
        (H, W) float32 metres, NaN where no point is near, as in the sky, and where depth is not wanted.
    """
    known = np.isfinite(sparse)
    if not known.any():
        return np.full(sparse.shape, np.nan, np.float32)
    inverse = np.zeros(sparse.shape, np.float32)
    np.divide(np.float32(1), sparse, out=inverse, where=known)
    sums = (known.astype(np.float32), inverse, inverse * inverse)
    farthest, nearest = np.float32(1) / np.nanmax(sparse), np.float32(1) / np.nanmin(sparse)
    scale = max(0.5, sparse.shape[1] / 640)
    dense = np.full(sparse.shape, np.nan, np.float32)
    mixed = np.zeros(sparse.shape, bool)
    missing = _between(known, round(_REACH * scale))
    if wanted is not None:
        missing &= wanted
    grey, sky = np.zeros(sparse.shape, np.float32), np.zeros(sparse.shape, bool)
    if image is not None:
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
        sky = ~known & _brighter(grey, sums[0], _SKY_SIGMA * scale)
    v, u = np.nonzero(missing)
    for number, (sigma, least) in enumerate(_SCALES):
        value, deviation, support = _planes_at(v, u, sums, sigma * scale)
        found = support > least
        at = v[found], u[found]
        dense[at] = value[found].clip(farthest, nearest)
        mixed[at] = deviation[found] > _MIXED * value[found]
        left = ~found
        if number == 0:  # only close points of one plane prove that a bright pixel belongs to it
            left &= ~sky[v, u]
        v, u = v[left], u[left]
    dense[mixed & sky] = np.nan
    mixed &= ~sky
    dense[mixed] = _likelier_surface(inverse, mixed, grey).clip(farthest, nearest)
    return np.float32(1) / dense


def _planes_at(
    v: NDArray[np.intp], u: NDArray[np.intp], sums: tuple[F32, F32, F32], sigma: float
) -> tuple[F32, F32, F32]:
    """Returns values at pixels (N,) in rows v and columns u of planes fitted around them.

    The planes are fitted by least squares with Gaussian weights around the middles of square cells of pixels.

    Args:
        sums: (H, W) each: number of values at a pixel, their sum, and the sum of their squares.
        sigma: width of the Gaussian in pixels.  Wide ones are computed on cells of up to half of it, for
            speed.

    Returns:
        Value of the plane at each pixel (N,); RMS distance of the values around it from the plane; and the
        number of these values, weighted by a Gaussian with 1 in its middle.
    """
    cell = max(1, int(sigma / 2))
    width = sigma / cell
    row, column = v // cell, u // cell
    images = [_cell_sums(values, cell) for values in sums]
    is_few = len(row) * _GATHERED < images[0].size
    places = (row, column) if is_few else None
    counts, totals, squares = _moments(images, width, places)
    support = counts[0]
    each = np.float32(1) / np.maximum(support, np.float32(1e-6))
    mean_x, mean_y, mean = counts[1] * each, counts[2] * each, totals[0] * each
    ridge = np.float32(_RIDGE * width**2)
    xx = counts[3] * each - mean_x * mean_x + ridge
    yy = counts[4] * each - mean_y * mean_y + ridge
    xy = counts[5] * each - mean_x * mean_y
    zx = totals[1] * each - mean * mean_x
    zy = totals[2] * each - mean * mean_y
    determinant = np.maximum(xx * yy - xy * xy, ridge * ridge)
    right = (zx * yy - zy * xy) / determinant
    down = (zy * xx - zx * xy) / determinant
    variance = squares[0] * each - mean * mean - right * zx - down * zy
    deviation = np.sqrt(np.maximum(variance, 0.0))
    level = mean - right * mean_x - down * mean_y
    if not is_few:
        level, deviation, support = (image[row, column] for image in (level, deviation, support))
    if cell > 1:
        if not is_few:
            right, down = right[row, column], down[row, column]
        middle = (cell - 1) / 2
        level = (
            level + right * ((u - column * cell - middle) / cell) + down * ((v - row * cell - middle) / cell)
        )
    return level.astype(np.float32), deviation, support


_POWERS = (((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)), ((0, 0), (1, 0), (0, 1)), ((0, 0),))
"""Moments of the number of values, of their sum and of the sum of their squares that a plane needs: powers of
the offsets to the right and down."""


def _moments(
    images: list[F32], width: float, places: tuple[NDArray[np.intp], NDArray[np.intp]] | None
) -> list[list[F32]]:
    """Returns the moments `_POWERS` of each image (H, W), weighted by a Gaussian of a width.

    Args:
        places: rows and columns (N,) where they are computed, which suits a few places; None for images of
            the moments.
    """
    reach = int(np.ceil(2.5 * width))
    x = np.arange(-reach, reach + 1, dtype=np.float32)
    g = np.exp(-0.5 * (x / width) ** 2)
    kernels = [[(g * x**right, g * x**down) for right, down in powers] for powers in _POWERS]
    if places is None:
        return [
            [
                np.asarray(
                    cv2.sepFilter2D(image, cv2.CV_32F, *kernel, borderType=cv2.BORDER_CONSTANT), np.float32
                )
                for kernel in of_image
            ]
            for image, of_image in zip(images, kernels, strict=True)
        ]
    stride = images[0].shape[1] + 2 * reach
    offsets = (np.arange(len(x))[:, None] * stride + np.arange(len(x))).ravel()
    windows = (places[0] * stride + places[1])[:, None] + offsets
    moments = []
    for image, of_image in zip(images, kernels, strict=True):
        padded = cv2.copyMakeBorder(image, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
        weights = np.stack([np.outer(along, across).ravel() for across, along in of_image], axis=1)
        moments.append(list((padded.ravel().take(windows) @ weights).T))
    return moments


def _cell_sums(values: F32, cell: int) -> F32:
    """Returns sums over square cells; the last row and column of cells may extend beyond the image."""
    if cell == 1:
        return values
    height, width = values.shape
    rows, columns = -(-height // cell), -(-width // cell)
    padded = cv2.copyMakeBorder(
        values, 0, rows * cell - height, 0, columns * cell - width, cv2.BORDER_CONSTANT, value=0
    )
    means = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32) * np.float32(cell**2)


def _between(known: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Returns a mask of the pixels between known ones: the morphological closing, which keeps outlines."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, disc).astype(bool)


def _brighter(grey: F32, count: F32, sigma: float) -> NDArray[np.bool_]:
    """Returns a mask of the pixels that are brighter than the points around them."""
    support, total, squares = (
        cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        for values in (count, count * grey, count * grey * grey)
    )
    each = np.float32(1) / np.maximum(support, np.float32(1e-6))
    mean = total * each
    spread = np.sqrt(np.maximum(squares * each - mean * mean, 0.0))
    return grey - mean > np.maximum(_SKY_GREY, _SKY_SPREADS * spread)


def _likelier_surface(inverse: F32, where: NDArray[np.bool_], grey: F32) -> F32:
    """Returns for each pixel of `where` the mean inverse depth of the likelier of two surfaces.

    The points in a small window are divided into near and far ones halfway between the extremes, and
    weighted by their distance in the image and their similarity in brightness.  Mistaking near for far
    makes a larger relative error, mistaking far for near a larger error in metres: weights times the
    root of the inverse depth are a compromise.  NaN where the window has no point.
    """
    v, u = np.nonzero(where)
    square = np.ones((2 * _RADIUS + 1, 2 * _RADIUS + 1), np.uint8)
    highest = cv2.dilate(inverse, square)[v, u]
    lowest = cv2.erode(np.where(inverse > 0, inverse, np.float32(np.inf)), square)[v, u]
    some = highest > 0
    half_way = np.sqrt(highest[some] * lowest[some])
    width = inverse.shape[1] + 2 * _RADIUS
    place = (v[some] + _RADIUS) * width + u[some] + _RADIUS
    values = np.pad(inverse, _RADIUS).ravel()
    brightness = np.pad(grey / np.float32(_SIGMA_GREY), _RADIUS).ravel()
    own = brightness[place]
    weight, total, weight_near, total_near = np.zeros((4, len(place)), np.float32)
    for down in range(-_RADIUS, _RADIUS + 1):
        for right in range(-_RADIUS, _RADIUS + 1):
            at = place + (down * width + right)
            value = values[at]
            distance = np.float32((down**2 + right**2) / (2 * _SIGMA_PIXELS**2))
            similarity = np.exp(-np.abs(brightness[at] - own) - distance) * (value > 0)
            weight += similarity
            total += similarity * value
            similarity *= value > half_way
            weight_near += similarity
            total_near += similarity * value
    # The rounding error of an empty sum is no surface.
    far = np.maximum(weight - weight_near, np.float32(1e-6) * weight)
    level_far = (total - total_near) / far
    level_near = total_near / np.maximum(weight_near, np.float32(1e-12))
    is_near = weight_near * np.sqrt(level_near) > far * np.sqrt(np.maximum(level_far, 0))
    chosen = np.full(len(v), np.nan, np.float32)
    chosen[some] = np.where(is_near, level_near, level_far)
    return chosen
