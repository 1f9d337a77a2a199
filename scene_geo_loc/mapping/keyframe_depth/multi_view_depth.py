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

"""Depth of keyframes without measured depth, from neighbouring keyframes and the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.growing_array import GrowingArray
from scene_geo_loc.mapping.keyframe_depth.triangulation import (
    NEIGHBOURS,
    InverseDepth,
    LearnedScale,
    PosedFeatures,
    fuse,
    neighbours_of,
    triangulate,
)
from scene_geo_loc.mapping.partial_map import WORK, PartialMap
from scene_geo_loc.matchers.base import Matcher

REFINED_SOURCES = ("learned", "none")
"""Sources of depth that neighbouring keyframes refine."""
COMPARED_KEYFRAMES = 1000
"""Approximate largest number of keyframes to compare the network's depth with triangulated depth on."""


def refine_depth(partial: PartialMap, matcher: Matcher, on_keyframes: Callable[[int], None]) -> int:
    """Refines the depth of all keyframes without measured depth; returns how many have no depth after it.

    Args:
        partial: the map, with the features of all keyframes.
        matcher: its matcher, already fitted if its storage needs that.
        on_keyframes: receives the number of keyframes done.
    """
    seen = GrowingArray(partial.folder / WORK / "triangulated.npy", (2, partial.capacity), np.float32)
    seen.truncate(0)  # of a build that was interrupted here
    for done, row in enumerate(_triangulated(partial, matcher), start=1):
        seen.append(np.stack(row))
        on_keyframes(done)
    without_depth = partial.write_depth(_fused(partial, seen.rows()), matcher)
    seen.close()
    return without_depth


def _triangulated(partial: PartialMap, matcher: Matcher) -> Iterator[InverseDepth]:
    """Yields each keyframe's triangulated depth (F,); unknown for keyframes with measured depth."""
    size = tuple(matcher.input_size.tolist())
    T_map_camera = np.stack([record.T_map_camera for record in partial.records])
    nothing = np.full(partial.capacity, np.nan)

    @lru_cache(maxsize=4 * NEIGHBOURS)
    def posed(k: int) -> PosedFeatures:
        features = partial.features_of(k, matcher.storage)
        return PosedFeatures(features, partial.records[k].camera.resized(*size), T_map_camera[k])

    for k, record in enumerate(partial.records):
        if record.depth_source not in REFINED_SOURCES:
            yield InverseDepth(nothing, nothing)
            continue
        others = [posed(int(n)) for n in neighbours_of(T_map_camera, k)]
        yield triangulate(posed(k), others, matcher)


def _fused(partial: PartialMap, seen: NDArray[np.float32]) -> Iterator[tuple[NDArray, NDArray]]:
    """Yields depth (F,) and relative error (F,) of each keyframe, fused of both sources.

    A feature that shows nothing of the scene has an infinite error (`KeyframeDepth.at`), and no depth.

    Args:
        seen: (N, 2, F) triangulated inverse depth and its standard deviation.
    """
    depth, sigma = partial.depth_rows()
    is_learned = np.array([record.depth_source == "learned" for record in partial.records])
    compared = np.flatnonzero(is_learned)[:: -(-len(depth) // COMPARED_KEYFRAMES)]
    scale = LearnedScale.of(_double(depth[compared]), InverseDepth(*_double(seen[compared]).swapaxes(0, 1)))
    for k, record in enumerate(partial.records):
        if record.depth_source not in REFINED_SOURCES:
            yield depth[k], np.where(np.isinf(sigma[k]), np.nan, sigma[k])
            continue
        known, error = fuse(InverseDepth(*_double(seen[k])), _double(depth[k]), _double(sigma[k]), scale)
        known[np.isinf(sigma[k])] = error[np.isinf(sigma[k])] = np.nan
        if record.depth_source == "none" and np.isfinite(known).any():
            record.depth_source = "triangulated"
        yield known, error


def _double(values: NDArray) -> NDArray[np.float64]:
    return values.astype(np.float64)
