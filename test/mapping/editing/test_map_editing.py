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

"""Maps made of maps: merged, pruned and split, and compared."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from room import Room, write_rgbd
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.datum import Datum, DatumFit, Georeference
from scene_geo_loc.geometry.pose import make_pose, position_error_m
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.alignment.moved_map import write_moved_map
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.editing.combination import MapPart, write_combination
from scene_geo_loc.mapping.editing.comparison import compare_maps
from scene_geo_loc.mapping.editing.compatibility import check_combinable
from scene_geo_loc.mapping.editing.pruning import keyframes_in_bytes, keyframes_within
from scene_geo_loc.mapping.editing.splitting import rows_of_drives, rows_of_tiles
from scene_geo_loc.mapping.map_info import NO_LONGER_READ, PLACE_KEYPOINTS, read_info, write_info
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.sources import sources_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def second_map(room: Room, room_map: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive beside that of `room_map`, built like it."""
    out = tmp_path_factory.mktemp("maps") / "second"
    settings, like = BuilderSettings(keyframe_distance_m=0.4), ReferenceMap.open(room_map)
    builder = MapBuilder(out, settings, source="second drive", like=like, device="cpu")
    for frame in room.drive(8, offset_y=0.5):
        builder.add_frame(replace(frame, stamp_ns=frame.stamp_ns + 10**12))
    return builder.finish()


@pytest.fixture(scope="module")
def merged(room_map: Path, second_map: Path) -> ReferenceMap:
    """Both maps in one."""
    parts = [MapPart.whole(ReferenceMap.open(path)) for path in (room_map, second_map)]
    return write_combination(parts, second_map.with_name("merged"))


def test_a_merged_map_has_the_keyframes_of_both_and_localizes_near_both(
    merged: ReferenceMap, room_map: Path, second_map: Path, room: Room
) -> None:
    merged.verify()
    first, second = ReferenceMap.open(room_map), ReferenceMap.open(second_map)
    assert len(merged) == len(first) + len(second)
    assert [drive.keyframes for drive in merged.info.all_drives] == [len(first), len(second)]
    assert merged.info.all_drives[1].source == "second drive"
    row = len(first) + 2
    np.testing.assert_array_equal(merged.T_map_camera[row], second.T_map_camera[2])
    np.testing.assert_array_equal(merged.depth[row], second.depth[2])
    np.testing.assert_array_equal(merged.thumbnail(row), second.thumbnail(2))
    np.testing.assert_array_equal(merged.index.descriptor(row), second.index.descriptor(2))
    for name, rows in merged.features.items():
        np.testing.assert_array_equal(rows[row], second.features[name][2])
    assert merged.place_keypoints is not None
    assert second.place_keypoints is not None
    np.testing.assert_array_equal(merged.place_keypoints[row], second.place_keypoints[2])
    localizer = Localizer(merged, device="cpu")
    for offset in (0.1, 0.45):
        frame = room.frame(-2.0, offset, 3.0)
        estimate = localizer.localize(frame)
        assert estimate.status is Status.LOCALIZED
        assert position_error_m(estimate.T_map_base, frame.T_map_camera) < 0.05


def test_with_a_map_of_an_older_release_no_keyframe_has_place_keypoints(
    room_map: Path, second_map: Path, tmp_path: Path
) -> None:
    """Else those of the newer map would be preferred."""
    older = Path(shutil.copytree(room_map, tmp_path / "older"))
    (older / PLACE_KEYPOINTS).rename(older / NO_LONGER_READ[0])
    info = read_info(older)
    records = {name: info.files[name] for name in info.files if name != PLACE_KEYPOINTS}
    records[NO_LONGER_READ[0]] = info.files[PLACE_KEYPOINTS]
    write_info(older, info.model_copy(update={"files": records}))
    parts = [MapPart.whole(ReferenceMap.open(path)) for path in (older, second_map)]
    joined = write_combination(parts, tmp_path / "joined")
    joined.verify()
    assert joined.place_keypoints is None
    assert not {PLACE_KEYPOINTS, *NO_LONGER_READ} & joined.info.files.keys()
    assert len(joined) == sum(len(part.keyframes) for part in parts)


