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

"""Evidence of an image's pose for and against the keyframes that were its candidates."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.estimate import Candidate, Status
from scene_geo_loc.localization.session import Answer
from scene_geo_loc.mapping.editing.pruning import DEG_PER_M

HELPED_INLIERS = 12
"""Fewest inliers of a keyframe that helped: fewer can agree with a pose by chance."""
CHANCE_INLIERS = 3
"""Most re-ranking inliers of a keyframe that disagrees.

Keyframes of a town that were put 3 m off their place had 0 or 1, and right ones that did not help 12 or more.
"""
SURE = 0.9
"""Least confidence of a pose that a keyframe can disagree with; of matchers that state one."""


class Evidence(str, Enum):
    """Evidence that an image gives about a keyframe that was its candidate."""

    SEEN = "seen"
    """It was a candidate, and no more is known."""
    NEAR = "near"
    """It is nearer to a sure pose than a keyframe that helped, and did not help."""
    HELPED = "helped"
    """It gave inliers to an accepted pose."""
    DISAGREED = "disagreed"
    """It is nearer to a sure pose than a keyframe of its own drive that helped, so in the same light, and its
    matches do not agree with the pose."""


def evidence_of(
    answer: Answer, T_map_camera: NDArray[np.float64], drive_ends: NDArray[np.int64]
) -> Iterator[tuple[int, Evidence]]:
    """Yields each candidate of an image, or of the images of a rig, with what the pose says about it.

    Args:
        answer: of an image.
        T_map_camera: (N, 4, 4) poses of the map's keyframes.
        drive_ends: (D,) number of keyframes up to the end of each drive.
    """
    estimate = answer.estimate
    is_accepted = estimate.status is Status.LOCALIZED and answer.pose.status is Status.LOCALIZED
    is_sure = is_accepted and (estimate.confidence is None or estimate.confidence >= SURE)
    for camera in estimate.cameras:
        candidates = camera.candidates
        helped = [is_accepted and c.inliers >= HELPED_INLIERS for c in candidates]
        said = [Evidence.HELPED if has_helped else Evidence.SEEN for has_helped in helped]
        if is_sure and any(helped) and not all(helped) and estimate.T_map_base is not None:
            keyframes = [candidate.keyframe for candidate in candidates]
            away = distances(T_map_camera[keyframes], estimate.T_map_base @ camera.T_base_camera)
            drives = np.searchsorted(drive_ends, keyframes, side="right")
            reach = away[helped].max()
            for number in np.flatnonzero(~np.array(helped) & (away < reach)):
                said[number] = Evidence.NEAR
                farther = np.array(helped) & (drives == drives[number]) & (away > away[number])
                others = [candidates[other] for other in np.flatnonzero(farther)]
                if others and _does_not_agree(candidates[number], others):
                    said[number] = Evidence.DISAGREED
        yield from zip([candidate.keyframe for candidate in candidates], said, strict=True)


def _does_not_agree(candidate: Candidate, helping: list[Candidate]) -> bool:
    """Returns whether a keyframe that did not help was matched at all, in full or where re-ranking did."""
    if candidate.matches:
        return True
    was_compared = max(other.rerank_inliers for other in helping) >= HELPED_INLIERS
    return was_compared and candidate.rerank_inliers <= CHANCE_INLIERS


def distances(T_map_camera: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    """Returns the distances (K,) of poses (K, 4, 4) from one in metres, where an angle is `DEG_PER_M`."""
    cosine = (np.einsum("kij,ij->k", T_map_camera[:, :3, :3], pose[:3, :3]) - 1.0) / 2.0
    angle_m = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))) / DEG_PER_M
    offsets: NDArray[np.float64] = np.linalg.norm(T_map_camera[:, :3, 3] - pose[:3, 3], axis=1)
    return offsets + angle_m
