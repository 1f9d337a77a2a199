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

"""Tables and stamps of Oxford RobotCar runs; as in any recording, some rows are unusable."""

from __future__ import annotations

import csv
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.skipped import Skipped, SkipReason

NS_PER_STAMP = 1000
"""The dataset's stamps are microseconds since 1970."""

FASTEST_M_S = 60.0
"""Faster motion is a jump of the positioning: no car in a city is as fast."""

CORRECTION_M = 5.0
"""Largest step of a position at once, where GPS corrects the inertial navigation."""

LATEST_STAMP = 2**53
"""A larger stamp is damaged."""


def read_table(
    path: Path,
    stamp_column: str,
    columns: Sequence[str],
    skipped: Skipped,
    *,
    position: Sequence[str] = (),
    usable: Callable[[dict[str, str]], bool] = lambda row: True,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Reads stamps (N,) in nanoseconds, strictly increasing, and numbers (N, columns) of usable rows.

    Args:
        path: comma-separated values with the names of the columns in the first line.
        position: columns that are all zero where there was no GPS fix.
        usable: returns whether a row, by its text, is a valid measurement.

    Raises:
        TraversalError: the file cannot be read, or lacks a column.
    """
    stamps: list[int] = []
    values: list[list[float]] = []
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            missing = [name for name in (stamp_column, *columns) if name not in names]
            if missing:
                raise TraversalError(
                    f"{path}: no column {missing[0]}; the first line must name the columns and is "
                    f"{','.join(names)[:80] or 'empty'}."
                )
            for row in reader:
                try:
                    stamp = int(row[stamp_column])
                    numbers = [float(row[column]) for column in columns]
                except (TypeError, ValueError):
                    skipped.add(SkipReason.ROW_DAMAGED, subject=path.name)
                    continue
                if not (0 < stamp < LATEST_STAMP and np.isfinite(numbers).all()):
                    skipped.add(SkipReason.ROW_NOT_FINITE, subject=path.name)
                elif position and not any(float(row[column]) for column in position):
                    skipped.add(SkipReason.ROW_WITHOUT_POSITION, subject=path.name)
                elif not usable(row):
                    skipped.add(SkipReason.ROW_OF_BAD_SOLUTION, subject=path.name)
                else:
                    stamps.append(stamp)
                    values.append(numbers)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraversalError(f"{path}: the table cannot be read ({error}).") from error
    keep = in_order(stamps)
    if len(keep) < len(stamps):
        skipped.add(SkipReason.ROW_OUT_OF_ORDER, len(stamps) - len(keep), subject=path.name)
    table = np.array(values, np.float64).reshape(-1, len(columns))
    return np.array(stamps, np.int64)[keep] * NS_PER_STAMP, table[keep]


def read_stamps(path: Path, skipped: Skipped) -> NDArray[np.int64]:
    """Reads stamps (N,) in microseconds, strictly increasing, of a `.timestamps` file: `stamp chunk` a line.

    Raises:
        TraversalError: the file cannot be read.
    """
    stamps: list[int] = []
    try:
        with path.open() as file:
            for line in file:
                word = line.partition(" ")[0].strip()
                if word.isdecimal() and 0 < int(word) < LATEST_STAMP:
                    stamps.append(int(word))
                elif line.strip():
                    skipped.add(SkipReason.LINE_DAMAGED, subject=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise TraversalError(f"{path}: the times cannot be read ({error}).") from error
    keep = in_order(stamps)
    if len(keep) < len(stamps):
        skipped.add(SkipReason.LINE_OUT_OF_ORDER, len(stamps) - len(keep), subject=path.name)
    return np.array(stamps, np.int64)[keep]


def present(folder: Path, stamps: NDArray[np.int64], suffix: str) -> NDArray[np.bool_]:
    """Returns a mask (N,) of the stamps with a file in a folder; the dataset is published in chunks."""
    with os.scandir(folder) as entries:
        stems = (os.path.splitext(entry.name) for entry in entries)
        there = [int(stem) for stem, ending in stems if ending == suffix and stem.isdecimal()]
    return np.isin(stamps, np.array(there, np.int64))


def in_order(stamps: Sequence[int]) -> NDArray[np.intp]:
    """Returns the indices of the longest strictly increasing subsequence of stamps.

    One stamp in the future then costs one row, not all that follow.
    """
    tails: list[int] = []  # smallest stamp that ends an increasing subsequence of each length,
    places: list[int] = []  # and its index
    before = np.full(len(stamps), -1, np.intp)
    for i, stamp in enumerate(stamps):
        length = bisect_left(tails, stamp)
        if length:
            before[i] = places[length - 1]
        if length == len(tails):
            tails.append(stamp)
            places.append(i)
        else:
            tails[length], places[length] = stamp, i
    chosen = np.zeros(len(places), np.intp)
    place = places[-1] if places else -1
    for k in range(len(places) - 1, -1, -1):
        chosen[k] = place
        place = int(before[place])
    return chosen


def without_jumps(stamps_ns: NDArray[np.int64], positions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns a mask of the positions (N, 3), metres, that a car can have had.

    The longest segment without a jump is accepted, and then the others that can be reached from
    accepted ones.
    """
    accepted = np.zeros(len(stamps_ns), bool)
    if len(stamps_ns) == 0:
        return accepted

    def reached(start: NDArray[np.intp], end: NDArray[np.intp]) -> NDArray[np.bool_]:
        seconds = (stamps_ns[end] - stamps_ns[start]) / 1e9
        metres = np.linalg.norm(positions[end] - positions[start], axis=1)
        return metres <= FASTEST_M_S * seconds + CORRECTION_M

    rows = np.arange(len(stamps_ns))
    breaks = np.flatnonzero(~reached(rows[:-1], rows[1:])) + 1
    segments = list(zip([0, *breaks], [*breaks, len(rows)], strict=True))
    kept: list[tuple[int, int]] = []
    for first, end in sorted(segments, key=lambda segment: segment[0] - segment[1]):
        place = bisect_left(kept, (first, end))
        earlier = rows[[kept[place - 1][1] - 1]] if place else rows[[first]]
        later = rows[[kept[place][0]]] if place < len(kept) else rows[[end - 1]]
        if reached(earlier, rows[[first]])[0] and reached(rows[[end - 1]], later)[0]:
            kept.insert(place, (first, end))
            accepted[first:end] = True
    return accepted
