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

"""A street without features, and answers to images of it, for statistics of keyframes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.localization.estimate import CameraEstimate, Candidate, PoseEstimate, Status
from scene_geo_loc.localization.session import Answer
from scene_geo_loc.localization.tracking.tracker import TrackedPose
from scene_geo_loc.mapping.map_info import DriveRecord, MapInfo

MAY_AND_JUNE = (("may", 10, 0), ("june", 10, 1000))
SECOND = 10**9
ALONG = np.array([make_pose(np.eye(3), (float(x), 0.0, 0.0)) for x in range(20)])
"""Keyframes one metre apart."""


class Street:
    """A map as far as statistics need it: keyframes one metre apart, of two drives."""

    T_map_camera = ALONG

    def __init__(
        self, digest: str = "first", drives: tuple[tuple[str, int, int], ...] = MAY_AND_JUNE
    ) -> None:
        """`drives` are names, numbers of keyframes and the second of each drive's first keyframe."""
        self.path = Path("street")
        made = datetime(2026, 5, 1, tzinfo=timezone.utc)
        records = [DriveRecord(source=name, keyframes=count, built=made) for name, count, _ in drives]
        self.info = MapInfo.model_construct(localizer="retrieval", digest=digest, drives=records)
        self.stamps_ns = np.concatenate([(first + np.arange(n)) * SECOND for _, n, first in drives])

    def __len__(self) -> int:
        return len(self.stamps_ns)


def answer_at(
    x: float,
    inliers: dict[int, int],
    confidence: float = 0.99,
    rerank: dict[int, int] | None = None,
    **changes: Any,
) -> Answer:
    """Returns the answer to an image at x.

    Args:
        x: position of the image.
        inliers: of each candidate, or -1: it was not matched in full.
        confidence: of the pose.
        rerank: re-ranking inliers of candidates.
        changes: other attributes of the estimate.
    """
    candidates = [
        Candidate(
            keyframe,
            0.5,
            rerank_inliers=(rerank or {}).get(keyframe, 0),
            matches=0 if count < 0 else 200,
            inliers=max(count, 0),
        )
        for keyframe, count in inliers.items()
    ]
    estimate = PoseEstimate(
        Status.LOCALIZED,
        T_map_base=make_pose(np.eye(3), (x, 0.0, 0.0)),
        covariance=np.eye(6),
        confidence=confidence,
        cameras=[CameraEstimate(candidates=candidates)],
    )
    estimate = replace(estimate, **changes)
    return Answer(TrackedPose.of(estimate), estimate)
