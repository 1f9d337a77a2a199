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

"""Statistics of a map's keyframes, from files of this or of another version of the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.localization.statistics.counts import KeyframeCounts
from scene_geo_loc.localization.statistics.statistics_file import (
    StatisticsHead,
    Tally,
    digest_of,
    journal_of,
    read_file,
    read_journal,
    saving_of,
    summed,
)
from scene_geo_loc.mapping.editing.splitting import rows_of_drives
from scene_geo_loc.mapping.reference_map import AnyMap


@dataclass(frozen=True)
class KeyframeStatistics:
    """Statistics of a map's keyframes.

    Attributes:
        keyframes: number of keyframes of the map.
        tally: counts of the images.
        other_version: sentence on what was taken over from another version of the map; empty: all counts are
            of this version.
    """

    keyframes: int
    tally: Tally
    other_version: str = ""

    @property
    def counts(self) -> KeyframeCounts:
        """Counts of the keyframes that were candidates."""
        return self.tally.counts

    def __str__(self) -> str:
        counts = self.counts
        is_useless = counts.usefulness <= 0
        return (
            f"{self.tally.images} images, {self.tally.localized} localized; {len(counts)} of "
            f"{self.keyframes} keyframes were candidates, {(counts.helped > 0).sum()} helped, "
            f"{is_useless.sum()} were of no use, {(counts.usefulness < 0).sum()} of them disagree with images"
        )

    @property
    def usefulness(self) -> NDArray[np.float64]:
        """Usefulness (N,) of all keyframes of the map; NaN where nothing is known of it."""
        usefulness = np.full(self.keyframes, np.nan)
        usefulness[self.counts.keyframe] = self.counts.usefulness
        return usefulness


def read_statistics(paths: Sequence[Path], reference_map: AnyMap) -> KeyframeStatistics:
    """Returns the sum of the statistics in some files, the oldest first, with what their journals add.

    Counts of another version of the map go over to the keyframes that both versions have: of a drive of the
    same name, with the same stamp.  Where several keyframes of a drive share it, as those of a rig's cameras
    may, the drive must be whole in both.

    Raises MapError where a file is missing or damaged, or shares no keyframe with the map.
    """
    tallies, sentences = [], []
    for path in paths:
        tally, sentence = read_for(path, reference_map)
        tallies.append(tally)
        sentences += [sentence] if sentence else []
    return KeyframeStatistics(len(reference_map), summed(tallies), " ".join(sentences))


def read_for(path: Path, reference_map: AnyMap) -> tuple[Tally, str]:
    """Returns the counts of a file and its journals by the keyframes of a map, and a sentence.

    The sentence says what was taken over from another version of the map; empty: the file is of this one.

    Raises MapError as `read_statistics` does.
    """
    parts = _parts_of(path)
    if not parts:
        raise MapError(f"There are no statistics at {path}: name the file that a node or a command wrote.")
    digest = digest_of(reference_map)
    taken, before, after, names = [], 0, 0, set[str]()
    for head, tally in parts:
        if head.map_digest == digest:
            taken.append(tally)
            continue
        moved = _moved(tally.counts, head, reference_map)
        names.add(head.map_name)
        before, after = before + len(tally.counts), after + len(moved)
        taken.append(replace(tally, counts=moved))
    total = summed(taken)
    if not names:
        return total, ""
    if before and not len(total.counts):
        raise MapError(
            f"{path} has statistics of another map, {', '.join(sorted(names))}: none of its {before} "
            f"keyframes is in {reference_map.path}; name statistics of this map, or a new file."
        )
    return total, (
        f"{path} is of another version of {reference_map.path}: {after} of {before} keyframes are in both "
        "and keep their statistics."
    )


def _parts_of(path: Path) -> list[tuple[StatisticsHead, Tally]]:
    """Returns what a file and its journals hold, in order of time, each journal once."""
    parts = [read_file(path)] if path.exists() else []
    added = parts[0][0].added if parts else []
    for journal in (saving_of(path), journal_of(path)):
        part = read_journal(journal)
        if part is not None and part[0].journal not in added:
            parts.append(part)
    return parts


def _moved(counts: KeyframeCounts, head: StatisticsHead, reference_map: AnyMap) -> KeyframeCounts:
    """Returns counts of another version of a map, by the keyframes of this one, without those it lacks."""
    drives = reference_map.info.all_drives
    rows_by_drive = list(rows_of_drives(reference_map).values())
    row = np.full(len(counts), -1, np.int64)
    for source in set(head.drives):
        numbers = [number for number, here in enumerate(drives) if here.source == source]
        if not numbers:
            continue
        mine = np.isin(counts.drive, [i for i, name in enumerate(head.drives) if name == source])
        rows = np.concatenate([rows_by_drive[number] for number in numbers])
        row[mine] = _only_row(counts.stamp_ns[mine], rows, reference_map.stamps_ns[rows])
        if len(numbers) == 1 and head.drives.count(source) == 1:
            same = _same_rows(counts, head, head.drives.index(source), rows, reference_map)
            row = np.where(same >= 0, same, row)
    ends = np.cumsum([here.keyframes for here in drives])
    drive = np.searchsorted(ends, row, side="right")
    _, inverse, times = np.unique(row, return_inverse=True, return_counts=True)
    is_clear = (row >= 0) & (times[inverse.ravel()] == 1)
    moved = replace(counts, keyframe=row, drive=drive).take(is_clear)
    return moved.take(np.argsort(moved.keyframe))


def _same_rows(
    counts: KeyframeCounts, head: StatisticsHead, drive: int, rows: NDArray[np.intp], reference_map: AnyMap
) -> NDArray[np.int64]:
    """Returns the rows (M,) of a drive that has as many keyframes as in the other version, or -1.

    The keyframes of a drive stay in their order, also those of a rig's cameras, which share a stamp.
    """
    none = np.full(len(counts), -1, np.int64)
    if len(head.drive_keyframes) != len(head.drives) or head.drive_keyframes[drive] != len(rows):
        return none
    place = counts.keyframe - sum(head.drive_keyframes[:drive])
    found = np.where(counts.drive == drive, rows[np.clip(place, 0, len(rows) - 1)], -1)
    is_same = (found >= 0) & (place >= 0) & (place < len(rows))
    is_same &= np.asarray(reference_map.stamps_ns)[np.maximum(found, 0)] == counts.stamp_ns
    return np.where(is_same, found, -1)


def _only_row(
    stamps: NDArray[np.int64], rows: NDArray[np.intp], row_stamps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the row that alone has each stamp (M,), or -1."""
    order = np.argsort(row_stamps)
    known = row_stamps[order]
    left, right = (np.searchsorted(known, stamps, side=side) for side in ("left", "right"))
    found = rows[order[np.minimum(left, len(rows) - 1)]]
    return np.where(right - left == 1, found, -1).astype(np.int64)
