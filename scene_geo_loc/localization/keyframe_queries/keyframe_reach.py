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

"""The reach of the keyframes of a map: the distance at which one of them alone localizes another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress, tracked
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.keyframe_queries.keyframe_recall import RIGHT_M
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.statistics.evidence import distances
from scene_geo_loc.networks.runtime.extractor import evenly_spread

ASKED = 40
"""Most keyframes that are localized."""
SEARCHED_M = 50.0
"""Others farther away are not asked."""


def reach_of(localizer: Localizer, on_progress: ProgressCallback = ignore_progress) -> float:
    """Returns the distance in metres within which a keyframe alone localizes others of its drive.

    It is the median of some keyframes, by the features that the map stores of them; an angle counts as a
    distance, see `DEG_PER_M`. Where the keyframes of a map are farther apart than that, it is 0.
    """
    drive_ends = np.cumsum([drive.keyframes for drive in localizer.map.info.all_drives])
    asked = evenly_spread(len(localizer.map), ASKED)
    reaches = [
        _reach(localizer, int(keyframe), drive_ends) for keyframe in tracked(asked, len(asked), on_progress)
    ]
    return float(np.median(reaches)) if reaches else 0.0


def _reach(localizer: Localizer, keyframe: int, drive_ends: NDArray[np.int64]) -> float:
    """Returns the distance of the farthest keyframe of the same drive that localizes one, by bisection."""
    T_map_camera = localizer.map.T_map_camera
    pose = T_map_camera[keyframe]
    near = localizer.map.within(pose[:3, 3], SEARCHED_M)
    drives = np.searchsorted(drive_ends, near, side="right")
    own = np.searchsorted(drive_ends, keyframe, side="right")
    near = near[(drives == own) & (near != keyframe)]
    away = distances(T_map_camera[near], pose)
    order = np.argsort(away, kind="stable")
    found, lost = 0, len(order) + 1
    while lost - found > 1:
        middle = (found + lost) // 2
        if _localizes(localizer, keyframe, int(near[order[middle - 1]])):
            found = middle
        else:
            lost = middle
    return float(away[order[found - 1]]) if found else 0.0


def _localizes(localizer: Localizer, keyframe: int, other: int) -> bool:
    """Returns whether a keyframe is localized rightly by another one alone."""
    estimate = localizer.localize_keyframe(keyframe, [other])
    if estimate.status is not Status.LOCALIZED or estimate.T_map_base is None:
        return False
    return float(position_error_m(localizer.map.T_map_camera[keyframe], estimate.T_map_base)) <= RIGHT_M
