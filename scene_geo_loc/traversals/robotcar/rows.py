"""Tables and stamps of Oxford RobotCar runs, which are recordings: some rows of them are of no use."""

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
"""No car in a city is faster: what is, is a jump of the positioning."""

CORRECTION_M = 5.0
"""So far a position may step at once, where the satellites correct what the inertial unit believed."""

LATEST_STAMP = 2**53
"""What is greater is no time in microseconds, but a damaged number."""


def read_table(
    path: Path,
    stamp_column: str,
    columns: Sequence[str],
    skipped: Skipped,
    *,
    position: Sequence[str] = (),
    usable: Callable[[dict[str, str]], bool] = lambda row: True,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stamps (N,) in nanoseconds, strictly increasing, and numbers (N, columns) of a table's usable rows.

    Args:
        path: comma-separated values with the names of the columns in the first line.
        position: columns which, all zero, mean that there was no fix.
        usable: says by its text whether a row is a measurement.

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
                    f"{path}: there is no column {missing[0]}; the first line should name the columns, and "
                    f"it says {','.join(names)[:80] or 'nothing'}."
                )
            for row in reader:
                try:
                    stamp = int(row[stamp_column])
                    numbers = [float(row[column]) for column in columns]
                except (TypeError, ValueError):
                    skipped.add(SkipReason.ROW_DAMAGED, of=path.name)
                    continue
                if not (0 < stamp < LATEST_STAMP and np.isfinite(numbers).all()):
                    skipped.add(SkipReason.ROW_NOT_FINITE, of=path.name)
                elif position and not any(float(row[column]) for column in position):
                    skipped.add(SkipReason.ROW_WITHOUT_POSITION, of=path.name)
                elif not usable(row):
                    skipped.add(SkipReason.ROW_OF_BAD_SOLUTION, of=path.name)
                else:
                    stamps.append(stamp)
                    values.append(numbers)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraversalError(f"{path}: the table cannot be read ({error}).") from error
    keep = in_order(stamps)
    if len(keep) < len(stamps):
        skipped.add(SkipReason.ROW_OUT_OF_ORDER, len(stamps) - len(keep), of=path.name)
    table = np.array(values, np.float64).reshape(-1, len(columns))
    return np.array(stamps, np.int64)[keep] * NS_PER_STAMP, table[keep]


def read_stamps(path: Path, skipped: Skipped) -> NDArray[np.int64]:
    """The stamps (N,) in microseconds, strictly increasing, of a `.timestamps` file: `stamp chunk` a line.

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
                    skipped.add(SkipReason.LINE_DAMAGED, of=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise TraversalError(f"{path}: the times cannot be read ({error}).") from error
    keep = in_order(stamps)
    if len(keep) < len(stamps):
        skipped.add(SkipReason.LINE_OUT_OF_ORDER, len(stamps) - len(keep), of=path.name)
    return np.array(stamps, np.int64)[keep]


def present(folder: Path, stamps: NDArray[np.int64], suffix: str) -> NDArray[np.bool_]:
    """For which stamps (N,) a folder has a file; owners publish the files in chunks, to take some of."""
    with os.scandir(folder) as entries:
        stems = (os.path.splitext(entry.name) for entry in entries)
        there = [int(stem) for stem, ending in stems if ending == suffix and stem.isdecimal()]
    return np.isin(stamps, np.array(there, np.int64))


def in_order(stamps: Sequence[int]) -> NDArray[np.intp]:
    """The places of the most stamps that, as they come, strictly increase.

    So one stamp from the future costs one row, not all that follow.
    """
    tails: list[int] = []  # the smallest stamp that ends a rising sequence of each length,
    places: list[int] = []  # and its place
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
    """Which of the positions (N, 3) in metres a car can have been at.

    The longest stretch without a jump is believed, and of the others those that can be reached
    from what is believed.
    """
    believed = np.zeros(len(stamps_ns), bool)
    if len(stamps_ns) == 0:
        return believed

    def reached(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.bool_]:
        seconds = (stamps_ns[other] - stamps_ns[one]) / 1e9
        metres = np.linalg.norm(positions[other] - positions[one], axis=1)
        return metres <= FASTEST_M_S * seconds + CORRECTION_M

    rows = np.arange(len(stamps_ns))
    breaks = np.flatnonzero(~reached(rows[:-1], rows[1:])) + 1
    stretches = list(zip([0, *breaks], [*breaks, len(rows)], strict=True))
    kept: list[tuple[int, int]] = []
    for first, end in sorted(stretches, key=lambda stretch: stretch[0] - stretch[1]):
        place = bisect_left(kept, (first, end))
        earlier = rows[[kept[place - 1][1] - 1]] if place else rows[[first]]
        later = rows[[kept[place][0]]] if place < len(kept) else rows[[end - 1]]
        if reached(earlier, rows[[first]])[0] and reached(rows[[end - 1]], later)[0]:
            kept.insert(place, (first, end))
            believed[first:end] = True
    return believed
