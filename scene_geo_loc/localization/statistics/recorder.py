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

"""Collects statistics of keyframes while images are localized, and loses at most seconds of them."""

from __future__ import annotations

import os
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scene_geo_loc.core.errors import MapError, SceneGeoLocError, reason_of
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.core.partial import OutputLock
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.session import Answer
from scene_geo_loc.localization.statistics.counts import NEVER, KeyframeCounts
from scene_geo_loc.localization.statistics.evidence import Evidence, evidence_of
from scene_geo_loc.localization.statistics.keyframe_statistics import read_for
from scene_geo_loc.localization.statistics.statistics_file import (
    StatisticsHead,
    Tally,
    add_to_file,
    digest_of,
    journal_of,
    read_head,
    read_journal,
    saving_of,
    write_file,
)
from scene_geo_loc.mapping.localizer_names import RETRIEVAL
from scene_geo_loc.mapping.reference_map import AnyMap

if TYPE_CHECKING:
    from typing_extensions import Self

FLUSH_S = 2.0
"""Counts are in memory for this long at most while images come; a killed process loses no more."""
LARGEST_JOURNAL = 16_000_000
"""Bytes of a journal, after which it is added to the file in the background."""
MOST_KEYFRAMES = 100_000
"""Most keyframes with counts in memory where the journal cannot be written; further counts are dropped."""


