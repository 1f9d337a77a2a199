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

"""Agreement of a point cloud with the images that get their depth from it.

A cloud in another frame has points around the drive too, as soon as both are near the origin of their frames,
and gives a depth to most features.  The parallax between keyframes gives another one, which needs the poses
alone: where both differ, cloud and poses are not in one frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scene_geo_loc.mapping.keyframe_depth.triangulation import (
    FIT_ERROR,
    PosedFeatures,
    neighbours_of,
    triangulate,
)
from scene_geo_loc.mapping.partial_map import PartialMap
from scene_geo_loc.matchers.base import Matcher
from scene_geo_loc.networks.runtime.extractor import evenly_spread

COMPARED_KEYFRAMES = 20
"""Most keyframes that are compared."""
MIN_FEATURES = 100
"""Fewest features that say something."""
AGREEING = 0.25
"""Depths agree whose ratio is within this of 1: matches alone err by some 10 %."""
MIN_SHARE = 0.5
"""Share of the features whose depths must agree."""


@dataclass(frozen=True)
class CloudAgreement:
    """Depth of a cloud against that by the parallax of the images.

    Attributes:
        keyframes, features: number of those that were compared.
        off: median of the relative differences.
        share: of the features whose depths differ by no more than `AGREEING`.
    """

    keyframes: int
    features: int
    off: float
    share: float

    @property
    def is_refuted(self) -> bool:
        """True where the cloud is in another frame than the poses."""
        return self.features >= MIN_FEATURES and self.share < MIN_SHARE

    def __str__(self) -> str:
        if self.features < MIN_FEATURES:
            return (
                f"{self.features} features < {MIN_FEATURES} have a depth by their parallax: too few to "
                "compare the cloud with"
            )
        return (
            f"its depth is {self.off:.1%} off that by the parallax of the images (median of {self.features} "
            f"features of {self.keyframes} keyframes); share within {AGREEING:.0%}: {self.share:.0%}"
        )


def measure_agreement(partial: PartialMap, matcher: Matcher) -> CloudAgreement:
    """Compares the depth of keyframes spread over a map that is being built, from a cloud.

    Args:
        partial: the map.
        matcher: its matcher, of keypoints.
    """
    width, height = (int(side) for side in matcher.input_size)
    records = partial.records
    T_map_camera = np.stack([record.T_map_camera for record in records])
    depth = partial.depth_rows()[0]

    def posed(k: int) -> PosedFeatures:
        features = partial.features_of(k, matcher.storage)
        return PosedFeatures(features, records[k].camera.resized(width, height), T_map_camera[k])

    by_cloud = [k for k, record in enumerate(records) if record.depth_source == "lidar"]
    compared, ratios = 0, [np.zeros(0)]
    for i in evenly_spread(len(by_cloud), COMPARED_KEYFRAMES) if by_cloud else ():
        k = by_cloud[i]
        others = [posed(int(n)) for n in neighbours_of(T_map_camera, k)]
        value, sigma = triangulate(posed(k), others, matcher)
        metres = np.asarray(depth[k], np.float64)
        with np.errstate(invalid="ignore"):
            known = np.isfinite(metres) & (value > 0) & (sigma < FIT_ERROR * value)
        ratios.append(metres[known] * value[known])
        compared += bool(known.any())
    ratio = np.concatenate(ratios)
    off = np.abs(np.log(np.maximum(ratio, 1e-6)))
    if not len(off):
        return CloudAgreement(compared, 0, 0.0, 0.0)
    return CloudAgreement(
        compared, len(off), float(np.expm1(np.median(off))), float((off <= np.log1p(AGREEING)).mean())
    )
