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

"""`map extend` takes a recording: with its own poses in the frame of the map, else by localizing it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import make_pose, position_error_m
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.mapping.reference_map import ReferenceMap

T_OTHER_MAP = make_pose(matrix_of_vector(np.array([0.0, 0.0, 1.2])), (30.0, -5.0, 2.0))
KNOWN, TURNED = 8, 12


def turn(room: Room) -> list:
    """A look ahead from where the map has been, then one turn round, which it has not seen."""
    frames = [room.frame(-3.5 + 0.35 * i, 0.05, 4.0 * np.sin(i)) for i in range(KNOWN)]
    frames += [room.frame(-0.7, 0.1 + 0.05 * i, 15.0 * i) for i in range(TURNED)]
    return frames + [room.frame(-0.7 - 0.35 * i, 0.1, 4.0 * np.sin(i)) for i in range(KNOWN)]


def write(folder: Path, room: Room, T_own_map: np.ndarray | None = None) -> Path:
    """An RGB-D folder of that drive, its poses in the map's frame or in one of its own."""
    T = np.eye(4) if T_own_map is None else T_own_map
    frames = turn(room)
    for kind in ("images", "depth"):
        (folder / kind).mkdir(parents=True)
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / "images" / f"{i:03}.png"), frame.image[..., ::-1])
        cv2.imwrite(str(folder / "depth" / f"{i:03}.png"), np.round(1e3 * frame.depth).astype(np.uint16))
    np.savetxt(folder / "K.txt", room.camera.K)
    np.savetxt(folder / "poses.txt", [(T @ frame.T_map_camera).reshape(-1) for frame in frames])
    return folder


def extend(room_map: Path, source: Path, out: Path, *options: str) -> tuple[str, ReferenceMap]:
    result = CliRunner().invoke(app, ["map", "extend", str(room_map), str(source), str(out), *options])
    if isinstance(result.exception, MapError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output, ReferenceMap.open(out)


def check_added(room: Room, larger: ReferenceMap, before: int) -> None:
    """The new keyframes look round, at their true poses."""
    truth = np.stack([frame.T_map_camera for frame in turn(room)])
    added = larger.T_map_camera[before:]
    assert len(added) >= TURNED // 2
    for T in added:
        assert position_error_m(truth, T).min() < 0.05
    looks_back = added[:, 0, 2] < -0.5
    assert looks_back.any()
    assert [drive.keyframes for drive in larger.info.all_drives] == [before, len(added)]


@pytest.mark.slow
def test_a_recording_in_the_maps_frame_keeps_its_poses(room: Room, room_map: Path, tmp_path: Path) -> None:
    before = len(ReferenceMap.open(room_map))
    shutil.copytree(room_map, tmp_path / ".larger.extending" / "drive")  # of a command that was killed
    output, larger = extend(room_map, write(tmp_path / "drive", room), tmp_path / "larger")
    assert "Poses of new keyframes: the drive's own" in output
    check_added(room, larger, before)


def test_a_recording_in_another_frame_is_localized(room: Room, room_map: Path, tmp_path: Path) -> None:
    before = len(ReferenceMap.open(room_map))
    source = write(tmp_path / "drive", room, T_OTHER_MAP)
    with pytest.raises(MapError, match="--poses-by map"):
        extend(room_map, source, tmp_path / "larger", "--poses-by", "drive")
    killed = tmp_path / ".larger.extending"  # what another drive's command has left
    killed.mkdir()
    (killed / "journal.jsonl").write_text('{"map_frame": "another"}\n')
    output, larger = extend(room_map, source, tmp_path / "larger", "--keyframe-distance", "0.5")
    assert "by localizing" in output
    check_added(room, larger, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive", "larger"]


def test_a_recording_of_another_place_is_refused(room_map: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "drive", Room(seed=9))
    with pytest.raises(MapError, match="another place"):
        extend(room_map, source, tmp_path / "larger")
    assert not (tmp_path / "larger").exists()