def test_a_map_that_is_split_and_merged_again_is_the_same(merged: ReferenceMap, tmp_path: Path) -> None:
    pieces = {
        name: write_combination([MapPart(merged, rows)], tmp_path / name)
        for name, rows in rows_of_drives(merged).items()
    }
    assert list(pieces) == ["1", "2_second_drive"]
    again = write_combination([MapPart.whole(piece) for piece in pieces.values()], tmp_path / "again")
    difference = compare_maps(merged, again)
    assert difference.is_none, difference
    assert {name: record.sha256 for name, record in again.info.files.items()} == {
        name: record.sha256 for name, record in merged.info.files.items()
    }


def test_tiles_have_each_keyframe_once(merged: ReferenceMap) -> None:
    tiles = rows_of_tiles(merged, 2.0)
    assert len(tiles) > 1
    assert sorted(np.concatenate(list(tiles.values()))) == list(range(len(merged)))


def test_pruning_keeps_keyframes_of_every_drive_spread_along_it(merged: ReferenceMap, tmp_path: Path) -> None:
    kept, farthest = keyframes_within(merged, 8)
    assert len(kept) == 8
    assert 0 < farthest < 0.5 * np.ptp(merged.T_map_camera[:, 0, 3])
    first = merged.info.all_drives[0].keyframes
    for rows in (kept[kept < first], kept[kept >= first]):
        assert len(rows) >= 1
        x = merged.T_map_camera[rows, 0, 3]
        assert np.ptp(x) > 0.3 * np.ptp(merged.T_map_camera[:, 0, 3])
    pruned = write_combination([MapPart(merged, kept)], tmp_path / "pruned")
    assert [drive.keyframes for drive in pruned.info.all_drives] == [
        (kept < first).sum(),
        (kept >= first).sum(),
    ]
    assert len(keyframes_within(merged, 100)[0]) == len(merged)


def test_a_budget_of_bytes_counts_the_networks(merged: ReferenceMap) -> None:
    size = sum(record.bytes for record in merged.info.files.values())
    assert keyframes_in_bytes(merged, size) in (len(merged) - 1, len(merged))
    assert 1 <= keyframes_in_bytes(merged, size - 200_000) < len(merged)
    with pytest.raises(MapError, match="networks"):
        keyframes_in_bytes(merged, 1_000_000)


def test_a_map_can_be_replaced_by_its_own_part_while_it_is_open(merged: ReferenceMap, tmp_path: Path) -> None:
    path = tmp_path / "map"
    opened = write_combination([MapPart.whole(merged)], path)
    with pytest.raises(MapError, match="exists"):
        write_combination([MapPart(opened, np.arange(3))], path)
    smaller = write_combination([MapPart(opened, np.arange(3))], path, overwrite=True)
    assert len(smaller) == len(ReferenceMap.open(path)) == 3
    np.testing.assert_array_equal(opened.depth[-1], merged.depth[-1])  # the old one stays readable


