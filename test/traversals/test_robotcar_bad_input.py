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

"""RobotCar runs with the defects of real recordings: gaps, damage and wrong numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from robotcar_run import RUN, stamp_us, write_run
from trees import open_folder

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import position_error_m
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.opening import open_traversal

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose poses are those of the inertial navigation."""
    run = write_run(tmp_path, cameras=("stereo/centre",))
    (tmp_path / "rtk" / RUN / "rtk.csv").unlink()
    return run


def read_all(run: Path, **options: str) -> FolderTraversal:
    traversal = open_folder(run, **options)
    assert isinstance(traversal, FolderTraversal)
    list(traversal.frames())
    list(traversal.scans())
    return traversal


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def with_field(column: int, text: str, *rows: int) -> Callable[[list[str]], list[str]]:
    """Puts `text` in a column of some rows; row 0 is the first below the names."""

    def change(lines: list[str]) -> list[str]:
        for row in rows:
            fields = lines[row + 1].split(",")
            fields[column] = text
            lines[row + 1] = ",".join(fields)
        return lines

    return change


def image(run: Path, place: int) -> Path:
    return sorted((run / "stereo" / "centre").iterdir())[place]


def test_images_that_are_listed_but_missing_are_counted(run: Path) -> None:
    image(run, 3).unlink()
    image(run, 7).unlink()
    traversal = read_all(run)
    assert len(traversal) == 22
    assert traversal.skipped.counts == {"missing images": 2}


def test_images_that_are_damaged_in_colour_or_of_another_size_are_counted(run: Path) -> None:
    image(run, 0).write_bytes(image(run, 0).read_bytes()[:40])
    cv2.imwrite(str(image(run, 1)), np.zeros((48, 64, 3), np.uint8))
    cv2.imwrite(str(image(run, 2)), np.zeros((24, 64), np.uint8))
    # The first readable image sets the size of all images, also if it has the wrong number of channels.
    traversal = open_traversal(run)
    assert len(list(traversal.frames())) == 21
    assert traversal.skipped.counts == {"images that cannot be read": 3}


def test_lines_of_stamps_that_are_damaged_or_out_of_order_are_counted(run: Path) -> None:
    def change(lines: list[str]) -> list[str]:
        lines[5], lines[6] = lines[6], lines[5]
        return [*lines[:10], "what?", "-5 1", f"{stamp_us(1e9)} 1", *lines[10:], ""]

    edit(run / "stereo.timestamps", change)
    traversal = read_all(run)
    assert len(traversal) == 23
    assert traversal.skipped.counts == {
        "damaged lines of stereo.timestamps": 2,
        "lines of stereo.timestamps out of order": 2,
    }


def test_truncated_empty_and_missing_scans_are_counted(run: Path) -> None:
    scans = sorted((run / "lms_front").iterdir())
    scans[0].write_bytes(scans[0].read_bytes()[:-5])
    scans[1].write_bytes(b"")
    scans[2].unlink()
    np.zeros((4, 3)).tofile(scans[3])
    np.full((4, 3), np.nan).tofile(scans[4])
    traversal = open_traversal(run)
    list(traversal.frames())
    assert len(list(traversal.scans())) == 355
    assert traversal.skipped.counts == {
        "missing scans of lms_front": 1,
        "scans that cannot be read": 2,
        "scans without a valid point": 2,
    }


def test_missing_folders_lists_and_extrinsics_of_lidars_are_counted(run: Path) -> None:
    (run / "lms_front").rename(run / "elsewhere")
    (run / "lms_rear.timestamps").unlink()
    (run.parent / "extrinsics" / "ldmrs.txt").unlink()
    traversal = read_all(run)
    assert len(traversal.scan_files) == 0
    assert traversal.skipped.counts == {
        "lidars without scans": 1,
        "lidars without stamps": 1,
        "lidars without extrinsics": 1,
    }


def test_a_run_without_lidars_has_frames(run: Path) -> None:
    for lidar in ("lms_front", "lms_rear", "ldmrs"):
        (run / lidar).rename(run / f"no_{lidar}")
        (run / f"{lidar}.timestamps").unlink()
    traversal = read_all(run)
    assert len(traversal) == 24
    assert not traversal.skipped


