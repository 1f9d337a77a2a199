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

"""Poses over time, interpolated to the stamp of a measurement."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.geometry.pose import Pose, from_quaternion, to_quaternion
from scene_geo_loc.geometry.rotation import slerp

MAX_GAP_NS = 1_000_000_000
"""Poses further apart are not interpolated, unless the caller says otherwise."""

STILL_M, STILL_DEG = 0.5, 5.0
"""Change of a pose that may be interpolated over any time: the error of a pose between is no larger."""


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

    def at(self, stamp_ns: int, max_gap_ns: int = MAX_GAP_NS) -> Pose | None:
        """Returns the pose at a stamp: linear in position, slerp in rotation.

        None outside the trajectory and inside a gap longer than `max_gap_ns`.
        """
        poses, known = self.at_many(np.array([stamp_ns]), max_gap_ns)
        return poses[0] if known[0] else None

    def at_many(
        self, stamps_ns: NDArray[np.int64], max_gap_ns: int = MAX_GAP_NS, *, still_gap_ns: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Returns poses (M, 4, 4) at stamps (M,), identity if unknown, and a mask (M,) of the known ones.

        Args:
            max_gap_ns: poses further apart are not interpolated,
            still_gap_ns: unless they are no further apart than this, and differ by no more than `STILL_M` and
                `STILL_DEG`.
        """
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
        bridged = gap <= max_gap_ns
        if not bridged.all():
            bridged |= (gap <= still_gap_ns) & self._is_still(before, after)
        known &= bridged
        inner = known & ~exact
        out[exact] = self.poses[after[exact]]
        if inner.any():
            t = stamps_ns[inner]
            lo, hi = before[inner], after[inner]
            w = ((t - self.stamps_ns[lo]) / gap[inner])[:, None]
            out[inner, :3, 3] = (1 - w) * self.poses[lo, :3, 3] + w * self.poses[hi, :3, 3]
            out[inner, :3, :3] = slerp(self.poses[lo, :3, :3], self.poses[hi, :3, :3], w[:, 0])
        return out, known

    def _is_still(self, before: NDArray[np.intp], after: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Returns whether pairs of poses (M,) are nearly the same."""
        moved = np.linalg.norm(self.poses[after, :3, 3] - self.poses[before, :3, 3], axis=1)
        cosine = (np.einsum("nij,nij->n", self.poses[before, :3, :3], self.poses[after, :3, :3]) - 1) / 2
        return (moved <= STILL_M) & (cosine >= np.cos(np.radians(STILL_DEG)))


def read_tum(path: Path) -> Trajectory:
    """Reads a TUM trajectory file: `stamp_s tx ty tz qx qy qz qw` a line, `#` for comments.

    Numbers may have exponents and stand between commas.  A first line of names is passed over; where it
    names qw before qx, the quaternion is read in that order, and further columns are passed over.  Stamps may
    be in milli-, micro- or nanoseconds, see `stamps_of`.

    Raises TraversalError where the file is missing or a line is not eight numbers.
    """
    texts: list[str] = []
    poses: list[Pose] = []
    w_first = named = False
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        names = re.findall(r"q_?(?:rs_)?[wx]\b", line.lower())
        fields = re.split(r"[,;\s]+", line.split("#")[0].strip(" ,;\t"))
        if fields == [""] or (not poses and names):
            named |= bool(names)
            w_first |= [name[-1] for name in names] == ["w", "x"]
            continue
        try:
            t, q = _seven(fields[1:8] if named else fields[1:])
            q = np.roll(q, -1) if w_first else q
            stamp_ns_of(fields[0])
            poses.append(from_quaternion(t, q))
            texts.append(fields[0])
        except ValueError as error:
            raise TraversalError(
                f"{path}, line {number}: expected `stamp_s tx ty tz qx qy qz qw`, found {line.strip()!r}."
            ) from error
    return Trajectory.from_unsorted(stamps_of(texts), poses)


LATEST_NS = 9 * 10**18
"""Stamps in any unit are smaller numbers; in nanoseconds they are held by 64 bits."""


def stamp_ns_of(text: str, units_per_second: int = 1) -> int:
    """Returns a decimal number of seconds or parts of them, also with an exponent, as integer nanoseconds.

    Exact, where a float64 of seconds since 1970 holds only a quarter of a microsecond.

    Raises:
        ValueError: the text is no finite number.
    """
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error
    if not value.is_finite() or abs(value) >= LATEST_NS:
        raise ValueError(f"{text!r} is no stamp")
    return int((value * 10**9 / units_per_second).to_integral_value())


def stamps_of(texts: Sequence[str]) -> list[int]:
    """Returns the stamps of a file in nanoseconds, with their unit told from their size.

    Stamps since 1970 tell it by themselves.  Small whole numbers, of a simulation's clock, are nano- or
    microseconds where they are far apart.

    Raises:
        ValueError: a text is no finite number.
    """
    seconds = np.array([stamp_ns_of(text) for text in texts], np.float64) / 1e9
    if len(seconds) == 0:
        return []
    latest = float(abs(seconds).max())
    unit = next((unit for limit, unit in _UNITS_BY_SIZE if latest < limit), 10**9)
    if unit == 1 and all(re.fullmatch(r"[-+]?\d+", text) for text in texts):
        apart = float(np.median(np.diff(np.unique(seconds)))) if len(np.unique(seconds)) > 1 else 0.0
        unit = next((unit for limit, unit in _UNITS_BY_STEP if apart < limit), 10**9)
    return [stamp_ns_of(text, unit) for text in texts]


_UNITS_BY_SIZE = ((9e9, 1), (9e12, 10**3), (9e15, 10**6))
"""Upper limits of stamps since 1970 in units of a second, and parts of a second: until the year 2255."""
_UNITS_BY_STEP = ((1e3, 1), (1e5, 10**6))
"""Upper limits of the usual distance of whole stamps: poses are not 1000 s apart, nor 0.1 s a nanosecond."""


def _seven(fields: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns a position (3,) and a quaternion (4,). Raises ValueError."""
    numbers = np.array([float(field) for field in fields], np.float64)
    if len(numbers) != 7:
        raise ValueError(f"{len(numbers)} numbers after the stamp instead of 7")
    return numbers[:3], numbers[3:]


def _text_of(path: Path) -> str:
    """Reads a text file in UTF-8 or UTF-16, with or without a byte-order mark. Raises TraversalError."""
    try:
        raw = path.read_bytes()
        is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TraversalError(f"{path}: the trajectory cannot be read ({reason_of(error)}).") from error


def write_tum(path: Path, trajectory: Trajectory) -> None:
    """Writes a TUM trajectory file, stamps to the nanosecond."""
    lines = []
    for stamp, T, q in zip(
        trajectory.stamps_ns, trajectory.poses, to_quaternion(trajectory.poses), strict=True
    ):
        numbers = " ".join(f"{value:.9f}" for value in (*T[:3, 3], *q))
        lines.append(f"{stamp // 10**9}.{stamp % 10**9:09d} {numbers}")
    path.write_text("\n".join(lines) + "\n" if lines else "")
