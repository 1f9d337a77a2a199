"""Runs a localizer over a traversal, offline, tracked or not, and keeps what the evaluation needs of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.tracker import TrackedPose
from scene_geo_loc.metrics.pose_error import CARRIED, LOCALIZED, QueryRecord

if TYPE_CHECKING:
    from scene_geo_loc.geometry.pose import Pose
    from scene_geo_loc.localization.estimate import Candidate
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.localization.rig import RigLocalizer
    from scene_geo_loc.localization.tracker import Tracker
    from scene_geo_loc.mapping.reference_map import ReferenceMap
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
        T_retrieved=_most_similar(estimate.candidates, localizer.map),
        covariance=tracked.covariance,
    )


def localize_instant(localizer: RigLocalizer, frames: Sequence[Frame]) -> QueryRecord:
    """The record of images that the cameras of a rig took at one instant, with the first camera's pose.

    Where the cameras are to each other follows from the frames' own poses, which hold their mounting and
    how far the vehicle went from one image to the next.  A frame without a pose takes no part; the first
    one must have one.
    """
    from scene_geo_loc.localization.rig import RigImage

    first = frames[0]
    assert first.T_map_camera is not None, "without it the others' places are not known"
    T_base_map = inverse(first.T_map_camera)
    images = [
        RigImage(frame.image, frame.camera, T_base_map @ frame.T_map_camera)
        for frame in frames
        if frame.T_map_camera is not None
    ]
    try:
        estimate = localizer.localize(images)
    except SceneGeoLocError as error:
        return QueryRecord(first.stamp_ns, "lost", first.T_map_camera, reason=str(error), name=first.name)
    status = str(estimate.status.value)
    return QueryRecord(
        stamp_ns=first.stamp_ns,
        status=status,
        T_true=first.T_map_camera,
        T_estimated=estimate.T_map_base if status == LOCALIZED else None,
        latency_ms=estimate.timings_ms["total"],
        timings_ms=dict(estimate.timings_ms),
        inliers=estimate.inliers,
        inlier_ratio=estimate.inlier_ratio,
        reason=estimate.reason,
        name=first.name,
        T_retrieved=_most_similar(estimate.cameras[0].candidates, localizer.localizer.map),
    )


def _most_similar(candidates: Sequence[Candidate], reference_map: ReferenceMap) -> Pose | None:
    """The pose of what retrieval alone would have answered."""
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: candidate.similarity)
    return np.asarray(reference_map.T_map_camera[best.keyframe])