class StatisticsRecorder:
    """Counts what the answers to images say about the keyframes of a map, and writes it.

    Memory holds the counts of the last `FLUSH_S` only.  `add` may be called in one thread, and `save` in
    others.

    Attributes:
        path: the file.
        other_version: sentence on what was taken over from another version of the map; else "".
        problem: sentence on why counts cannot be written at present; else "".
    """

    def __init__(self, path: Path, reference_map: AnyMap) -> None:
        """Opens the file, or begins it, and adds what a killed process left in its journal.

        Raises MapError where the map has no keyframes to count, where another process writes the file, where
        it is damaged or of another map, SceneGeoLocError where it cannot be written.
        """
        if reference_map.info.localizer != RETRIEVAL:
            raise MapError(
                f"{reference_map.path} finds poses by {reference_map.info.localizer.replace('_', ' ')}, "
                "without keyframes to count: keep no statistics, or name a map that was built of keyframes."
            )
        self.path = path
        self.other_version = self.problem = ""
        self._map = reference_map
        self._ends = np.cumsum([drive.keyframes for drive in reference_map.info.all_drives])
        self._head = StatisticsHead.of(reference_map)
        self._lock, self._saving = threading.Lock(), threading.Lock()
        self._background: threading.Thread | None = None
        self._recent: dict[int, list[int]] = {}
        self._images = self._localized = 0
        self._flushed_s = time.monotonic()
        self._journal: Journal[Tally] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file_lock = OutputLock.acquire(path.with_name(f"{path.name}.lock"))
        except BlockingIOError:
            raise MapError(
                f"{path} is being written by another process: name a file of its own for each, which "
                "`map prune` takes together."
            ) from None
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            self._take_up()
            self._begin_journal()
        except OSError as error:
            self._file_lock.release(remove=True)
            raise _unwritable(path, error) from error
        except BaseException:
            self._file_lock.release(remove=True)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, stamp_ns: int, answer: Answer) -> None:
        """Counts the answer to an image of a stamp."""
        with self._lock:
            self._images += 1
            self._localized += answer.pose.status is Status.LOCALIZED
            for keyframe, evidence in evidence_of(answer, self._map.T_map_camera, self._ends):
                self._count(keyframe, evidence, stamp_ns)
            if time.monotonic() - self._flushed_s >= FLUSH_S:
                self._flush()

    def _count(self, keyframe: int, evidence: Evidence, stamp_ns: int) -> None:
        counts = self._recent.get(keyframe)
        if counts is None:
            if len(self._recent) >= MOST_KEYFRAMES:
                return
            counts = self._recent[keyframe] = [0, 0, 0, 0, 0, NEVER]
        counts[0] += 1
        counts[1] += evidence is not Evidence.SEEN
        if evidence is Evidence.HELPED:
            counts[2] += 1
            counts[4], counts[5] = 0, max(counts[5], stamp_ns)
        elif evidence is Evidence.DISAGREED:
            counts[3] += 1
            counts[4] += 1

    def flush(self) -> None:
        """Writes the recent counts to the journal, where a kill leaves them. Raises SceneGeoLocError."""
        with self._lock:
            self._flush()
            if self.problem:
                raise SceneGeoLocError(self.problem)

    def save(self) -> None:
        """Writes all counts to the file.

        Raises SceneGeoLocError where that is not possible; the counts stay in the journal.
        """
        with self._saving:
            try:
                self.flush()
                if saving_of(self.path).exists():  # an earlier attempt failed
                    self._add_journal(saving_of(self.path))
                with self._lock:
                    assert self._journal is not None
                    self._journal.close()
                    self._journal = None
                    os.replace(journal_of(self.path), saving_of(self.path))
                    self._begin_journal()
                self._add_journal(saving_of(self.path))
            except OSError as error:
                raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Saves, and ends the recording. Raises SceneGeoLocError as `save` does."""
        if self._background is not None:
            self._background.join()
        try:
            self.save()
            if self._journal is not None:
                self._journal.remove()
        finally:
            if self._journal is not None:
                self._journal.close()
            self._journal = None
            self._file_lock.release(remove=True)

    def _take_up(self) -> None:
        """Makes the file one of this version of the map, with what journals are left of it."""
        head = read_head(self.path)
        journals = [path for path in (saving_of(self.path), journal_of(self.path)) if path.exists()]
        found = [part[0] for part in map(read_journal, journals) if part is not None]
        digest = digest_of(self._map)
        if all(known is None or known.map_digest == digest for known in (head, *found)):
            for path in journals:
                self._add_journal(path)
            return
        tally, self.other_version = read_for(self.path, self._map)
        values = {"images": tally.images, "localized": tally.localized, "added": [h.journal for h in found]}
        write_file(self.path, self._head.model_copy(update=values), iter([tally.counts]))
        for path in journals:
            path.unlink()

    def _add_journal(self, path: Path) -> None:
        """Adds a journal to the file, unless it was added already, and removes it."""
        part, before = read_journal(path), read_head(self.path)
        if part is not None:
            head, tally = part
            added = [] if before is None else before.added
            if head.journal not in added:
                last = [*added[-1:], head.journal]
                add_to_file(self.path, self._head.model_copy(update={"added": last}), tally)
        path.unlink()

    def _begin_journal(self) -> None:
        path = journal_of(self.path)
        path.unlink(missing_ok=True)
        head = self._head.model_copy(update={"journal": uuid.uuid4().hex})
        self._journal = Journal(path, Tally.from_json)
        self._journal.open(head.model_dump(), Tally.to_json)

    def _flush(self) -> None:
        """Writes the recent counts to the journal, or says why not and keeps them."""
        self._flushed_s = time.monotonic()
        if not self._images or self._journal is None:
            return
        try:
            self._journal.append(self._recent_tally())
            size = journal_of(self.path).stat().st_size
        except OSError as error:
            self.problem = str(_unwritable(journal_of(self.path), error))
            return
        self.problem = ""
        self._journal.records.clear()
        self._recent.clear()
        self._images = self._localized = 0
        if size > LARGEST_JOURNAL and (self._background is None or not self._background.is_alive()):
            self._background = threading.Thread(target=self._save_in_background, name="statistics")
            self._background.start()

    def _save_in_background(self) -> None:
        try:
            self.save()
        except SceneGeoLocError as error:
            self.problem = str(error)

    def _recent_tally(self) -> Tally:
        keyframe = np.array(sorted(self._recent), np.int64)
        counts = np.array([self._recent[k] for k in keyframe.tolist()], np.int64).reshape(-1, 6)
        drive = np.searchsorted(self._ends, keyframe, side="right")
        stamps = np.asarray(self._map.stamps_ns[keyframe], np.int64)
        rows: list[Any] = [keyframe, drive, stamps, *counts.T]
        return Tally(self._images, self._localized, KeyframeCounts(*rows))


def _unwritable(path: Path, error: OSError) -> SceneGeoLocError:
    return SceneGeoLocError(
        f"{path} cannot be written ({reason_of(error)}): make room, or name another file."
    )
