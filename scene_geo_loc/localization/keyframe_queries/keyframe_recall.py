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

"""How well keyframes that a map is to lose are still localized by those that it keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress, tracked
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.networks.runtime.extractor import evenly_spread

RIGHT_M = 0.5
"""Largest position error of a keyframe that counts as found."""
ASKED = 100
"""Most keyframes that are asked."""
CANDIDATES = 5


@dataclass(frozen=True)
class KeyframeRecall:
    """Keyframes that were localized by others of a map.

    Attributes:
        asked: number of keyframes.
        before: number found by all other keyframes.
        after: number found by the kept keyframes.
    """

    asked: int
    before: int
    after: int

    def __str__(self) -> str:
        if not self.asked:
            return "no keyframe is left out"
        return (
            f"of {self.asked} keyframes that are left out, {self.before} are found within {RIGHT_M:g} m by "
            f"the others of the whole map, and {self.after} by those that are kept"
        )


def recall_without(
    localizer: Localizer, kept: NDArray[np.intp], on_progress: ProgressCallback = ignore_progress
) -> KeyframeRecall:
    """Returns the recall of keyframes that are not kept, before and after; at most `ASKED` of them are asked.

    A keyframe is localized by the features that the map stores of it, from the most similar others.

    Args:
        localizer: of the whole map.
        kept: (M,) keyframes that remain.
    """
    everything = np.arange(len(localizer.map))
    removed = np.setdiff1d(everything, kept)
    asked = removed[evenly_spread(len(removed), ASKED)] if len(removed) else removed
    before = after = 0
    for keyframe in tracked(asked, len(asked), on_progress):
        others = np.delete(everything, keyframe)
        before += _is_found(localizer, int(keyframe), others)
        after += _is_found(localizer, int(keyframe), kept)
    return KeyframeRecall(len(asked), before, after)


def _is_found(localizer: Localizer, keyframe: int, among: NDArray[np.intp]) -> bool:
    index = localizer.map.index
    best, _ = index.search(index.descriptor(keyframe), CANDIDATES, among.astype(np.int64))
    pose = localizer.localize_keyframe(keyframe, [int(k) for k in best]).T_map_base
    truth = localizer.map.T_map_camera[keyframe]
    return pose is not None and float(position_error_m(truth, pose)) <= RIGHT_M