def test_maps_of_other_networks_frames_and_datums_are_refused(
    room_map: Path, second_map: Path, merged: ReferenceMap, tmp_path: Path
) -> None:
    opened = ReferenceMap.open(second_map)
    info = read_info(second_map)
    original = (second_map / "map.json").read_bytes()
    datum = Georeference(Datum(52.0, 5.0, 40.0), "given")
    elsewhere = Georeference(Datum(52.0, 5.1, 40.0), "given")
    fit = DatumFit(100, 0, 1.0, 2.0, 1.0, 2.0, 0.3, (0.0, 0.0, 0.0))
    fitted = Georeference(Datum(52.00002, 5.0, 42.0, 0.5), "/gps/fix", fit)
    turned = Georeference(Datum(52.00002, 5.0, 42.0, 3.0), "/gps/fix", fit)
    try:
        for changes, match in (
            ({"network_digest": "0" * 64}, "another network"),
            ({"map_frame": "odom"}, "frame 'odom'"),
            ({"matcher": "xfeat"}, "another matcher"),
            ({"georeference": datum}, None),
        ):
            write_info(second_map, info.model_copy(update=changes))
            parts = [MapPart.whole(ReferenceMap.open(path)) for path in (room_map, second_map)]
            if match is None:
                assert write_combination(parts, tmp_path / "fine").georeference is not None
                continue
            with pytest.raises(MapError, match=match):
                write_combination(parts, tmp_path / "refused")
        one = MapPart.whole(ReferenceMap.open(second_map))
        for other, is_allowed in (
            (fitted, True),
            (turned, False),
        ):  # 2.2 m and 2 m off, where 10.8 m are allowed
            write_info(second_map, info.model_copy(update={"georeference": other}))
            with nullcontext() if is_allowed else pytest.raises(MapError, match=r"3\.000° .* 1\.250° are"):
                check_combinable([one.map, ReferenceMap.open(second_map)])
        write_info(second_map, info.model_copy(update={"georeference": elsewhere}))
        moved = MapPart.whole(ReferenceMap.open(second_map))
        write_info(second_map, info.model_copy(update={"georeference": datum}))
        with pytest.raises(MapError, match=r"datum .* m and .* from"):
            write_combination([moved, MapPart.whole(ReferenceMap.open(second_map))], tmp_path / "refused")
    finally:
        (second_map / "map.json").write_bytes(original)
    assert not (tmp_path / "refused").exists()
    with pytest.raises(MapError, match="No keyframe"):
        write_combination([MapPart(opened, np.zeros(0, np.intp))], tmp_path / "empty")


def test_a_map_built_like_another_needs_its_matcher(room: Room, room_map: Path, tmp_path: Path) -> None:
    like = ReferenceMap.open(room_map)
    builder = MapBuilder(tmp_path / "sift", BuilderSettings(matcher="sift"), like=like, device="cpu")
    with pytest.raises(MapError, match=r"'sift'.*same matcher"):
        builder.add_frame(room.drive()[0])


def test_a_map_in_a_frame_of_its_own_is_aligned_by_its_stored_features(
    room_map: Path, second_map: Path, tmp_path: Path
) -> None:
    second = ReferenceMap.open(second_map)
    turned = make_pose(matrix_of_vector(np.array([0.0, 0.0, 1.2])), (30.0, -5.0, 2.0))
    write_moved_map(second, tmp_path / "own_frame", turned)
    command = ["map", "align", str(tmp_path / "own_frame"), str(room_map)]
    together = ["--out", str(tmp_path / "aligned"), "--move-target", str(tmp_path / "target")]
    refused = CliRunner().invoke(app, [*command, *together[2:]])
    assert "name the folder of the other one by --out" in str(refused.exception)
    result = CliRunner().invoke(app, [*command, *together])
    assert result.exit_code == 0, result.output
    for name, truths in (("aligned", second), ("target", ReferenceMap.open(room_map))):
        aligned = ReferenceMap.open(tmp_path / name)
        aligned.verify()
        for T, truth in zip(aligned.T_map_camera, truths.T_map_camera, strict=True):
            assert position_error_m(T, truth) < 0.05
    refused = CliRunner().invoke(
        app, ["map", "extend", str(room_map), str(tmp_path / "own_frame"), str(tmp_path / "none")]
    )
    assert isinstance(refused.exception, MapError)
    assert "another frame" in str(refused.exception)


