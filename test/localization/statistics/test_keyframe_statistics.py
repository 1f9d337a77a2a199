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

"""Statistics of keyframes: collected, journalled, carried over to another version of the map."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from counted_street import ALONG, MAY_AND_JUNE, SECOND, Street, answer_at
from hypothesis import given, settings
from hypothesis import strategies as st
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.journal import Journal
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.session import Answer, Session
from scene_geo_loc.localization.statistics import recorder as recorder_module
from scene_geo_loc.localization.statistics import statistics_file
from scene_geo_loc.localization.statistics.counts import NEVER, KeyframeCounts
from scene_geo_loc.localization.statistics.evidence import Evidence, evidence_of
from scene_geo_loc.localization.statistics.keyframe_statistics import KeyframeStatistics, read_statistics
from scene_geo_loc.localization.statistics.recorder import StatisticsRecorder
from scene_geo_loc.localization.statistics.statistics_file import Tally, journal_of, read_file, saving_of
from scene_geo_loc.mapping.reference_map import ReferenceMap

STREET = Street()


def recorder_of(path: Path, street: Any = STREET) -> StatisticsRecorder:
    return StatisticsRecorder(path, street)


def read(path: Path, street: Any) -> KeyframeStatistics:
    return read_statistics([path], street)


def rows_of(path: Path) -> dict[int, tuple[int, ...]]:
    """Seen, near, helped, disagreed, disagreed since and last confirmed of the keyframes of a file."""
    rows = zip(*(column.tolist() for column in read_file(path)[1].counts.columns), strict=True)
    return {row[0]: tuple(row[3:]) for row in rows}


def said(answer: Answer, T_map_camera: Any = ALONG) -> dict[int, Evidence]:
    """Evidence of an answer for keyframes of two drives, 0 to 9 and 10 to 19."""
    return dict(evidence_of(answer, T_map_camera, np.array([10, 20])))


def test_a_keyframe_disagrees_where_one_farther_from_a_sure_pose_helped() -> None:
    assert said(answer_at(5.0, {4: 100, 8: 30, 6: 5, 7: -1, 12: 3})) == {
        4: Evidence.HELPED,
        8: Evidence.HELPED,
        6: Evidence.DISAGREED,
        7: Evidence.NEAR,  # not matched in full, nor by re-ranking
        12: Evidence.SEEN,
    }


def test_a_keyframe_that_reranking_finds_no_match_of_disagrees() -> None:
    found = said(answer_at(5.0, {4: 100, 8: 30, 6: -1, 7: -1}, rerank={4: 40, 8: 20, 6: 1, 7: 14}))
    assert (found[6], found[7]) == (Evidence.DISAGREED, Evidence.NEAR)


def test_a_keyframe_in_other_light_does_not_disagree() -> None:
    assert said(answer_at(10.0, {9: 100, 13: 30, 8: 5, 11: 5})) == {
        9: Evidence.HELPED,
        13: Evidence.HELPED,
        8: Evidence.NEAR,  # the one that is farther and helped is of another drive
        11: Evidence.DISAGREED,
    }
    assert said(answer_at(10.0, {8: 100, 13: -1, 11: 5}))[11] is Evidence.NEAR


def test_a_pose_that_is_not_sure_or_not_accepted_accuses_no_keyframe() -> None:
    unsure = said(answer_at(5.0, {4: 100, 8: 30, 6: 5}, confidence=0.6))
    assert unsure == {4: Evidence.HELPED, 8: Evidence.HELPED, 6: Evidence.SEEN}
    lost = said(answer_at(5.0, {4: 100, 8: 30, 6: 5}, status=Status.LOST))
    assert set(lost.values()) == {Evidence.SEEN}


def test_a_keyframe_that_looks_elsewhere_is_not_near() -> None:
    poses = ALONG.copy()
    poses[6, :3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # 90° count as 9 m
    assert said(answer_at(5.0, {4: 100, 8: 30, 6: 5}), poses)[6] is Evidence.SEEN


def test_a_confirmation_ends_a_disagreement(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    with recorder_of(path) as recorder:
        for second in (1, 2):
            recorder.add(second * SECOND, answer_at(2.0, {1: 90, 4: 40, 3: 2}))
        recorder.save()
        assert rows_of(path)[3] == (2, 2, 0, 2, 2, NEVER)
        recorder.add(3 * SECOND, answer_at(2.0, {3: 60, 1: 2, 0: 80}))
    assert rows_of(path) == {
        0: (1, 1, 1, 0, 0, 3 * SECOND),
        1: (3, 3, 2, 1, 1, 2 * SECOND),
        3: (3, 3, 1, 2, 0, 3 * SECOND),
        4: (2, 2, 2, 0, 0, 2 * SECOND),
    }
    found = read(path, Street())
    assert (found.tally.images, found.tally.localized, found.keyframes) == (3, 3, 20)
    np.testing.assert_array_equal(found.usefulness[:6], [1, 1, np.nan, 1, 2, np.nan])
    assert [file.name for file in tmp_path.iterdir()] == ["street.parquet"]


TABLES = st.dictionaries(
    st.integers(0, 9), st.tuples(*[st.integers(0, 5)] * 5, st.sampled_from([NEVER, 1, 2, 3])), max_size=10
)


@settings(max_examples=30)
@given(st.lists(TABLES, max_size=5))
def test_counts_in_parts_are_those_of_one_sum(tables: list[dict[int, tuple[int, ...]]]) -> None:
    expected: dict[int, list[int]] = {}
    total = KeyframeCounts.none()
    for table in tables:
        for keyframe, row in table.items():
            sums = expected.setdefault(keyframe, [0, 0, 0, 0, 0, NEVER])
            since = row[4] if row[5] != NEVER else sums[4] + row[4]
            sums[:] = [a + b for a, b in zip(sums[:4], row[:4], strict=True)] + [since, max(sums[5], row[5])]
        rows = np.array([[k, 0, k, *row] for k, row in table.items()], np.int64).reshape(-1, 9)
        later = Tally.from_json(Tally(1, 0, KeyframeCounts.of_rows(rows.T)).to_json()).counts
        total = total.then(later)
    found = {row[0]: list(row[3:]) for row in np.array(total.columns).T.tolist()}
    assert found == expected
    assert list(found) == sorted(found)


def test_counts_are_added_to_a_large_file_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics_file, "BLOCK_ROWS", 3)
    path = tmp_path / "street.parquet"
    for keyframes in (range(0, 18, 2), range(1, 20, 3), [19]):
        with recorder_of(path) as recorder:
            recorder.add(SECOND, answer_at(2.0, dict.fromkeys(keyframes, 50)))
    seen = {keyframe: row[0] for keyframe, row in rows_of(path).items()}
    assert seen == {k: (k in range(0, 18, 2)) + (k in range(1, 20, 3)) + (k == 19) for k in seen}
    assert sorted(seen) == sorted({*range(0, 18, 2), *range(1, 20, 3), 19})


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[2])
from counted_street import *
from scene_geo_loc.localization.statistics import recorder
recorder.FLUSH_S = 0.05
kept = recorder.StatisticsRecorder(Path(sys.argv[1]), Street())
kept.add(SECOND, answer_at(2.0, {1: 90}))
kept.save()
for number in range(10**6):
    kept.add((2 + number) * SECOND, answer_at(2.0, {2: 90}))
    print(number + 1, flush=True)
    time.sleep(0.01)
"""


