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

"""Comparison of a query with retrieved keyframes by the layout of their best keypoints, without depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.mapping.search.place_keypoints import PlaceKeypoints

HYPOTHESES = 48
"""Similarity transforms that are tried for each keyframe."""
TOLERANCE = 0.08
"""Distance at which a keypoint no longer agrees with a transform, widths of the image.

Far larger than an error of matching: a scene with depth does not move by one transform.
"""
_LEAST_BASELINE = 0.15
"""Least distance of the two keypoints that determine a transform, widths of the image."""
_SCALES = (0.6, 1.7)
"""Least and largest scale of a transform."""
_LARGEST_TURN = 0.35
"""Largest rotation of a transform in the image, radians."""

_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2 - 1
"""The eight signs of a byte."""


def agreement(
    query: PlaceKeypoints, keyframes: NDArray[np.uint8], places: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """Returns for each keyframe the share (K,) of the query's keypoints that are matched and lie alike.

    Mutual nearest neighbours are matches.  Of similarity transforms through two matches each, the one counts
    that most matches agree with; a match counts by how near it lies, fully where it is exact.

    Args:
        query: the keypoints (Q) of the query.
        keyframes: (K, P, A / 8) signs of the keyframes' features, see `stored_row`.
        places: (K, P) of the keyframes' keypoints, x + iy in widths of the image.

    Source: the asymmetric comparison of binary codes is of Gordo et al., TPAMI 2014; the spatial check by
    hypotheses from few matches is of Philbin et al., CVPR 2007.
    """
    count, kept = keyframes.shape[:2]
    if len(query.features) == 0:
        return np.zeros(count)
    signs = _SIGNS.take(keyframes, axis=0).reshape(count * kept, -1)
    similarity = (signs @ query.features.T).reshape(count, kept, -1)
    nearest = similarity.argmax(axis=2)
    greatest = np.take_along_axis(similarity, nearest[..., None], axis=2)[..., 0]
    is_match = (greatest >= np.take_along_axis(similarity.max(axis=1), nearest, axis=1)) & (greatest > 0)
    # The matches of each keyframe first; the rest is room that some keyframes do not use.
    counts = is_match.sum(axis=1)
    chosen = np.argsort(~is_match, axis=1, kind="stable")[:, : max(1, counts.max())]
    is_match = np.take_along_axis(is_match, chosen, axis=1)
    there = np.take_along_axis(places, chosen, axis=1)
    here = query.places[np.take_along_axis(nearest, chosen, axis=1)]

    draws = np.random.default_rng(0).random((count, 2 * HYPOTHESES))
    pairs = (draws * counts[:, None]).astype(np.intp)
    ends_there, ends_here = (np.take_along_axis(places, pairs, axis=1) for places in (there, here))
    baseline, baseline_here = (
        ends[:, :HYPOTHESES] - ends[:, HYPOTHESES:] for ends in (ends_there, ends_here)
    )
    is_far = np.abs(baseline) >= _LEAST_BASELINE
    turn = baseline_here / np.where(is_far, baseline, 1)
    scale = np.abs(turn)
    is_possible = is_far & (scale >= _SCALES[0]) & (scale <= _SCALES[1])
    is_possible &= np.abs(np.angle(turn)) <= _LARGEST_TURN
    shift = ends_here[:, :HYPOTHESES] - turn * ends_there[:, :HYPOTHESES]
    nearness = _squares(turn, shift, there, here, np.where(is_match, 0.0, 1e3))
    nearness *= np.float32(-1 / TOLERANCE**2)
    nearness += 1
    support = np.maximum(nearness, 0, out=nearness).sum(axis=2)
    return np.asarray(np.where(is_possible, support, 0).max(axis=1) / len(query.features), np.float64)


def _squares(
    turn: NDArray[np.complex128],
    shift: NDArray[np.complex128],
    there: NDArray[np.complex128],
    here: NDArray[np.complex128],
    more: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Returns |turn there + shift - here|^2 + more (K, H, M) of H transforms and M matches, in one product.

    Args:
        turn, shift: (K, H).
        there, here, more: (K, M).
    """
    both, cross = turn * shift.conj(), there * here.conj()
    ones = np.ones_like
    transforms = [
        np.abs(turn) ** 2, np.abs(shift) ** 2, ones(turn.real), both.real, -both.imag,
        -turn.real, turn.imag, -shift.real, -shift.imag,
    ]  # fmt: skip
    matches = [
        np.abs(there) ** 2, ones(more), np.abs(here) ** 2 + more, 2 * there.real, 2 * there.imag,
        2 * cross.real, 2 * cross.imag, 2 * here.real, 2 * here.imag,
    ]  # fmt: skip
    by_transform = np.stack(transforms, axis=2).astype(np.float32)
    return np.asarray(by_transform @ np.stack(matches, axis=1).astype(np.float32), np.float32)
