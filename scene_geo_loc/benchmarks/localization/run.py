"""Runs a localizer over a traversal, offline, tracked or not, and keeps what the evaluation needs of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.localization.estimate import PoseEstimate, Status
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.rejection import Rejection, RejectionKind
from scene_geo_loc.localization.tracker import TrackedPose
from scene_geo_loc.metrics.pose_error import QueryRecord

if TYPE_CHECKING:
    from scene_geo_loc.geometry.pose import Pose
    from scene_geo_loc.localization.estimate import Candidate
    from scene_geo_loc.localization.localizer import Localizer
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
    refused = False
    try:
        estimate = localizer.localize(frame, prior)
    except SceneGeoLocError as error:
        refused = True
        estimate = PoseEstimate(Status.LOST, rejection=refusal(error))
    tracked = (
        tracker.update(frame.stamp_ns, estimate, frame.T_odom_camera, prior)
        if tracker
        else TrackedPose.of(estimate)
    )
    latency_ms = 1e3 * (time.perf_counter() - begin)
    return QueryRecord(
        stamp_ns=frame.stamp_ns,
        status=tracked.status,
        T_true=frame.T_map_camera,
        T_estimated=tracked.T_map_base,
        latency_ms=None if refused else latency_ms,
        timings_ms=dict(estimate.timings_ms),
        inliers=estimate.inliers,
        inlier_ratio=estimate.inlier_ratio,
        rejection=tracked.rejection,
        name=frame.name,
        T_retrieved=_most_similar(estimate.candidates, localizer.map),
        covariance=tracked.covariance,
    )


def localize_instant(localizer: Localizer, frames: Sequence[Frame]) -> QueryRecord:
    """The record of images that the cameras of a rig took at one instant, with the first camera's pose.

    Where the cameras are to each other follows from the frames' own poses, which hold their mounting and
    how far the vehicle went from one image to the next.  A frame without a pose takes no part; the first
    one must have one.
    """
    first = frames[0]
    assert first.T_map_camera is not None, "without it the others' places are not known"
    T_base_map = inverse(first.T_map_camera)
    images = [
        CameraImage(frame.image, frame.camera, T_base_map @ frame.T_map_camera)
        for frame in frames
        if frame.T_map_camera is not None
    ]
    try:
        estimate = localizer.localize(images)
    except SceneGeoLocError as error:
        return QueryRecord(
            first.stamp_ns, Status.LOST, first.T_map_camera, rejection=refusal(error), name=first.name
        )
    answer = TrackedPose.of(estimate)
    return QueryRecord(
        stamp_ns=first.stamp_ns,
        status=answer.status,
        T_true=first.T_map_camera,
        T_estimated=answer.T_map_base,
        latency_ms=estimate.timings_ms["total"],
        timings_ms=dict(estimate.timings_ms),
        inliers=estimate.inliers,
        inlier_ratio=estimate.inlier_ratio,
        rejection=answer.rejection,
        name=first.name,
        T_retrieved=_most_similar(estimate.candidates, localizer.map),
        covariance=answer.covariance,
    )


def refusal(error: SceneGeoLocError) -> Rejection:
    """Returns the rejection of an image that the localizer does not take."""
    return Rejection(RejectionKind.INVALID_IMAGE, detail=str(error))


def _most_similar(candidates: Sequence[Candidate], reference_map: ReferenceMap) -> Pose | None:
    """The pose of what retrieval alone would have answered."""
    if not candidates:
        return None
    best = max(candidates, key=lambda candidate: candidate.similarity)
    return np.asarray(reference_map.T_map_camera[best.keyframe])
