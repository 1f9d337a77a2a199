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

"""Which keyframes of a later drive a map needs: those that it does not find itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import PoseEstimate
from scene_geo_loc.mapping.reference_map import ReferenceMap

FOUND_M = 0.5
"""A keyframe is found where its localized pose is this near to its own."""
SAME_FRAME_M = 1.0
"""Two maps are in one frame where the median of the distances between both poses is smaller."""
MIN_COMPARED = 5
"""Fewest localized keyframes that frames are compared by."""


@dataclass(frozen=True)
class Extension:
    """Keyframes of a drive that a map lacks.

    Attributes:
        needed: (M,) keyframes of the drive, ascending.
        found: number of keyframes that the map localizes by itself.
        offset_m: median distance between their localized and their own poses; None where there are few.
    """

    needed: NDArray[np.intp]
    found: int
    offset_m: float | None


def needed_keyframes(drive: ReferenceMap, localized: Mapping[int, PoseEstimate]) -> Extension:
    """Returns the keyframes of a drive that a map needs.

    Args:
        drive: keyframes of the drive, in the frame of the map.
        localized: their poses in the map, of those that are found in it.

    Raises MapError where the poses of the drive are in another frame than the map.
    """
    off_m = {
        keyframe: float(position_error_m(drive.T_map_camera[keyframe], estimate.T_map_base))
        for keyframe, estimate in localized.items()
        if estimate.T_map_base is not None
    }
    offset_m = float(np.median(list(off_m.values()))) if len(off_m) >= MIN_COMPARED else None
    if offset_m is not None and offset_m > SAME_FRAME_M:
        raise MapError(
            f"The poses of {drive.path} are {offset_m:.2f} m > {SAME_FRAME_M:g} m off the map (median of "
            f"{len(off_m)} keyframes): they are in another frame; align it first."
        )
    is_found = np.array([off_m.get(keyframe, np.inf) <= FOUND_M for keyframe in range(len(drive))])
    return Extension(np.flatnonzero(~is_found), int(is_found.sum()), offset_m)
