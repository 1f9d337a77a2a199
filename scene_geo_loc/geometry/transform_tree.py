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

"""Named frames with the transforms between them over time, of a running robot or of a recording."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.geometry.pose_series import PoseSeries

MAX_LAG_NS = 5_000_000_000
"""Waiting makes no sense for a transform that is further ahead of the newest one than this."""

STRAY_S = 5.0
"""A moving transform of a running robot that closes a loop is left out once it has not come for this long."""


class TransformIssue(Enum):
    """Reason why a transform is unknown at a time."""

    NOT_PUBLISHED = "not published"
    NOT_CONNECTED = "not connected"
    LOOP = "loop"
    AFTER_LAST = "after the last transform"
    BEFORE_FIRST = "before the first transform"
    GAP = "gap"


class TransformUnavailable(Exception):
    """A transform is unknown at a time; the message is a sentence for the user.

    Attributes:
        issue: the reason.
        may_come: whether the time is a little after the newest transform, so that waiting makes sense.
    """

    def __init__(self, issue: TransformIssue, frames: Sequence[str], seconds: float = 0.0) -> None:
        """Composes the sentence.

        Args:
            frames: target and source, and for NOT_PUBLISHED the missing frame as third; for LOOP all frames
                of the loop; for the last three issues parent and child of the transform.
            seconds: time between the stamp and the transforms, or length of the gap.
        """
        self.issue = issue
        self.may_come = issue is TransformIssue.AFTER_LAST and seconds * 1e9 <= MAX_LAG_NS
        edge = f"The transform from {frames[0]} to {frames[1]} on TF"
        sentence = {
            TransformIssue.NOT_PUBLISHED: f"No transform from {frames[0]} to {frames[1]} on TF: "
            f"nobody publishes {frames[-1]}.",
            TransformIssue.NOT_CONNECTED: f"No transform from {frames[0]} to {frames[1]} on TF: "
            "they are in different trees.",
            TransformIssue.LOOP: f"The frames {' -> '.join(frames)} on TF form a loop.",
            TransformIssue.AFTER_LAST: f"{edge} ends {seconds:.3f} s before the time asked for.",
            TransformIssue.BEFORE_FIRST: f"{edge} begins {seconds:.3f} s after the time asked for.",
            TransformIssue.GAP: f"{edge} has a gap of {seconds:.1f} s at the time asked for.",
        }[issue]
        super().__init__(sentence)


class _Broken(NamedTuple):
    """Reason why no chain of transforms connects two frames at any time."""

    issue: TransformIssue
    frames: Sequence[str]


class TransformTree:
    """Named frames with the transforms between them; thread-safe.

    A frame may have several parents, for example where both odometry and ground truth move the vehicle; a
    lookup takes the shortest chain.  A static transform has priority over moving ones of the same frames.
    Where transforms form a loop, there is no chain to the frames below it; with a cache moving ones that have
    not come for 5 s do not count there, so that a single wrong message has no lasting effect.

    Args:
        cache_s: age in seconds at which moving transforms are dropped; None keeps all, as for a recording.
    """

    def __init__(self, cache_s: float | None = None) -> None:
        self._cache_s = cache_s
        self._static: dict[tuple[str, str], PoseSeries] = {}
        self._moving: dict[tuple[str, str], PoseSeries] = {}
        self._arrived_s: dict[tuple[str, str], float] = {}
        self._paths: dict[tuple[str, str], list[str] | _Broken] = {}
        self._changed = threading.Condition()

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Iterable[float],
        quaternion_xyzw: Iterable[float],
        *,
        static: bool = False,
    ) -> bool:
        """Adds the pose of `child` in `parent`; of poses with equal stamps the last given stays.

        Args:
            static: whether it is valid at all times, as on /tf_static.

        Returns:
            False, with nothing added, where the numbers are no pose (see `PoseSeries.add`), or where the
            frames are equal or a name is empty.
        """
        if not parent or not child or parent == child:
            return False
        key = (parent, child)
        with self._changed:
            edges = self._static if static else self._moving
            series = edges.get(key)
            if series is None or static:
                series = PoseSeries(self._cache_s)
            if not series.add(stamp_ns, translation, quaternion_xyzw):
                return False
            if key not in edges:
                self._paths.clear()
            edges[key] = series
            if not static and self._cache_s is not None:
                self._arrived_s[key] = time.monotonic()
            self._changed.notify_all()
        return True

    def clear(self) -> None:
        """Removes all moving transforms; static transforms stay."""
        with self._changed:
            self._moving.clear()
            self._arrived_s.clear()
            self._paths.clear()

    def knows(self, frame: str) -> bool:
        """Returns whether any transform has this frame as parent or child."""
        with self._changed:
            return any(frame in edge for edge in (*self._static, *self._moving))

    def ancestors_of(self, frame: str) -> list[str]:
        """Returns the frames above a frame along any of its parents, the nearest first."""
        with self._changed:
            parents: dict[str, list[str]] = {}
            for parent, child in (*self._static, *self._moving):
                parents.setdefault(child, []).append(parent)
        found, seen = [frame], {frame}
        for below in found:
            above = [parent for parent in parents.get(below, ()) if parent not in seen]
            found += above
            seen.update(above)
        return found[1:]

    def frames(self) -> set[str]:
        """Returns the names of all frames."""
        with self._changed:
            return {frame for edge in (*self._static, *self._moving) for frame in edge}

    def chain(self, target: str, source: str) -> list[str]:
        """Returns the frames from one to another, both included; empty where they are not connected."""
        with self._changed:
            path = self._path(target, source)
            return list(path) if isinstance(path, list) else []

    def moving_between(self, target: str, source: str) -> dict[tuple[str, str], PoseSeries]:
        """Returns the poses of each moving transform (parent, child) between two frames."""
        with self._changed:
            edges = [edge for pair in pairwise(self.chain(target, source)) for edge in (pair, pair[::-1])]
            static = {frozenset(edge) for edge in self._static}
            return {
                edge: self._moving[edge]
                for edge in edges
                if edge in self._moving and frozenset(edge) not in static
            }

    def connects(self, target: str, source: str) -> bool:
        """Returns whether a chain of transforms leads from one frame to another, at any time."""
        with self._changed:
            return isinstance(self._path(target, source), list)

    def is_static(self, target: str, source: str) -> bool:
        """Returns whether static transforms alone lead from one frame to another."""
        with self._changed:
            return _shortest(target, source, self._static) is not None

    def static_pose(self, target: str, source: str) -> Pose | None:
        """Returns `T_target_source` by static transforms alone; None where they do not connect the frames."""
        with self._changed:
            frames = _shortest(target, source, self._static)
            if frames is None:
                return None
            T = np.eye(4)
            for outer, inner in pairwise(frames):
                T = T @ self._step(outer, inner, np.zeros(1, np.int64))[0][0]
            return T

    def lookup(self, target: str, source: str, stamp_ns: int) -> Pose:
        """Returns `T_target_source` at a stamp, interpolated between the transforms before and after it.

        Raises:
            TransformUnavailable: the frames are not connected, or the time is not covered.
        """
        with self._changed:
            frames = self._path(target, source)
            if isinstance(frames, _Broken):
                raise TransformUnavailable(*frames)
            stamps_ns = np.array([stamp_ns], np.int64)
            T = np.eye(4)
            for outer, inner in pairwise(frames):
                poses, known = self._step(outer, inner, stamps_ns)
                if not known[0]:
                    key = (outer, inner) if (outer, inner) in self._moving else (inner, outer)
                    raise _unknown(key, self._moving[key], stamp_ns)
                T = T @ poses[0]
            return T

    def lookup_many(
        self, target: str, source: str, stamps_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns `T_target_source` (N, 4, 4) at stamps (N,), and a mask (N,) of the known ones."""
        poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
        known = np.ones(len(stamps_ns), bool)
        with self._changed:
            frames = self._path(target, source)
            if isinstance(frames, _Broken):
                return poses, ~known
            for outer, inner in pairwise(frames):
                step, step_known = self._step(outer, inner, stamps_ns)
                poses = poses @ step
                known &= step_known
        return poses, known

    def wait(self, target: str, source: str, stamp_ns: int, timeout_s: float) -> Pose:
        """As `lookup`, but waits up to `timeout_s` of wall time for a transform that is about to arrive."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                try:
                    return self.lookup(target, source, stamp_ns)
                except TransformUnavailable as unavailable:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0 or not unavailable.may_come:
                        raise
                    self._changed.wait(remaining)

    def _path(self, target: str, source: str) -> list[str] | _Broken:
        """Returns the frames from `target` to `source`, or the reason why there is no chain."""
        if (target, source) in self._paths:
            return self._paths[target, source]
        found = self._find_path(target, source, (*self._static, *self._moving))
        if isinstance(found, _Broken) and found.issue is TransformIssue.LOOP and self._cache_s is not None:
            stray_s = time.monotonic() - STRAY_S
            recent = [key for key in self._moving if self._arrived_s[key] > stray_s]
            return self._find_path(target, source, (*self._static, *recent))
        self._paths[target, source] = found
        return found

    def _find_path(self, target: str, source: str, edges: Sequence[tuple[str, str]]) -> list[str] | _Broken:
        for frame in (target, source):
            loop = _loop_above(frame, edges)
            if loop is not None:
                return _Broken(TransformIssue.LOOP, loop)
        path = _shortest(target, source, edges)
        if path is not None:
            return path
        for frame in (target, source):
            if not any(frame in edge for edge in edges):
                return _Broken(TransformIssue.NOT_PUBLISHED, (target, source, frame))
        return _Broken(TransformIssue.NOT_CONNECTED, (target, source))

    def _step(
        self, outer: str, inner: str, stamps_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns the poses of frame `inner` in its parent or child `outer`, and a mask of the known ones."""
        directions = (((outer, inner), True), ((inner, outer), False))
        for key, forward in directions:
            if key in self._static:
                pose = self._static[key].trajectory().poses[0]
                poses = np.broadcast_to(pose if forward else inverse(pose), (len(stamps_ns), 4, 4))
                return poses, np.ones(len(stamps_ns), bool)
        for key, forward in directions:
            if key in self._moving:
                poses, known = self._moving[key].at_many(stamps_ns)
                return (poses if forward else inverse(poses)), known
        raise KeyError((outer, inner))