def test_a_map_is_extended_by_what_it_does_not_find_itself(
    room: Room, room_map: Path, second_map: Path, tmp_path: Path
) -> None:
    back = MapBuilder(tmp_path / "back", source="other wall", like=ReferenceMap.open(room_map), device="cpu")
    for i, frame in enumerate(room.drive(4, offset_y=0.3)):
        back.add_frame(replace(frame, stamp_ns=frame.stamp_ns + 10**13))
        back.add_frame(room.frame(-1.0, -0.6, 150.0 + 20.0 * i, 10**13 + 10**8 * (i + 1) + 5))
    back.finish()
    command = ["map", "extend", str(room_map), str(tmp_path / "back"), str(tmp_path / "larger")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    larger, before = ReferenceMap.open(tmp_path / "larger"), ReferenceMap.open(room_map)
    added = larger.T_map_camera[len(before) :]
    assert 1 <= len(added) < len(ReferenceMap.open(tmp_path / "back"))
    assert (added[:, 0, 2] < 0.5).all()  # those that look at the other wall
    again = CliRunner().invoke(
        app, ["map", "extend", str(tmp_path / "larger"), str(tmp_path / "back"), str(tmp_path / "largest")]
    )
    assert "Nothing is added" in again.output


def test_the_commands_prune_and_compare(merged: ReferenceMap, tmp_path: Path) -> None:
    runner = CliRunner()
    pruned = runner.invoke(
        app, ["map", "prune", str(merged.path), str(tmp_path / "small"), "--keyframes", "9"]
    )
    assert pruned.exit_code == 0, pruned.output
    assert f"of {len(merged)} keyframes" in pruned.output
    assert "are left out" in pruned.output
    same = runner.invoke(app, ["map", "diff", str(merged.path), str(merged.path)])
    assert (same.exit_code, "same" in same.output) == (0, True)
    other = runner.invoke(app, ["map", "diff", str(merged.path), str(tmp_path / "small")])
    assert other.exit_code == 1
    assert "0 added" in other.output


def test_a_drive_in_a_frame_of_its_own_is_built_and_aligned_at_once(
    room: Room, room_map: Path, tmp_path: Path
) -> None:
    drive = write_rgbd(tmp_path / "drive", room, offset_y=0.3)
    T_own_map = make_pose(matrix_of_vector(np.array([0.0, 0.0, 1.0])), (30.0, -20.0, 2.0))
    poses = np.loadtxt(drive / "poses.txt").reshape(-1, 4, 4)
    np.savetxt(drive / "poses.txt", (T_own_map @ poses).reshape(-1, 16))
    out, json_file = tmp_path / "aligned", tmp_path / "align.json"
    arguments = ["map", "align", str(drive), str(room_map), "--json", str(json_file)]
    arguments += ["--keyframe-distance", "0.4"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code != 0
    assert "--out" in str(refused.exception or refused.output)
    images = str(write_rgbd(tmp_path / "images", room, offset_y=0.3, count=2, with_depth=False))
    refused = CliRunner().invoke(
        app, ["map", "align", images, str(room_map), "--out", str(tmp_path / "none")]
    )
    assert "have no depth" in str(refused.exception)
    assert "--depth auto" in str(refused.exception)
    own = out.with_name("aligned.drive")
    assert not own.with_name("none.drive").exists()
    shutil.copytree(room_map, own)
    refused = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    assert f"{own} is in the way" in str(refused.exception)
    shutil.rmtree(own)
    traversal, settings = open_traversal(drive), BuilderSettings(keyframe_distance_m=0.4)
    like = ReferenceMap.open(room_map)
    builder = MapBuilder(
        own, settings, source=traversal.name, sources=sources_of(traversal), like=like, device="cpu"
    )
    builder.add_traversal(traversal)
    builder.finish()  # and then the alignment was killed
    done = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    aligned = ReferenceMap.open(out)
    nearest = [min(float(position_error_m(T, true)) for true in poses) for T in aligned.T_map_camera]
    assert len(aligned) >= 5
    assert max(nearest) < 0.05
    steps = done.output + done.stderr
    assert "localizing" in steps
    assert "building" not in steps
    assert not own.exists()
