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

"""Localizes a traversal offline and records what the evaluation needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.query import image_of
from scene_geo_loc.localization.verification.rejection import RejectionKind
from scene_geo_loc.metrics.pose_error import QueryRecord

if TYPE_CHECKING:
    from scene_geo_loc.geometry.pose import Pose
    from scene_geo_loc.localization.estimate import Candidate
    from scene_geo_loc.localization.query import Query
    from scene_geo_loc.localization.session import Answer, Session
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.traversals.frame import Frame, Traversal


OnAnswer = Callable[["Frame", "Answer"], None]
"""Receives each frame with its answer, for example to record them."""


def localize_traversal(
    session: Session, traversal: Traversal, on_answer: OnAnswer | None = None
) -> Iterator[QueryRecord]:
    """Yields the record of each frame, in order of time."""
    for frame in traversal.frames():
        yield localize_frame(session, frame, on_answer)


def localize_frame(session: Session, frame: Frame, on_answer: OnAnswer | None = None) -> QueryRecord:
    """Returns the record of one frame; latency is the wall time of localizing and tracking it."""
    return _record(session, frame, frame, on_answer)


def localize_instant(session: Session, frames: Sequence[Frame]) -> QueryRecord:
    """Returns the record of images that the cameras of a rig took at one instant: the first camera's pose.

    The mounting of the cameras follows from the frames' own poses, which also hold the motion of the vehicle
    from one image to the next.  A frame without a pose takes no part; the first one must have one.
    """
    first = frames[0]
    assert first.T_map_camera is not None, "without it the places of the other cameras are not known"
    T_base_map = inverse(first.T_map_camera)
    images = [
        image_of(frame, T_base_map @ frame.T_map_camera) for frame in frames if frame.T_map_camera is not None
    ]
    return _record(session, first, images)


def _record(session: Session, frame: Frame, query: Query, on_answer: OnAnswer | None = None) -> QueryRecord:
    """Localizes a query whose base is the camera of `frame`."""
    begin = time.perf_counter()
    answer = session.localize(frame.stamp_ns, query, frame.T_odom_camera)
    latency_ms = 1e3 * (time.perf_counter() - begin)
    if on_answer is not None:
        on_answer(frame, answer)
    pose, estimate = answer.pose, answer.estimate
    return QueryRecord(
        stamp_ns=frame.stamp_ns,
        status=pose.status,
        T_true=frame.T_map_camera,
        T_estimated=pose.T_map_base,
        latency_ms=None if estimate.kind is RejectionKind.INVALID_IMAGE else latency_ms,
        timings_ms=dict(estimate.timings_ms),
        inliers=estimate.inliers,
        inlier_ratio=estimate.inlier_ratio,
        rejection=pose.rejection,
        name=frame.name,
        T_retrieved=_most_similar(estimate.candidates, session.localizer.map),
        unverified=estimate.unverified,
        covariance=pose.covariance,
        confidence=estimate.confidence if pose.status is Status.LOCALIZED else None,
    )


def _most_similar(candidates: Sequence[Candidate], reference_map: AnyMap) -> Pose | None:
    """Returns the pose of the most similar keyframe: the answer of retrieval alone."""
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: candidate.score)
    return np.asarray(reference_map.T_map_camera[best.keyframe])
