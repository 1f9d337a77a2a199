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

"""Scores tracking: gaps without a pose, and recovery from a kidnapping.

Protocol of the kidnapping: the frames between a third and two thirds of a run are left out, as if the
camera had been moved unnoticed; stamps and odometry continue as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scene_geo_loc.benchmarks.localization.run import localize_frame
from scene_geo_loc.geometry.pose import inverse, position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.metrics.pose_error import QueryRecord

if TYPE_CHECKING:
    from scene_geo_loc.localization.session import Session
    from scene_geo_loc.traversals.frame import Frame, Traversal

FRAMES_BEFORE = 50
"""Number of frames that are tracked before the kidnapping."""


@dataclass(frozen=True)
class Gaps:
    """Gaps between poses.

    Attributes:
        dead_reckoned: number of poses that their own image did not confirm.
        longest_s: the longest time without a pose, from the first image to the last.
        longest_m: the longest true distance without a pose; None where the truth is not known.
    """

    dead_reckoned: int
    longest_s: float
    longest_m: float | None

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        longest_m = None if self.longest_m is None else round(self.longest_m, 2)
        return {
            "dead_reckoned": self.dead_reckoned,
            "longest_gap_s": round(self.longest_s, 3),
            "longest_gap_m": longest_m,
        }


def gaps_of(records: Sequence[QueryRecord]) -> Gaps:
    """Returns the gaps of a run of at least one record, in order of time."""
    ends = [0, *(i for i, record in enumerate(records) if record.is_localized), len(records) - 1]
    longest_s = max(records[b].stamp_ns - records[a].stamp_ns for a, b in pairwise(ends)) / 1e9
    places = [record.T_true[:3, 3] for record in records if record.T_true is not None]
    longest_m = None
    if len(places) == len(records):
        way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
        longest_m = float(max(way[b] - way[a] for a, b in pairwise(ends)))
    return Gaps(sum(record.status is Status.DEAD_RECKONED for record in records), longest_s, longest_m)


@dataclass(frozen=True)
class Kidnapping:
    """Recovery of a kidnapped camera.

    Attributes:
        away_m: distance of the kidnapping.
        recovered_s: time until the first correct pose, or None where there was none.
        wrong_poses: number of wrong poses until then.
    """

    away_m: float
    recovered_s: float | None
    wrong_poses: int

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        recovered_s = None if self.recovered_s is None else round(self.recovered_s, 3)
        away_m = round(self.away_m, 2)
        return {"away_m": away_m, "recovered_s": recovered_s, "wrong_poses": self.wrong_poses}


def kidnap(session: Session, traversal: Traversal, wrong_fix_m: float) -> Kidnapping | None:
    """Simulates a kidnapping in a run and measures the time until the camera is localized again.

    Returns None where the run is too short or its true poses are not known.
    """
    leave, resume = len(traversal) // 3, 2 * len(traversal) // 3
    session.reset()
    before: Frame | None = None
    after: Frame | None = None
    away_m, wrong = 0.0, 0
    for i, frame in enumerate(without_middle(traversal.frames(), leave, resume)):
        if i < leave - FRAMES_BEFORE:
            continue
        record = localize_frame(session, frame)
        if i < leave:
            before = frame
            continue
        if before is None or before.T_map_camera is None or frame.T_map_camera is None:
            return None
        if after is None:
            after = frame
            away_m = float(position_error_m(before.T_map_camera, frame.T_map_camera))
        if record.is_localized and record.T_estimated is not None:
            if position_error_m(frame.T_map_camera, record.T_estimated) <= wrong_fix_m:
                return Kidnapping(away_m, (frame.stamp_ns - after.stamp_ns) / 1e9, wrong)
            wrong += 1
    return None if after is None else Kidnapping(away_m, None, wrong)


def without_middle(frames: Iterable[Frame], leave: int, resume: int) -> Iterator[Frame]:
    """Yields the frames without numbers `leave` to `resume`; stamps and odometry continue over the cut."""
    last: list[Frame] = []
    pause_ns, T_new_old = 0, np.eye(4)
    for i, frame in enumerate(frames):
        if i < leave:
            last = [*last[-1:], frame]
            yield frame
        if i < resume or len(last) < 2:
            continue
        earlier, end = last
        if i == resume:
            pause_ns = frame.stamp_ns - end.stamp_ns - (end.stamp_ns - earlier.stamp_ns)
            odometry = [one.T_odom_camera for one in (earlier, end, frame) if one.T_odom_camera is not None]
            if len(odometry) == 3:
                T_earlier, T_end, T_here = odometry
                T_new_old = T_end @ inverse(T_earlier) @ T_end @ inverse(T_here)
        T_odom_camera = None if frame.T_odom_camera is None else T_new_old @ frame.T_odom_camera
        yield replace(frame, stamp_ns=frame.stamp_ns - pause_ns, T_odom_camera=T_odom_camera)