def _unknown(edge: tuple[str, str], series: PoseSeries, stamp_ns: int) -> TransformUnavailable:
    """Returns the error for a stamp that the poses of an edge (parent, child) do not cover."""
    before, after = series.neighbours(stamp_ns)
    if after is None:
        assert before is not None
        return TransformUnavailable(TransformIssue.AFTER_LAST, edge, (stamp_ns - before) / 1e9)
    if before is None:
        return TransformUnavailable(TransformIssue.BEFORE_FIRST, edge, (after - stamp_ns) / 1e9)
    return TransformUnavailable(TransformIssue.GAP, edge, (after - before) / 1e9)


def _shortest(target: str, source: str, edges: Iterable[tuple[str, str]]) -> list[str] | None:
    """Returns the frames of the shortest chain from `target` to `source`; None where there is none."""
    neighbours: dict[str, list[str]] = {}
    for parent, child in edges:
        neighbours.setdefault(parent, []).append(child)
        neighbours.setdefault(child, []).append(parent)
    came_from = {target: target}
    queue = deque([target])
    while queue and source not in came_from:
        frame = queue.popleft()
        for other in neighbours.get(frame, []):
            if other not in came_from:
                came_from[other] = frame
                queue.append(other)
    if source not in came_from:
        return None
    frames = [source]
    while frames[-1] != target:
        frames.append(came_from[frames[-1]])
    return frames[::-1]


def _loop_above(frame: str, edges: Iterable[tuple[str, str]]) -> list[str] | None:
    """Returns the frames of a loop among the ancestors of a frame, with the first one repeated; or None."""
    parents: dict[str, list[str]] = {}
    for parent, child in edges:
        parents.setdefault(child, []).append(parent)
    done: set[str] = set()
    chain = [frame]
    ways = [iter(parents.get(frame, ()))]
    while ways:
        above = next(ways[-1], None)
        if above is None:
            ways.pop()
            done.add(chain.pop())
        elif above in chain:
            return [*chain[chain.index(above) :], above]
        elif above not in done:
            chain.append(above)
            ways.append(iter(parents.get(above, ())))
    return None
