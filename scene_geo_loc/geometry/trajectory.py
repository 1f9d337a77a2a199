"""Poses over time, interpolated to the stamp of a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import Pose, from_quaternion, to_quaternion
from scene_geo_loc.geometry.rotation import slerp


@dataclass(frozen=True)
class Trajectory:
    """Poses of one frame in another, by time.

    Attributes:
        stamps_ns: (N,) int64, strictly increasing nanoseconds.
        poses: (N, 4, 4) float64.
    """

    stamps_ns: NDArray[np.int64]
    poses: NDArray[np.float64]

    @classmethod
    def from_unsorted(cls, stamps_ns: list[int], poses: list[Pose]) -> Trajectory:
        """Makes a trajectory of poses in any order; of poses with equal stamps the last given stays."""
        if not stamps_ns:
            return cls(np.zeros(0, np.int64), np.zeros((0, 4, 4)))
        by_stamp = dict(zip(stamps_ns, poses, strict=True))
        stamps = sorted(by_stamp)
        return cls(np.array(stamps, np.int64), np.stack([by_stamp[s] for s in stamps]))

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def at(self, stamp_ns: int, max_gap_ns: int = 1_000_000_000) -> Pose | None:
        """Returns the pose at a stamp: linear in position, slerp in rotation.

        None outside the trajectory and inside a gap longer than `max_gap_ns`.
        """
        poses, known = self.at_many(np.array([stamp_ns]), max_gap_ns)
        return poses[0] if known[0] else None

    def at_many(
        self, stamps_ns: NDArray[np.int64], max_gap_ns: int = 1_000_000_000
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns poses (M, 4, 4) at stamps (M,), identity if unknown, and a mask (M,) of the known ones."""
        stamps_ns = np.asarray(stamps_ns, np.int64)
        out = np.tile(np.eye(4), (len(stamps_ns), 1, 1))
        if len(self) == 0:
            return out, np.zeros(len(stamps_ns), bool)
        after = np.searchsorted(self.stamps_ns, stamps_ns, side="left")
        known = after < len(self)
        after = np.minimum(after, len(self) - 1)
        exact = known & (self.stamps_ns[after] == stamps_ns)
        known &= exact | (after > 0)
        before = np.where(exact, after, np.maximum(after - 1, 0))
        gap = self.stamps_ns[after] - self.stamps_ns[before]
        known &= gap <= max_gap_ns
        inner = known & ~exact
        out[exact] = self.poses[after[exact]]
        if inner.any():
            t = stamps_ns[inner]
            lo, hi = before[inner], after[inner]
            w = ((t - self.stamps_ns[lo]) / gap[inner])[:, None]
            out[inner, :3, 3] = (1 - w) * self.poses[lo, :3, 3] + w * self.poses[hi, :3, 3]
            out[inner, :3, :3] = slerp(self.poses[lo, :3, :3], self.poses[hi, :3, :3], w[:, 0])
        return out, known


def read_tum(path: Path) -> Trajectory:
    """Reads a TUM trajectory file: `stamp_s tx ty tz qx qy qz qw` a line, `#` for comments.

    Raises TraversalError where the file is missing or a line is not eight numbers.
    """
    stamps: list[int] = []
    poses: list[Pose] = []
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TraversalError(f"{path}: the trajectory cannot be read ({error}).") from error
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split("#")[0].replace(",", " ").split()
        if not fields:
            continue
        try:
            seconds, _, fraction = fields[0].partition(".")
            # As integers: a float64 of seconds since 1970 holds only a quarter of a microsecond.
            stamp = int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0") or 0)
            tx, ty, tz, qx, qy, qz, qw = (float(value) for value in fields[1:])
            poses.append(from_quaternion((tx, ty, tz), (qx, qy, qz, qw)))
            stamps.append(stamp)
        except ValueError as error:
            raise TraversalError(
                f"{path}, line {number}: expected `stamp_s tx ty tz qx qy qz qw`, found {line.strip()!r}."
            ) from error
    return Trajectory.from_unsorted(stamps, poses)


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """Writes a TUM trajectory file, stamps to the nanosecond."""
    lines = []
    for stamp, T, q in zip(
        trajectory.stamps_ns, trajectory.poses, to_quaternion(trajectory.poses), strict=True
    ):
        numbers = " ".join(f"{value:.9f}" for value in (*T[:3, 3], *q))
        lines.append(f"{stamp // 10**9}.{stamp % 10**9:09d} {numbers}")
    path.write_text("\n".join(lines) + "\n" if lines else "")