def test_a_killed_process_loses_the_last_seconds_only(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    tests = str(Path(__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), tests], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if int(line) == 50:
                break
    finally:
        os.kill(process.pid, signal.SIGKILL)
        rest = process.communicate()[0].split()
    added = int(rest[-1]) if rest else 50
    assert rows_of(path).keys() == {1}  # the rest is in the journal
    found = read(path, Street()).counts
    assert found.keyframe.tolist() == [1, 2]
    assert added - 20 < found.helped[1] <= added + 1
    with recorder_of(path):  # what the killed process held is taken up, once
        assert rows_of(path)[2][2] == found.helped[1]
    assert rows_of(path)[2][2] == found.helped[1]
    assert not journal_of(path).exists()


def test_a_journal_counts_once_wherever_its_process_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    recorder = recorder_of(path)
    recorder.add(SECOND, answer_at(2.0, {1: 90}))
    with pytest.MonkeyPatch.context() as patch:  # killed after the file was written, before the journal went
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        recorder.save()
    assert saving_of(path).exists()
    assert read(path, Street()).counts.helped.tolist() == [1]
    recorder.add(2 * SECOND, answer_at(2.0, {1: 90}))
    recorder.close()
    assert rows_of(path)[1][2] == 2


def test_a_full_disk_costs_no_counts_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "FLUSH_S", 0.0)
    path = tmp_path / "street.parquet"
    recorder = recorder_of(path)
    recorder.add(SECOND, answer_at(2.0, {1: 90}))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", lambda *_: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
        recorder.add(2 * SECOND, answer_at(2.0, {1: 90}))
        assert "No space left" in recorder.problem
        with pytest.raises(SceneGeoLocError, match=r"journal .*No space left"):
            recorder.save()
    recorder.add(3 * SECOND, answer_at(2.0, {1: 90}))
    assert recorder.problem == ""
    recorder.close()
    assert rows_of(path)[1][2] == 3


