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

"""Compact series of poses that grows pose by pose: of a topic, or of one transform."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.rotation import matrix_of_quaternion
from scene_geo_loc.geometry.trajectory import MAX_GAP_NS, Trajectory

_MAX_NORM_ERROR = 0.01

MAX_TRANSLATION_M = 1e8
"""Larger translations are refused; the limit is 16 times the Earth's radius."""

MAX_SLOW_GAP_NS = 5_000_000_000
"""Longest gap of a slow transform that moves that is interpolated."""
_SLOW_FACTOR, _STILL_FACTOR = 2.5, 10.0
_LONGEST_NS = 2**62
_USUAL = 16
"""Number of poses on either side whose distances in time are the usual ones."""
_MIN_DISTANCES = 3

_CONFLICT_M, _CONFLICT_COSINE = 0.1, math.cos(math.radians(2.5))
"""Poses of one time that differ by more, half of 5 degrees in quaternions, contradict each other."""

_UNTIDY = 1000
"""Number of poses that may arrive before old ones are dropped."""


class PoseSeries:
    """Growing series of the poses of one frame in another, 64 bytes each.

    Args:
        cache_s: how long poses are kept; None keeps all.

    Attributes:
        conflicts: number of poses that contradict the one before with the same stamp, as of two publishers.
    """

    def __init__(self, cache_s: float | None = None) -> None:
        self._cache_ns = None if cache_s is None else int(cache_s * 1e9)
        self._stamps_ns = array("q")
        self._numbers = array("d")
        self._in_order = True
        self._newest_ns: deque[int] = deque(maxlen=3)
        self._kept = 0
        self.conflicts = 0

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(self, stamp_ns: int, translation: Iterable[float], quaternion_xyzw: Iterable[float]) -> bool:
        """Adds a pose; of poses with equal stamps the last given stays.

        Returns False and leaves the pose out where it is not finite, farther away than 1e8 m, or where
        the quaternion's norm differs from 1 by 0.01 or more.
        """
        numbers = array("d", (*translation, *quaternion_xyzw))
        if not _is_pose(numbers):
            return False
        self._newest_ns.append(stamp_ns)
        if self._stamps_ns and stamp_ns == self._stamps_ns[-1]:
            self.conflicts += _are_apart(self._numbers[-7:], numbers)
            self._numbers[-7:] = numbers
            return True
        self._in_order &= not self._stamps_ns or stamp_ns > self._stamps_ns[-1]
        self._stamps_ns.append(stamp_ns)
        self._numbers.extend(numbers)
        if self._cache_ns is not None and len(self) > 2 * self._kept + _UNTIDY:
            self._tidy()
        return True

    def trajectory(self) -> Trajectory:
        """Returns the poses in order of time."""
        stamps, numbers = self._tidy()
        return _trajectory(stamps, numbers)

    def at_many(self, stamps_ns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns poses (M, 4, 4) at stamps (M,), and a mask (M,) of the known ones; see `Trajectory`.

        Gaps are interpolated up to 1 s, or up to 2.5 times the usual distance of the poses around them, for
        transforms that come slowly, such as corrections of odometry; up to 10 times where the pose hardly
        changes.
        """
        stamps, numbers = self._tidy()
        around, limit_ns, still_ns = slice(0, 0), MAX_GAP_NS, _LONGEST_NS
        if len(stamps) and len(stamps_ns):
            first, last = (int(i) for i in np.searchsorted(stamps, (np.min(stamps_ns), np.max(stamps_ns))))
            around = slice(max(first - 1, 0), last + 1)
            distances = np.diff(stamps[max(first - _USUAL, 0) : last + _USUAL])
            if len(distances) >= _MIN_DISTANCES:
                usual_ns = float(np.median(distances))
                limit_ns = min(max(int(_SLOW_FACTOR * usual_ns), MAX_GAP_NS), MAX_SLOW_GAP_NS)
                still_ns = int(_STILL_FACTOR * usual_ns)
        path = _trajectory(stamps[around], numbers[around])
        return path.at_many(stamps_ns, limit_ns, still_gap_ns=still_ns)

    def neighbours(self, stamp_ns: int) -> tuple[int | None, int | None]:
        """Returns the stamps of the poses before a stamp, and at or after it; None where there is none."""
        stamps, _ = self._tidy()
        after = int(np.searchsorted(stamps, stamp_ns))
        return (
            int(stamps[after - 1]) if after > 0 else None,
            int(stamps[after]) if after < len(stamps) else None,
        )

    def _tidy(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Sorts the poses and drops those beyond the cache.

        Returns views of the stamps (N,), and of positions and quaternions (N, 7). No pose can be added
        while a view exists.
        """
        stamps, numbers = np.asarray(self._stamps_ns), np.asarray(self._numbers).reshape(-1, 7)
        if not self._in_order:
            # Unique keeps the first of equal stamps; read backwards, it is the last given.
            stamps, last = np.unique(stamps[::-1], return_index=True)
            numbers = numbers[::-1][last]
        if self._cache_ns is not None and len(stamps):
            # Median of the last three stamps: a single wrong stamp must not drop all others.
            middle = sorted(self._newest_ns)[(len(self._newest_ns) - 1) // 2]
            latest = max(stamp for stamp in self._newest_ns if stamp <= middle + self._cache_ns)
            first = np.searchsorted(stamps, latest - self._cache_ns)
            end = np.searchsorted(stamps, middle + self._cache_ns, side="right")
            if first < end:
                stamps, numbers = stamps[first:end], numbers[first:end]
        if len(stamps) < len(self._stamps_ns) or not self._in_order:
            self._stamps_ns, self._numbers = array("q", stamps.tobytes()), array("d", numbers.tobytes())
            self._in_order = True
        self._kept = len(stamps)
        return stamps, numbers


def _is_pose(numbers: Sequence[float]) -> bool:
    """Returns whether a position and a quaternion (7,) are a valid pose; see `PoseSeries.add`."""
    return (
        all(abs(number) <= MAX_TRANSLATION_M for number in numbers[:3])
        and abs(math.hypot(*numbers[3:]) - 1.0) < _MAX_NORM_ERROR
    )


def _are_apart(first: Sequence[float], second: Sequence[float]) -> bool:
    """Returns whether two positions with quaternions (7,) are of different places or directions."""
    cosine = abs(sum(a * b for a, b in zip(first[3:], second[3:], strict=True)))
    return math.dist(first[:3], second[:3]) > _CONFLICT_M or cosine < _CONFLICT_COSINE


def _trajectory(stamps_ns: NDArray[np.int64], numbers: NDArray[np.float64]) -> Trajectory:
    """Makes a trajectory, with its own arrays, of stamps (N,) and of positions and quaternions (N, 7)."""
    poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
    if len(stamps_ns):
        poses[:, :3, 3] = numbers[:, :3]
        poses[:, :3, :3] = matrix_of_quaternion(numbers[:, 3:])
    return Trajectory(stamps_ns.astype(np.int64), poses)
