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

"""Maps of other networks or matchers, merged after their keyframes were described anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from room import Room, write_rgbd
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import make_pose, position_error_m
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.alignment.moved_map import write_map_with_poses
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.editing.redescription import describe_anew, is_described_alike
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.opening import open_traversal

pytestmark = pytest.mark.slow

RIGHT_M = 0.01
"""By so much the poses of the other map were corrected after it was built."""


@pytest.fixture
def evening(room: Room, tmp_path: Path) -> Path:
    """A map of SIFT features of a drive in the folder `drive`, with corrected poses."""
    traversal = open_traversal(write_rgbd(tmp_path / "drive", room, 0.5))
    settings = BuilderSettings(keyframe_distance_m=0.4, matcher="sift")
    builder = MapBuilder(tmp_path / "built", settings, source=traversal.name, device="cpu")
    builder.add_traversal(traversal)
    built = ReferenceMap.open(builder.finish())
    T_right = make_pose(np.eye(3), (0.0, RIGHT_M, 0.0))
    write_map_with_poses(built, tmp_path / "evening", T_right @ built.T_map_camera, {})
    shutil.rmtree(tmp_path / "built")
    return tmp_path / "evening"


def merge(first: Path, second: Path, out: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["map", "merge", str(first), str(second), str(out), *options])


def test_keyframes_of_another_matcher_are_described_anew_from_their_drive(
    room: Room, room_map: Path, evening: Path, tmp_path: Path
) -> None:
    first, other, out = ReferenceMap.open(room_map), ReferenceMap.open(evening), tmp_path / "both"
    refused = merge(room_map, evening, out)
    assert "described anew" in str(refused.exception)
    done = merge(room_map, evening, out, "--describe-anew")
    assert done.exit_code == 0, done.output
    assert f"{len(other)} of {len(other)} keyframes of {tmp_path / 'drive'} are described anew" in done.output
    both = ReferenceMap.open(out)
    both.verify()
    assert both.info.matcher == first.info.matcher != other.info.matcher
    assert [drive.source for drive in both.info.all_drives][1] == str(tmp_path / "drive")
    np.testing.assert_allclose(both.T_map_camera[len(first) :], other.T_map_camera, atol=1e-12)
    np.testing.assert_array_equal(both.stamps_ns[len(first) :], other.stamps_ns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both", "drive", "evening"]
    query = room.frame(-1.0, 0.55, 5.0)
    assert query.T_map_camera is not None
    found = Localizer(both, device="cpu").localize(query)
    assert found.status is Status.LOCALIZED
    assert found.T_map_base is not None
    assert float(position_error_m(found.T_map_base, query.T_map_camera)) < 0.05


def test_a_drive_that_moved_is_found_by_its_name_and_one_that_is_gone_is_named(
    room: Room, room_map: Path, evening: Path, tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "drive").rename(tmp_path / "archive" / "drive")
    refused = merge(room_map, evening, tmp_path / "both", "--describe-anew")
    assert isinstance(refused.exception, MapError)
    assert f"missing: {tmp_path / 'drive'} (" in str(refused.exception)
    assert not (tmp_path / "both").exists()
    assert not is_described_alike(ReferenceMap.open(room_map), ReferenceMap.open(evening))
    (described,) = describe_anew(
        ReferenceMap.open(evening), ReferenceMap.open(room_map), tmp_path / "anew", tmp_path / "archive"
    )
    assert len(described.map) == described.asked
    assert described.offset_m == pytest.approx(RIGHT_M)
    assert is_described_alike(ReferenceMap.open(room_map), described.map)


def test_a_drive_with_other_images_than_the_keyframes_is_refused(
    room: Room, room_map: Path, evening: Path, tmp_path: Path
) -> None:
    drive, count = tmp_path / "drive", len(ReferenceMap.open(evening))
    wide = replace(room.camera, fx=2 * room.camera.fx)
    np.savetxt(drive / "K.txt", wide.K)
    refused = merge(room_map, evening, tmp_path / "both", "--describe-anew")
    assert f"images of 0 of {count} keyframes of {evening}" in str(refused.exception)
    np.savetxt(drive / "poses.txt", np.loadtxt(drive / "poses.txt")[:-1])
    for kind in ("images", "depth"):
        (drive / kind / "7.png").unlink()
    refused = merge(room_map, evening, tmp_path / "both", "--describe-anew")
    assert f"images of {count - 1} of {count} keyframes" in str(refused.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive", "evening"]
