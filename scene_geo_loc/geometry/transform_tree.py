"""The transforms of a whole recording, looked up at any of its times."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.geometry.trajectory import Trajectory


@dataclass
class PoseSeries:
    """Poses of one frame in another while they are being read, 64 bytes each."""

    stamps_ns: array[int] = field(default_factory=lambda: array("q"))
    numbers: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def add(self, stamp_ns: int, translation: ArrayLike, quaternion_xyzw: ArrayLike) -> bool:
        """Takes a pose; False where it is not finite or its quaternion is zero."""
        numbers = (*np.asarray(translation, float), *np.asarray(quaternion_xyzw, float))
        if not np.isfinite(numbers).all() or np.linalg.norm(numbers[3:]) < 1e-6:
            return False
        self.stamps_ns.append(stamp_ns)
        self.numbers.extend(numbers)
        return True

    def trajectory(self) -> Trajectory:
        """The poses in order of time; of those with one stamp the last given."""
        if not self.stamps_ns:
            return Trajectory(np.zeros(0, np.int64), np.zeros((0, 4, 4)))
        stamps = np.asarray(self.stamps_ns, np.int64)
        numbers = np.asarray(self.numbers, np.float64).reshape(-1, 7)
        # Unique keeps the first of equal stamps; read backwards, it is the last given.
        stamps, last = np.unique(stamps[::-1], return_index=True)
        numbers = numbers[::-1][last]
        poses = np.tile(np.eye(4), (len(stamps), 1, 1))
        poses[:, :3, 3] = numbers[:, :3]
        poses[:, :3, :3] = Rotation.from_quat(numbers[:, 3:]).as_matrix()
        return Trajectory(stamps, poses)


class TransformTree:
    """Named frames with the transforms between them, as tf2 has them, over a whole recording."""

    def __init__(self) -> None:
        self._fixed: dict[tuple[str, str], PoseSeries] = {}
        self._moving: dict[tuple[str, str], PoseSeries] = {}
        self._trajectories: dict[tuple[str, str], Trajectory] = {}

    def add(
        self,
        stamp_ns: int,
        parent: str,
        child: str,
        translation: ArrayLike,
        quaternion_xyzw: ArrayLike,
        *,
        fixed: bool,
    ) -> bool:
        """Takes the pose of `child` in `parent`; False where the numbers are no pose.

        Args:
            fixed: whether it holds for all times, as on /tf_static.
        """
        edges = self._fixed if fixed else self._moving
        series = edges.get((parent, child)) or PoseSeries()
        if not series.add(stamp_ns, translation, quaternion_xyzw):
            return False
        edges[parent, child] = series
        self._trajectories.pop((parent, child), None)
        return True

    def root_of(self, frame: str) -> str:
        """The frame at the end of the chain of parents of `frame`: itself where it has none."""
        parents = {child: parent for parent, child in (*self._moving, *self._fixed)}
        seen = {frame}
        while frame in parents and parents[frame] not in seen:
            frame = parents[frame]
            seen.add(frame)
        return frame

    def path(self, target: str, source: str, *, fixed_only: bool = False) -> list[str] | None:
        """The frames from `target` to `source`, or None where nothing connects them.

        Args:
            fixed_only: whether only transforms that never change may be used.
        """
        neighbours: dict[str, list[str]] = {}
        for parent, child in (*self._fixed, *(() if fixed_only else self._moving)):
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

    def lookup(
        self, target: str, source: str, stamps_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """`T_target_source` (N, 4, 4) at stamps (N,), and where it is known (N,)."""
        poses = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
        known = np.ones(len(stamps_ns), bool)
        frames = self.path(target, source)
        if frames is None:
            return poses, np.zeros(len(stamps_ns), bool)
        for outer, inner in pairwise(frames):
            step, step_known = self._edge(outer, inner, stamps_ns)
            poses = poses @ step
            known &= step_known
        return poses, known

    def _edge(
        self, outer: str, inner: str, stamps_ns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        for key, forward in (((outer, inner), True), ((inner, outer), False)):
            series = self._fixed.get(key) or self._moving.get(key)
            if series is None:
                continue
            if key not in self._trajectories:
                self._trajectories[key] = series.trajectory()
            trajectory = self._trajectories[key]
            if key in self._fixed:
                poses = np.broadcast_to(trajectory.poses[-1], (len(stamps_ns), 4, 4))
                known = np.ones(len(stamps_ns), bool)
            else:
                poses, known = trajectory.at_many(stamps_ns)
            return (poses if forward else inverse(poses)), known
        raise KeyError((outer, inner))
