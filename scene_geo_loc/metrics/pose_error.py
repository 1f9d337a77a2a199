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

"""Pose errors of localized queries, and their summary.

Protocol: the position error is the distance between the origins of the estimated and the true pose; the
rotation error is the angle between their orientations.  Medians, percentiles (linear interpolation) and the
number of wrong poses are over the localized queries.  Shares are over the answered queries: a query without
a pose counts as missed.  A retrieved pose that is not verified does not count as a pose.  Queries that a live
node gave no answer to, and queries whose true pose is unknown, are excluded and counted separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg
from scene_geo_loc.localization.estimate import Status, UnverifiedPose
from scene_geo_loc.localization.verification.rejection import Rejectable, Rejection, RejectionKind

WITHIN = {"0.1 m 5°": (0.1, 5.0), "0.25 m 2°": (0.25, 2.0), "0.5 m 5°": (0.5, 5.0), "5 m 10°": (5.0, 10.0)}
"""Bounds on the position error (metres) and rotation error (degrees) whose shares are reported.

The first is for rooms. The others are those of the long-term visual localization benchmark (Sattler et al.,
CVPR 2018).
"""

WRONG_FIX_M = 5.0
"""Position error above which a localized pose counts as wrong, metres; suited to streets."""


@dataclass(frozen=True)
class QueryRecord(Rejectable):
    """A query with its true and its estimated pose.

    Attributes:
        stamp_ns: time of the image.
        status: outcome of the localization.
        T_true: true pose of the camera in the map, or None if the source does not contain it.
        T_estimated: estimated pose in the same frame; None unless localized or dead-reckoned.
        latency_ms: time from the image's arrival to the answer, or None if there was no answer.
        timings_ms: duration of each step of the localization, by name.
        inliers, inlier_ratio: number and share of the matches that agree with the pose; 0 without a pose.
        rejection: reason why the query has no pose, or only a dead-reckoned one; None if there is none or it
            is unknown.
        name: name of the image in the source.
        T_retrieved: pose of the most similar keyframe, or None if it is unknown.
        unverified: pose of a learned localizer before it was judged, or None.
        covariance: (6, 6) of the estimated pose, or None if it has none.
        confidence: probability that the pose of the image itself is right, or None if it states none.
    """

    stamp_ns: int
    status: Status
    T_true: Pose | None
    T_estimated: Pose | None = None
    latency_ms: float | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    inliers: int = 0
    inlier_ratio: float = 0.0
    rejection: Rejection | None = None
    name: str = ""
    T_retrieved: Pose | None = None
    unverified: UnverifiedPose | None = None
    covariance: NDArray[np.float64] | None = None
    confidence: float | None = None

    @property
    def is_localized(self) -> bool:
        """True if there is a pose, verified or dead-reckoned."""
        return self.status.has_pose and self.T_estimated is not None


@dataclass(frozen=True)
class RejectedQueries:
    """Number of queries that were rejected for the same kind of reason.

    Attributes:
        kind: kind of the rejections.
        count: number of queries.
        example: reason of the first query, as a sentence.
    """

    kind: RejectionKind
    count: int
    example: str


def group_rejections(records: Sequence[QueryRecord]) -> list[RejectedQueries]:
    """Returns the reasons why queries have no pose, by kind, most frequent first."""
    groups: dict[RejectionKind, list[Rejection]] = {}
    for record in records:
        if record.rejection is not None and not record.is_localized:
            groups.setdefault(record.rejection.kind, []).append(record.rejection)
    found = [RejectedQueries(kind, len(group), str(group[0])) for kind, group in groups.items()]
    return sorted(found, key=lambda rejected: -rejected.count)


@dataclass(frozen=True)
class Summary:
    """Numbers of one run over the queries with a known true pose.

    Numbers are None if there was nothing to measure. `without_truth` counts the queries that are excluded,
    `unanswered` those of `queries` that the live node gave no answer to; shares are over the others.
    """

    queries: int
    localized: int
    localized_share: float | None
    position_median_m: float | None
    position_p95_m: float | None
    rotation_median_deg: float | None
    rotation_p95_deg: float | None
    within: dict[str, float | None]
    wrong_fixes: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    wrong_fix_m: float
    without_truth: int
    unanswered: int

    @property
    def answered(self) -> int:
        """Number of queries with an answer: a pose, or that there is none."""
        return self.queries - self.unanswered

    def to_dict(self) -> dict[str, Any]:
        """Returns the record that is written as JSON, rounded; `unanswered` where there are any."""
        return ({"unanswered": self.unanswered} if self.unanswered else {}) | {
            "queries": self.queries,
            "localized": self.localized,
            "localized_share": _rounded(self.localized_share),
            "position_median_m": _rounded(self.position_median_m),
            "position_p95_m": _rounded(self.position_p95_m),
            "rotation_median_deg": _rounded(self.rotation_median_deg),
            "rotation_p95_deg": _rounded(self.rotation_p95_deg),
            "within": {name: _rounded(share) for name, share in self.within.items()},
            "wrong_fixes": self.wrong_fixes,
            "latency_ms": {"p50": _rounded(self.latency_p50_ms, 1), "p95": _rounded(self.latency_p95_ms, 1)},
        }


def errors_of(records: Sequence[QueryRecord]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the position errors (N,) in metres and rotation errors (N,) in degrees.

    Errors are NaN for records that are not localized or whose true pose is unknown.
    """
    position, rotation = np.full(len(records), np.nan), np.full(len(records), np.nan)
    for i, record in enumerate(records):
        if record.is_localized and record.T_true is not None and record.T_estimated is not None:
            position[i] = position_error_m(record.T_true, record.T_estimated)
            rotation[i] = rotation_error_deg(record.T_true, record.T_estimated)
    return position, rotation


def summarize(records: Sequence[QueryRecord], wrong_fix_m: float = WRONG_FIX_M) -> Summary:
    """Returns the numbers of a run, by the protocol at the head of this module.

    Args:
        wrong_fix_m: position error above which a localized pose counts as wrong, metres.
    """
    scored = [record for record in records if record.T_true is not None]
    answered = [record for record in scored if record.status is not Status.UNANSWERED]
    position, rotation = errors_of(answered)
    fixed = np.isfinite(position)
    latency = np.array([record.latency_ms for record in scored if record.latency_ms is not None])

    def within(metres: float, degrees: float) -> float | None:
        # NaN compares as False, so a query without a pose is within no bounds.
        return share((position <= metres) & (rotation <= degrees))

    def share(hits: NDArray[np.bool_]) -> float | None:
        return float(hits.mean()) if len(answered) else None

    return Summary(
        queries=len(scored),
        localized=int(fixed.sum()),
        localized_share=share(fixed),
        position_median_m=_percentile(position[fixed], 50),
        position_p95_m=_percentile(position[fixed], 95),
        rotation_median_deg=_percentile(rotation[fixed], 50),
        rotation_p95_deg=_percentile(rotation[fixed], 95),
        within={name: within(*bounds) for name, bounds in WITHIN.items()},
        wrong_fixes=int((position > wrong_fix_m).sum()),
        latency_p50_ms=_percentile(latency, 50),
        latency_p95_ms=_percentile(latency, 95),
        wrong_fix_m=wrong_fix_m,
        without_truth=len(records) - len(scored),
        unanswered=len(scored) - len(answered),
    )


def _percentile(values: NDArray[np.float64], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
