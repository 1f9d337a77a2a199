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
"""The state of an image is published at most this long after its pose and the report of its processing."""


def live_records(answers: ReplayAnswers, traversal: Traversal) -> list[QueryRecord]:
    """Returns one record for each image that was sent, with the traversal's poses as truth.

    The node publishes its state when it changes.  An image that was processed without a pose has the state
    in force then.  One that was dropped, or rejected while the node was not ready, is unanswered.
    """
    truth = {frame.stamp_ns: frame.T_map_camera for frame in traversal.frames()}
    records = []
    for stamp_ns in sorted(answers.sent_s):
        answer, processed_s = answers.poses.get(stamp_ns), answers.processed_s.get(stamp_ns)
        if answer is not None and answers.base_T_camera is not None:
            T_map_base, received_s = answer
            latency_ms = 1e3 * (received_s - answers.sent_s[stamp_ns])
            T_map_camera = T_map_base @ answers.base_T_camera
            state = _last_state(answers, received_s + STATE_AFTER_S)
            status = Status.DEAD_RECKONED if state == Status.DEAD_RECKONED else Status.LOCALIZED
            records.append(QueryRecord(stamp_ns, status, truth.get(stamp_ns), T_map_camera, latency_ms))
            continue
        status = Status.UNANSWERED
        if processed_s is not None:
            state = _last_state(answers, processed_s + STATE_AFTER_S)
            if state in (Status.LOST, Status.RETRIEVED_ONLY):
                status = Status(state)
        records.append(QueryRecord(stamp_ns, status, truth.get(stamp_ns)))
    return records


def _last_state(answers: ReplayAnswers, until_s: float) -> str:
    """Returns the last state published until a wall time; empty where there was none."""
    before = bisect_right(answers.states, until_s, key=lambda event: event[0])
    return answers.states[before - 1][1] if before else ""
