"""Runs a localizer over a traversal, offline, tracked or not, and keeps what the evaluation needs of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scene_geo_loc.errors import SceneGeoLocError
from scene_geo_loc.evaluation.pose_error import CARRIED, QueryRecord
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.tracker import TrackedPose

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.tracker import Tracker
    from scene_geo_loc.traversals.frame import Frame, Traversal


def localize_traversal(
    localizer: Localizer, traversal: Traversal, tracker: Tracker | None = None
) -> Iterator[QueryRecord]:
    """Answers for one frame after the other, in order of time; each on its own where there is no tracker.

    A frame that the localizer refuses (an image of another size than its camera, say) is a lost
    query with the refusal as its reason.
    """
    for frame in traversal.frames():
        yield localize_frame(localizer, frame, tracker)


def localize_frame(localizer: Localizer, frame: Frame, tracker: Tracker | None = None) -> QueryRecord:
    """The record of one frame; latency is the wall time of localizing and tracking it."""
    begin = time.perf_counter()
    prior = tracker.prior(frame.stamp_ns) if tracker else None
    refused = ""
    try:
        estimate = localizer.localize(frame.image, frame.camera, prior)
    except SceneGeoLocError as error:
        refused = str(error)
        estimate = PoseEstimate(Status.LOST, reason=refused)
    tracked = (
        tracker.update(frame.stamp_ns, estimate, frame.T_odom_camera, prior)
        if tracker
        else TrackedPose.of(estimate)
    )
    latency_ms = 1e3 * (time.perf_counter() - begin)
    T_retrieved = None
    if estimate.candidates:
        T_retrieved = localizer.map.T_map_camera[estimate.candidates[0].keyframe]
    return QueryRecord(
        stamp_ns=frame.stamp_ns,
        status=CARRIED if tracked.carried else str(tracked.status.value),
        T_true=frame.T_map_camera,
        T_estimated=tracked.T_map_camera,
        latency_ms=None if refused else latency_ms,
        timings_ms=dict(estimate.timings_ms),
        inliers=estimate.inliers,
        inlier_ratio=estimate.inlier_ratio,
        reason=tracked.reason,
        name=frame.name,
        T_retrieved=T_retrieved,
        covariance=tracked.covariance,
    )
