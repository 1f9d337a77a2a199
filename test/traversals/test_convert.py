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

"""Traversals written as bags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drive import CAMERA, base_at, picture, stamp
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rig import RigTraversal
from scene_geo_loc.traversals.rosbag.convert import T_BASE_CAMERA, convert
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow

POINTS = np.random.default_rng(1).uniform(-30, 30, (50, 3))


class Made:
    """Five frames, the third without a pose, and scans between them and after the last."""

    name = "made"
    map_frame = "world"
    skipped = Skipped()

    def __len__(self) -> int:
        return 5

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for i in range(5):
            depth = np.full((48, 64), np.nan if i == 1 else 2.5, np.float32)
            pose = None if i == 2 else base_at(i) @ T_BASE_CAMERA
            yield Frame(stamp(i), picture(i), CAMERA, pose, depth)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        for i in (-0.5, 0.0, 0.5, 3.5, 4.5):
            yield Scan(stamp(i), POINTS)


def test_what_is_written_is_what_is_read_again(tmp_path: Path) -> None:
    done = convert(Made(), tmp_path / "bag")
    assert (done.frames, done.others) == (5, {"scans": 3})
    assert done.left_out.counts == {"scans at times without a pose": 2}
    again = open_traversal(tmp_path / "bag")
    assert again.map_frame == "world"
    for before, after in zip(Made().frames(), again.frames(), strict=True):
        assert after.stamp_ns == before.stamp_ns
        assert after.camera == before.camera
        np.testing.assert_array_equal(after.image, before.image)
        np.testing.assert_array_equal(after.depth, before.depth)
        if before.T_map_camera is not None:
            np.testing.assert_allclose(after.T_map_camera, before.T_map_camera, atol=1e-9)
    scans = list(again.scans())
    assert [scan.stamp_ns for scan in scans] == [stamp(i) for i in (0.0, 0.5, 3.5)]
    for scan in scans:
        np.testing.assert_allclose(scan.points_map, POINTS, atol=1e-4)


def test_a_source_that_breaks_leaves_no_bag(tmp_path: Path) -> None:
    class Broken(Made):
        def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
            yield next(super().frames())
            raise TraversalError("the disk is gone.")

    with pytest.raises(TraversalError, match="the disk is gone"):
        convert(Broken(), tmp_path / "bag")
    assert list(tmp_path.iterdir()) == []


def test_the_command_converts_a_part_of_a_source(tmp_path: Path, drive: Path) -> None:
    arguments = ["convert", str(drive), str(tmp_path / "out"), "--every", "3", "--end", "0.6", "--compressed"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 frames" in result.output
    stamps = [frame.stamp_ns for frame in open_traversal(tmp_path / "out").frames()]
    assert stamps == [stamp(0), stamp(3), stamp(6)]


def test_several_cameras_whose_places_on_the_vehicle_are_not_known_are_not_written(
    tmp_path: Path, drive: Path
) -> None:
    rig = RigTraversal([open_traversal(drive, camera="/camera/image_raw")] * 2)
    with pytest.raises(TraversalError, match=r"2 cameras.*convert one camera"):
        convert(rig, tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


def test_a_command_that_takes_one_camera_says_so(tmp_path: Path, drive: Path) -> None:
    arguments = ["depth", "make", str(drive), str(tmp_path / "depth")]
    done = CliRunner().invoke(app, [*arguments, "--camera", "/a", "--camera", "/b"])
    assert "2 cameras are named" in str(done.exception)


def test_every_option_of_a_source_is_in_the_help_of_the_command() -> None:
    result = CliRunner().invoke(app, ["convert", "--help"], env={"COLUMNS": "200"})
    for option in (
        "--format",
        "--poses",
        "--camera",
        "--split",
        "--every",
        "--offset",
        "--start",
        "--end",
    ):
        assert option in result.output
