"""Runs a localizer over a traversal, offline, and keeps what the evaluation needs of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scene_geo_loc.errors import SceneGeoLocError
from scene_geo_loc.evaluation.pose_error import LOCALIZED, QueryRecord

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.traversals.frame import Frame, Traversal


def localize_traversal(localizer: Localizer, traversal: Traversal) -> Iterator[QueryRecord]:
    """Answers for one frame after the other, each on its own, in order of time.

    A frame that the localizer refuses (an image of another size than its camera, say) is a lost
    query with the refusal as its reason.
    """
    for frame in traversal.frames():
        yield localize_frame(localizer, frame)


def localize_frame(localizer: Localizer, frame: Frame) -> QueryRecord:
    """The record of one frame; latency is the wall time of the localizer's call."""
    begin = time.perf_counter()
    try:
        estimate = localizer.localize(frame.image, frame.camera)
    except SceneGeoLocError as error:
        return QueryRecord(frame.stamp_ns, "lost", frame.T_map_camera, reason=str(error), name=frame.name)
    latency_ms = 1e3 * (time.perf_counter() - begin)
    status = str(estimate.status.value)
    T_retrieved = None
    if estimate.candidates:
        T_retrieved = localizer.map.T_map_camera[estimate.candidates[0].keyframe]
    return QueryRecord(
        stamp_ns=frame.stamp_ns,
        status=status,
        T_true=frame.T_map_camera,
        T_estimated=estimate.T_map_camera if status == LOCALIZED else None,
        latency_ms=latency_ms,
        timings_ms=dict(estimate.timings_ms),
        inliers=estimate.inliers,
        inlier_ratio=estimate.inlier_ratio,
        reason=estimate.reason,
        name=frame.name,
        T_retrieved=T_retrieved,
    )