def test_rows_of_the_inertial_navigation_that_are_of_no_use_are_counted(run: Path) -> None:
    path = run / "gps" / "ins.csv"
    edit(path, with_field(5, "nan", 10))
    edit(path, with_field(6, "inf", 11))
    edit(path, with_field(7, "?", 12))
    edit(path, with_field(5, "0.0", 20, 21))
    edit(path, with_field(6, "0", 20, 21))
    edit(path, with_field(1, "INS_SOLUTION_NOT_GOOD", 30, 31, 32))
    edit(path, with_field(1, "INS_BAD_GPS_AGREEMENT", 33))
    edit(path, with_field(5, "5736000.0", 40))
    edit(path, lambda lines: [*lines[:51], lines[52], lines[51], *lines[53:-1], lines[-1][:20]])
    traversal = read_all(run)
    assert traversal.skipped.counts == {
        "damaged rows of ins.csv": 2,
        "rows of ins.csv without numbers": 2,
        "rows of ins.csv without a position": 2,
        "rows of ins.csv of a bad solution": 3,
        "rows of ins.csv that jump": 1,
        "rows of ins.csv out of order": 1,
    }
    assert all(files.T_map_camera is not None for files in traversal.frame_files)


def test_a_hole_in_the_poses_leaves_images_and_scans_without(run: Path) -> None:
    edit(run / "gps" / "ins.csv", lambda lines: lines[:201] + lines[301:])
    traversal = open_traversal(run)
    frames = list(traversal.frames())
    without = [frame.stamp_ns // 1000 for frame in frames if frame.T_map_camera is None]
    assert without == [stamp_us(t) for t in (4.25, 4.75, 5.25, 5.75)]
    list(traversal.scans())
    assert traversal.skipped.counts == {"images without a pose": 4, "scans without a pose": 60}


def test_after_a_lasting_jump_the_longer_part_is_believed(run: Path) -> None:
    def change(lines: list[str]) -> list[str]:
        for row in range(401, 601):
            fields = lines[row].split(",")
            fields[6] = f"{float(fields[6]) + 300.0:.3f}"
            lines[row] = ",".join(fields)
        return lines

    edit(run / "gps" / "ins.csv", change)
    traversal = read_all(run)
    assert traversal.skipped.counts["rows of ins.csv that jump"] == 200
    assert traversal.skipped.counts["images without a pose"] == 8


def test_where_no_row_is_of_use_the_next_best_poses_are_taken(run: Path) -> None:
    edit(run / "gps" / "ins.csv", with_field(1, "INS_INACTIVE", *range(600)))
    traversal = read_all(run)
    assert traversal.skipped.counts["rows of ins.csv of a bad solution"] == 600
    expected = open_folder(run, poses="vo").frame_files[5].T_map_camera
    np.testing.assert_array_equal(traversal.frame_files[5].T_map_camera, expected)
    with pytest.raises(TraversalError, match="none of the rows is usable"):
        open_traversal(run, poses="ins")


def test_a_jump_of_visual_odometry_ends_what_is_known_of_the_way(run: Path) -> None:
    edit(run / "vo" / "vo.csv", with_field(2, "40.0", 60))
    traversal = read_all(run, poses="vo")
    assert traversal.skipped.counts["rows of vo.csv beyond a break"] == 60
    assert traversal.frame_files[0].T_map_camera is None
    assert traversal.frame_files[-1].T_map_camera is not None


def test_the_car_is_taken_to_keep_its_speed_over_a_missing_row_of_visual_odometry(run: Path) -> None:
    whole = open_folder(run, poses="vo")
    edit(run / "vo" / "vo.csv", with_field(2, "nan", 60))
    traversal = read_all(run, poses="vo")
    assert traversal.skipped.counts["rows of vo.csv without numbers"] == 1
    for before, after in zip(whole.frame_files[1:], traversal.frame_files[1:], strict=True):
        assert position_error_m(before.T_map_camera, after.T_map_camera) < 0.1  # a step is of 0.6 m


def test_a_gap_breaks_visual_odometry(run: Path) -> None:
    edit(run / "vo" / "vo.csv", lambda lines: lines[:31] + lines[61:])
    traversal = read_all(run, poses="vo")
    assert traversal.skipped.counts["rows of vo.csv beyond a break"] == 30


@pytest.mark.parametrize("table", ["gps/ins.csv", "vo/vo.csv"])
@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n", "\x00\x01"])
def test_a_table_without_its_columns_is_refused_by_name(run: Path, table: str, text: str) -> None:
    (run / table).write_text(text)
    with pytest.raises(TraversalError, match=re.escape(Path(table).name) + r": no column \w*timestamp"):
        open_traversal(run, poses=Path(table).stem)


def test_a_table_with_nothing_but_the_names_gives_no_poses(run: Path) -> None:
    edit(run / "gps" / "ins.csv", lambda lines: lines[:1])
    edit(run / "vo" / "vo.csv", lambda lines: lines[:1])
    assert read_all(run).skipped.counts == {"images without a pose": 24, "scans without a pose": 360}
    with pytest.raises(TraversalError, match="the table is empty"):
        open_traversal(run, poses="vo")


def test_poses_that_are_not_there_are_refused(run: Path) -> None:
    with pytest.raises(TraversalError, match=r"no poses of rtk.*: ins, vo"):
        open_traversal(run, poses="rtk")
    with pytest.raises(TraversalError, match=r"'slam'.*rtk, ins, vo"):
        open_traversal(run, poses="slam")


def test_cameras_that_are_not_there_are_refused(run: Path) -> None:
    with pytest.raises(TraversalError, match="here are images of stereo/centre"):
        open_traversal(run, camera="mono_left")
    with pytest.raises(TraversalError, match=r"no camera 'left'.*stereo/centre, stereo/left"):
        open_traversal(run, camera="left")


@pytest.mark.parametrize(
    "name",
    [
        "models/stereo_narrow_left.txt",
        "models/stereo_narrow_left_distortion_lut.bin",
        "extrinsics/stereo.txt",
        "extrinsics/ins.txt",
    ],
)
def test_calibration_that_is_missing_is_named_with_where_to_get_it(run: Path, name: str) -> None:
    (run.parent / name).unlink()
    with pytest.raises(
        TraversalError, match=rf"{re.escape(name)} is neither here nor beside it.*robotcar-dataset-sdk"
    ):
        open_traversal(run)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("models/stereo_narrow_left.txt", "1 2 3\n", "expected lines of 4 numbers"),
        ("models/stereo_narrow_left.txt", "48 48 32 24\n", "`fx fy cx cy` and a 4x4 pose"),
        (
            "models/stereo_narrow_left.txt",
            "-1 48 32 24\n" + "0 0 1 0\n1 0 0 0\n0 1 0 0\n0 0 0 1\n",
            "intrinsics",
        ),
        (
            "models/stereo_narrow_left_distortion_lut.bin",
            "x" * 160,
            "lookup table has 10 pixels, images 64 x 48",
        ),
        ("extrinsics/stereo.txt", "0 0 0\n", "expected lines of 6 numbers"),
        ("extrinsics/stereo.txt", "0 0 0 0 0 nan\n", "`x y z roll pitch yaw`"),
        ("extrinsics/stereo.txt", "so so\n", "expected lines of numbers"),
    ],
)
def test_calibration_that_is_damaged_is_refused(run: Path, name: str, content: Any, said: str) -> None:
    (run.parent / name).write_text(content)
    with pytest.raises(TraversalError, match=said):
        open_traversal(run)


def test_a_run_without_any_image_is_refused(run: Path) -> None:
    for path in (run / "stereo" / "centre").iterdir():
        path.unlink()
    with pytest.raises(TraversalError, match=r"none of the images in stereo\.timestamps is here"):
        open_traversal(run)


def test_a_run_without_any_good_image_is_refused(run: Path) -> None:
    for path in (run / "stereo" / "centre").iterdir():
        path.write_bytes(b"no PNG")
    with pytest.raises(TraversalError, match="neither this image nor any other"):
        open_traversal(run)


def test_the_layout_is_said_where_another_folder_is_taken_for_a_run(run: Path) -> None:
    with pytest.raises(TraversalError, match=rf"not robotcar, which has stereo.timestamps.*{RUN}/"):
        open_traversal(run.parent, "robotcar")
