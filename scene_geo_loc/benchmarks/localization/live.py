"""Scores the answers of a live node against the ground truth of the recording."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord

if TYPE_CHECKING:
    from scene_geo_loc.ros.harness.replay import ReplayAnswers
    from scene_geo_loc.traversals.frame import Traversal

STATE_AFTER_S = 0.02
"""The state of a pose is published at most this long after the pose."""


def live_records(answers: ReplayAnswers, traversal: Traversal) -> list[QueryRecord]:
    """Returns one record for each image that was sent, with the traversal's poses as truth.

    The node publishes its state when it changes, right after the pose.  An image without a pose has the
    state in force when the next image was sent; where that has a pose, the node dropped the image.
    """
    truth = {frame.stamp_ns: frame.T_map_camera for frame in traversal.frames()}
    stamps = sorted(answers.sent_s)
    records = []
    for stamp_ns, next_ns in zip(stamps, [*stamps[1:], None], strict=True):
        answer = answers.poses.get(stamp_ns)
        if answer is not None and answers.base_T_camera is not None:
            T_map_base, received_s = answer
            latency_ms = 1e3 * (received_s - answers.sent_s[stamp_ns])
            T_map_camera = T_map_base @ answers.base_T_camera
            state = _last_state(answers, received_s + STATE_AFTER_S)
            status = Status.DEAD_RECKONED if state == Status.DEAD_RECKONED else Status.LOCALIZED
            records.append(QueryRecord(stamp_ns, status, truth.get(stamp_ns), T_map_camera, latency_ms))
        else:
            until_s = answers.sent_s[next_ns] if next_ns is not None else float("inf")
            state = _last_state(answers, until_s)
            unsure = state in (Status.LOST, Status.RETRIEVED_ONLY)
            status = Status(state) if unsure else Status.UNANSWERED
            records.append(QueryRecord(stamp_ns, status, truth.get(stamp_ns)))
    return records


def _last_state(answers: ReplayAnswers, until_s: float) -> str:
    """Returns the last state published until a wall time; empty where there was none."""
    before = bisect_right(answers.states, until_s, key=lambda event: event[0])
    return answers.states[before - 1][1] if before else ""