def test_a_journal_line_that_does_not_fit_on_the_disk_leaves_no_torn_line(tmp_path: Path) -> None:
    journal: Journal[str] = Journal(tmp_path / "journal", str)
    journal.open("head", str)
    journal.append("first")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "journal").stat().st_size
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limit[1]))
    try:
        with pytest.raises(OSError, match=r"."):
            journal.append("x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    journal.append("second")
    assert Journal(tmp_path / "journal", str).records == ["first", "second"]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    with recorder_of(path), pytest.raises(MapError, match="another process"):
        recorder_of(path)
    recorder_of(path).close()


def test_another_version_of_the_map_keeps_the_counts_of_common_keyframes(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    with recorder_of(path) as recorder:  # keyframes 8 to 12 are of May, then of June
        recorder.add(SECOND, answer_at(2.0, {8: 50, 9: 60, 10: 70, 12: 80}))
    june_first = Street("second", (("june", 10, 1000), ("may", 9, 0)))
    found = read(path, june_first)
    assert found.counts.keyframe.tolist() == [0, 2, 18]
    assert found.counts.drive.tolist() == [0, 0, 1]
    assert "3 of 4 keyframes are in both" in found.other_version
    with recorder_of(path, june_first) as recorder:
        assert recorder.other_version == found.other_version
        recorder.add(2 * SECOND, answer_at(2.0, {0: 50}))
    assert {k: row[2] for k, row in rows_of(path).items()} == {0: 2, 2: 1, 18: 1}
    assert read(path, june_first).other_version == ""


def test_keyframes_of_a_rig_that_share_a_stamp_keep_their_counts_while_their_drive_is_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "street.parquet"
    before, grown, pruned = Street(), Street("second", (("april", 5, 2000), *MAY_AND_JUNE)), Street("third")
    before.stamps_ns = pruned.stamps_ns = np.repeat(np.arange(10), 2) * SECOND
    grown.stamps_ns = np.concatenate([np.arange(2000, 2005) * SECOND, before.stamps_ns])
    pruned.info.drives[0] = pruned.info.drives[0].model_copy(update={"keyframes": 9})
    with recorder_of(path, before) as recorder:
        recorder.add(SECOND, answer_at(2.0, {2: 50, 3: 60, 12: 70}))
    assert read(path, grown).counts.keyframe.tolist() == [7, 8, 17]
    with pytest.raises(MapError, match="none of its 3 keyframes"):
        read(path, pruned)


def test_keyframes_that_cannot_be_told_apart_keep_no_counts(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    with recorder_of(path) as recorder:
        recorder.add(SECOND, answer_at(2.0, {3: 50, 15: 60}))
    doubled = Street("second", (("may", 10, 0), ("may", 5, 3)))  # seconds 3 to 7 are there twice
    with pytest.raises(MapError, match=r"another map, street: none of its 2 keyframes"):
        read(path, doubled)


def test_a_file_that_is_damaged_missing_or_no_statistics_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "street.parquet"
    with pytest.raises(MapError, match="no statistics at"):
        read(path, Street())
    with recorder_of(path) as recorder:
        recorder.add(SECOND, answer_at(2.0, {3: 50}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MapError, match="cannot be read"):
        recorder_of(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(MapError, match="other columns"):
        read(path, Street())
    path.unlink()
    journal_of(path).write_text('{"format": "something"}\n')
    with pytest.raises(MapError, match="has the format 'something'"):
        read(path, Street())
    journal_of(path).unlink()
    with recorder_of(path) as recorder:
        recorder.add(SECOND, answer_at(2.0, {19: 50}))
    shorter = Street("first", (("may", 10, 0),))
    assert len(read(path, Street()).counts) == 1
    shorter_head = read_file(path)[0].model_copy(update={"keyframes": len(shorter)})
    statistics_file.write_file(path, shorter_head, iter([read_file(path)[1].counts.take(slice(None))]))
    with pytest.raises(MapError, match="keyframe 19 of 10"):
        read(path, Street())


def test_a_map_without_keyframes_has_no_statistics(tmp_path: Path) -> None:
    street = Street()
    street.info = street.info.model_copy(update={"localizer": "pose_regression"})
    with pytest.raises(MapError, match="pose regression"):
        recorder_of(tmp_path / "street.parquet", street)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_pruning_by_statistics_keeps_what_helped_and_no_place_is_lost(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    opened = ReferenceMap.open(room_map)
    statistics = tmp_path / "room.parquet"
    localizer = Localizer(opened, device="cpu")
    session = Session(localizer)
    with StatisticsRecorder(statistics, opened) as recorder:
        for x in (-3.0, -2.9, -2.8):
            frame = room.frame(x, 0.05, 2.0)
            recorder.add(1, session.localize(1, frame))
    found = read_statistics([statistics], opened)
    helped = found.counts.keyframe[found.counts.helped > 0]
    assert len(helped)
    assert np.abs(opened.T_map_camera[helped, 0, 3] + 2.9).max() < 3.0
    result = CliRunner().invoke(app, ["map", "info", str(room_map), "--statistics", str(statistics)])
    assert result.exit_code == 0, result.output
    assert f"{len(helped)} helped" in " ".join(result.output.split())
    pruned = tmp_path / "pruned"
    command = [
        "map",
        "prune",
        str(room_map),
        str(pruned),
        "--keyframes",
        "4",
        "--statistics",
        str(statistics),
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "that were of no use" in result.output
    assert "are found within 0.5 m" in " ".join(result.output.split())
    kept = read_statistics([statistics], ReferenceMap.open(pruned))
    assert "keep their statistics" in kept.other_version
    assert (kept.counts.helped > 0).any()
