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

"""Tables of counts for the keyframes that were retrieved at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEVER = int(np.iinfo(np.int64).min)
"""Stamp of a keyframe's last confirmation where it has none."""
LEAST_NEAR = 3
"""Fewest images near a keyframe that it was a candidate of and did not help, for it to be of no use."""
COLUMNS = (
    "keyframe",
    "drive",
    "stamp_ns",
    "seen",
    "near",
    "helped",
    "disagreed",
    "disagreed_since",
    "last_confirmed_ns",
)
"""Columns of a table; keyframe, drive and stamp say which keyframe a row is of."""


@dataclass(frozen=True)
class KeyframeCounts:
    """Counts of keyframes, of those with any; every array is (M,) int64.

    Attributes:
        keyframe: rows of the map, ascending, each once.
        drive: numbers of their drives in the map.
        stamp_ns: stamps of the keyframes.
        seen: number of images that the keyframe was a candidate of.
        near: of these, those that were taken near it, by a sure pose.
        helped: number of images whose accepted pose it gave inliers to.
        disagreed: of the images near it, those that it does not agree with, see `Evidence.DISAGREED`.
        disagreed_since: of these, those since it last helped.
        last_confirmed_ns: stamp of the last image that it helped; `NEVER` where there is none.
    """

    keyframe: NDArray[np.int64]
    drive: NDArray[np.int64]
    stamp_ns: NDArray[np.int64]
    seen: NDArray[np.int64]
    near: NDArray[np.int64]
    helped: NDArray[np.int64]
    disagreed: NDArray[np.int64]
    disagreed_since: NDArray[np.int64]
    last_confirmed_ns: NDArray[np.int64]

    @classmethod
    def none(cls) -> KeyframeCounts:
        """Returns a table without rows."""
        return cls(*(np.zeros(0, np.int64) for _ in COLUMNS))

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[int]]) -> KeyframeCounts:
        """Returns a table of columns (9, M), in any order of keyframes.

        Raises ValueError where there are not as many columns, or they differ in length.
        """
        columns = np.array(rows, np.int64)
        if columns.ndim != 2 or len(columns) != len(COLUMNS):
            raise ValueError(f"{columns.shape} numbers are no {len(COLUMNS)} columns")
        return cls(*columns[:, np.argsort(columns[0], kind="stable")])

    @property
    def columns(self) -> list[NDArray[np.int64]]:
        """The arrays in the order of `COLUMNS`."""
        return [getattr(self, name) for name in COLUMNS]

    def __len__(self) -> int:
        return len(self.keyframe)

    def take(self, rows: NDArray | slice) -> KeyframeCounts:
        """Returns some rows."""
        return KeyframeCounts(*(column[rows] for column in self.columns))

    def then(self, later: KeyframeCounts) -> KeyframeCounts:
        """Returns the sum of these counts and of later ones of the same map."""
        both = [np.concatenate(pair) for pair in zip(self.columns, later.columns, strict=True)]
        order = np.argsort(both[0], kind="stable")  # these before the later ones
        table = KeyframeCounts(*(column[order] for column in both))
        if not len(table):
            return table
        is_first = np.append(True, np.diff(table.keyframe) != 0)
        first = np.flatnonzero(is_first)
        last = np.append(first[1:], len(table)) - 1
        seen, near, helped, disagreed, since = (
            np.add.reduceat(column, first)
            for column in (table.seen, table.near, table.helped, table.disagreed, table.disagreed_since)
        )
        was_confirmed_later = table.last_confirmed_ns[last] != NEVER
        return KeyframeCounts(
            table.keyframe[first],
            table.drive[first],
            table.stamp_ns[first],
            seen,
            near,
            helped,
            disagreed,
            np.where(was_confirmed_later, table.disagreed_since[last], since),
            np.maximum.reduceat(table.last_confirmed_ns, first),
        )

    @property
    def usefulness(self) -> NDArray[np.float64]:
        """Usefulness (M,) of the keyframes.

        It is the number of images that the keyframe helped, less those that it disagreed with since it last
        did; NaN where it never helped and was a candidate of fewer than `LEAST_NEAR` images near it.
        """
        is_known = (self.near >= LEAST_NEAR) | (self.helped > 0)
        return np.where(is_known, self.helped - self.disagreed_since, np.nan)
