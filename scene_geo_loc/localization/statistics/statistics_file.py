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

"""The file of a map's statistics, and the journal beside it that a process writes.

`street.parquet` has a row for each keyframe with counts, ascending, and `StatisticsHead` in its metadata.
While a process collects, `street.parquet.journal` has what it has not added to that file yet.  A journal is
added to the file whole and named there, so that it counts once whenever the process is killed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scene_geo_loc.core.atomic import written_aside
from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.localization.statistics.counts import COLUMNS, KeyframeCounts
from scene_geo_loc.mapping.reference_map import AnyMap

FORMAT = FileFormat(
    "scene_geo_loc keyframe statistics", 1, again="remove it and collect them anew", error=MapError
)
METADATA = b"scene_geo_loc"
"""Key of the head in the metadata of a Parquet file."""
SCHEMA = pa.schema([(name, pa.int64()) for name in COLUMNS])
BLOCK_ROWS = 100_000
"""Rows of a file that are in memory at a time while counts are added to it."""


class StatisticsHead(BaseModel):
    """Description of the counts of a file or a journal.

    Attributes:
        map_name: name of the map's folder.
        map_digest: of the map's version, see `digest_of`.
        keyframes: number of keyframes of that version.
        drives: sources of its drives, which the column `drive` counts.
        drive_keyframes: number of keyframes of each drive; empty in files of older releases.
        images: number of images that were asked; of a file.
        localized: number of these that were localized; of a file.
        journal: name of the journal; of a journal.
        added: names of the journals that were added last; of a file.
    """

    model_config = ConfigDict(extra="ignore")

    format: str
    format_version: int
    map_name: str
    map_digest: str
    keyframes: int = Field(ge=0)
    drives: list[str]
    drive_keyframes: list[int] = []
    images: int = Field(0, ge=0)
    localized: int = Field(0, ge=0)
    journal: str = ""
    added: list[str] = []

    @classmethod
    def of(cls, reference_map: AnyMap, **values: Any) -> StatisticsHead:
        """Returns the head of counts of a map."""
        return cls(
            **FORMAT.header,
            map_name=reference_map.path.name,
            map_digest=digest_of(reference_map),
            keyframes=len(reference_map),
            drives=[drive.source for drive in reference_map.info.all_drives],
            drive_keyframes=[drive.keyframes for drive in reference_map.info.all_drives],
            **values,
        )

    @classmethod
    def parse(cls, values: Any, path: Path) -> StatisticsHead:
        """Returns the head of JSON values. Raises MapError where they are none."""
        FORMAT.check(values, path)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = ".".join(map(str, error.errors()[0]["loc"]))
            raise MapError(f"{path} is damaged at {first!r}: {FORMAT.again}.") from error


@dataclass(frozen=True)
class Tally:
    """Counts of some images.

    Attributes:
        images: number of images.
        localized: number of these that were localized.
        counts: of the keyframes that were candidates of them.
    """

    images: int
    localized: int
    counts: KeyframeCounts

    def then(self, later: Tally) -> Tally:
        """Returns the sum of these counts and of later ones of the same map."""
        return Tally(
            self.images + later.images, self.localized + later.localized, self.counts.then(later.counts)
        )

    def to_json(self) -> list[Any]:
        """Returns JSON values, a line of a journal."""
        return [self.images, self.localized, *(column.tolist() for column in self.counts.columns)]

    @classmethod
    def from_json(cls, values: Any) -> Tally:
        """Returns the tally of JSON values. Raises ValueError or TypeError where they are none."""
        images, localized, *rows = values
        return cls(int(images), int(localized), KeyframeCounts.of_rows(rows))


NOTHING = Tally(0, 0, KeyframeCounts.none())


def digest_of(reference_map: AnyMap) -> str:
    """Returns a digest of a map's version; of older maps, which have none, one of their files' checksums."""
    if reference_map.info.digest is not None:
        return reference_map.info.digest
    files = {name: record.sha256 for name, record in reference_map.info.files.items()}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def journal_of(path: Path) -> Path:
    """Returns the journal that is being written."""
    return path.with_name(f"{path.name}.journal")


def saving_of(path: Path) -> Path:
    """Returns the journal that is being added to the file."""
    return path.with_name(f"{path.name}.journal.saving")


def has_statistics(path: Path) -> bool:
    """Returns whether there is a file of statistics, or a journal that is not added to one yet."""
    return any(part.exists() for part in (path, saving_of(path), journal_of(path)))


def read_head(path: Path) -> StatisticsHead | None:
    """Returns the head of a file; None where there is no file. Raises MapError where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            return _head_in(file, path)
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def read_file(path: Path) -> tuple[StatisticsHead, Tally]:
    """Returns head and counts of a file. Raises MapError where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            head = _head_in(file, path)
            counts = _counts_in(file.read(), head, path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    return head, Tally(head.images, head.localized, counts)


def read_journal(path: Path) -> tuple[StatisticsHead, Tally] | None:
    """Returns head and counts of a journal, up to a torn end; None where there is no journal.

    Raises MapError where it is no journal of statistics.
    """
    try:
        journal = Journal(path, Tally.from_json)
    except OSError as error:
        raise _unreadable(path, error) from error
    if journal.head is None:
        return None
    head = StatisticsHead.parse(journal.head, path)
    total = summed(journal.records)
    _check_rows(total.counts, head, path)
    return head, total


def summed(tallies: Sequence[Tally]) -> Tally:
    """Returns the sum of tallies in order of time, each added to a neighbour as in a tree."""
    parts = list(tallies) or [NOTHING]
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [pair[0].then(pair[1]) if len(pair) > 1 else pair[0] for pair in pairs]
    return parts[0]


def write_file(path: Path, head: StatisticsHead, counts: Iterator[KeyframeCounts]) -> None:
    """Writes a file of blocks of counts, ascending; it is whole or not there at any time.

    Raises SceneGeoLocError where it cannot be written.
    """
    schema = SCHEMA.with_metadata({METADATA: head.model_dump_json().encode()})
    with (
        written_aside(path) as aside,
        pq.ParquetWriter(
            aside,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
        ) as writer,
    ):
        for block in counts:
            writer.write_table(pa.table(block.columns, schema=schema))


def add_to_file(path: Path, head: StatisticsHead, tally: Tally) -> None:
    """Adds counts to a file of the same version of the map, block by block, or writes the first file.

    Args:
        head: of the map, with the journals that the counts come from in `added`.
        tally: the counts.

    Raises SceneGeoLocError where it cannot be read or written.
    """
    before = read_head(path)
    images, localized = tally.images, tally.localized
    if before is None:
        write_file(path, head.model_copy(update={"images": images, "localized": localized}), _one(tally))
        return
    sums = {"images": before.images + images, "localized": before.localized + localized}
    try:
        with pq.ParquetFile(path) as file:
            write_file(path, head.model_copy(update=sums), _with_added(file, before, path, tally.counts))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _one(tally: Tally) -> Iterator[KeyframeCounts]:
    yield tally.counts


def _with_added(
    file: pq.ParquetFile, head: StatisticsHead, path: Path, counts: KeyframeCounts
) -> Iterator[KeyframeCounts]:
    """Yields the blocks of a file with further counts added."""
    start = 0
    for batch in file.iter_batches(BLOCK_ROWS):
        block = _counts_in(batch, head, path)
        end = int(np.searchsorted(counts.keyframe, block.keyframe[-1], side="right")) if len(block) else start
        yield block.then(counts.take(slice(start, end))) if end > start else block
        start = end
    yield counts.take(slice(start, None))


def _head_in(file: pq.ParquetFile, path: Path) -> StatisticsHead:
    if not file.schema_arrow.equals(SCHEMA):
        raise MapError(f"{path} has other columns than statistics of keyframes: name another file.")
    try:
        values = json.loads((file.schema_arrow.metadata or {}).get(METADATA, b"null"))
    except ValueError as error:
        raise _unreadable(path, error) from error
    return StatisticsHead.parse(values, path)


def _counts_in(table: Any, head: StatisticsHead, path: Path) -> KeyframeCounts:
    counts = KeyframeCounts(*(np.asarray(table[name], np.int64) for name in COLUMNS))
    _check_rows(counts, head, path)
    return counts


def _check_rows(counts: KeyframeCounts, head: StatisticsHead, path: Path) -> None:
    """Raises MapError where counts are of keyframes or drives that the map does not have."""
    if not len(counts):
        return
    outside: NDArray[np.bool_] = (counts.keyframe < 0) | (counts.keyframe >= head.keyframes)
    outside |= (counts.drive < 0) | (counts.drive >= len(head.drives))
    outside |= np.append(False, np.diff(counts.keyframe) <= 0)
    if outside.any():
        raise MapError(
            f"{path} is damaged at keyframe {counts.keyframe[outside][0]} of {head.keyframes}: "
            f"{FORMAT.again}."
        )


def _unreadable(path: Path, error: BaseException) -> MapError:
    return MapError(f"{path} cannot be read ({reason_of(error)}): {FORMAT.again}.")
