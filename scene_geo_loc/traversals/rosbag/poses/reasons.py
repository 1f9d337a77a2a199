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

"""Reasons for which a source of poses was taken, or passed over."""

from __future__ import annotations

from scene_geo_loc.traversals.rosbag.poses.bodies import MIN_AGREEMENT
from scene_geo_loc.traversals.rosbag.poses.pose_candidates import Candidate, Rank
from scene_geo_loc.traversals.sources import Reason

SPARSE_S = 0.5
"""Poses of a topic that are further apart are corrections, not a trajectory."""
MIN_COVERAGE = 0.8
"""Sources with a pose for a smaller share of the images than this, times the best, are passed over."""


def reason_of_choice(candidate: Candidate) -> str:
    """Returns why a source was taken."""
    phrases = {
        Rank.TRUTH: Reason.TRUTH,
        Rank.GLOBAL_TF: Reason.GLOBAL_TF,
        Rank.GLOBAL_TOPIC: Reason.GLOBAL_TOPIC,
        Rank.ROOT_TF: Reason.ROOT_TF,
        Rank.MAP_OF_ODOMETRY_TF: Reason.ODOMETRY,
        Rank.ODOMETRY_TOPIC: Reason.ODOMETRY,
        Rank.ODOMETRY_TF: Reason.ODOMETRY,
    }
    return phrases[candidate.rank].of(frame=candidate.poses.map_frame)


def uncovered(candidate: Candidate, best_coverage: float) -> str:
    """Returns why a source with too few poses for the images is passed over."""
    if candidate.interval_s > SPARSE_S:
        return Reason.SPARSE.of(seconds=candidate.interval_s)
    return Reason.UNCOVERED.of(share=candidate.coverage, best=best_coverage)


def difference(candidate: Candidate, chosen: Candidate) -> str:
    """Returns how a source moves otherwise than the chosen one."""
    agreement, apart = candidate.agreement(chosen), candidate.distance_change(chosen)
    if agreement is not None and agreement >= MIN_AGREEMENT and apart is not None:
        return Reason.APART.of(metres=apart)
    return Reason.DISAGREES.of(
        agreement=agreement or 0.0, limit=MIN_AGREEMENT, seconds=candidate.samples.interval_s
    )


def compared(candidate: Candidate, chosen: Candidate | None) -> str:
    """Returns why a source that could have been taken was not."""
    if chosen is None:
        return ""
    if candidate.coverage < MIN_COVERAGE * chosen.coverage:
        return uncovered(candidate, chosen.coverage)
    if candidate.interval_s > SPARSE_S:
        return Reason.SPARSE.of(seconds=candidate.interval_s)
    agreement = candidate.agreement(chosen)
    if agreement is not None and agreement < MIN_AGREEMENT:
        return difference(candidate, chosen)
    drift = chosen.drift(candidate) if candidate.rank.drifts else None
    if drift is not None:
        return Reason.DRIFTS.of(metres=drift[0], length=drift[1])
    return Reason.AGREES.of() if agreement is not None else reason_of_choice(candidate)
