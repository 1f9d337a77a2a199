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

"""Trajectories: poses at a stamp, and the TUM files that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import from_quaternion, interpolate, make_pose, rotation_angle_deg
from scene_geo_loc.geometry.trajectory import Trajectory, read_tum, stamp_ns_of, write_tum

SECOND = 10**9
START = 1_700_000_000 * SECOND  # a stamp of our days: nanoseconds do not fit a float64


def straight(seconds: list[float]) -> Trajectory:
    """One metre a second along x, a quarter turn about z each second."""
    poses = [
        from_quaternion((s, 0, 0), (0, 0, np.sin(s * np.pi / 4), np.cos(s * np.pi / 4))) for s in seconds
    ]
    return Trajectory.from_unsorted([START + round(s * SECOND) for s in seconds], poses)


def test_between_two_poses_position_and_angle_are_in_proportion() -> None:
    T = straight([0, 1]).at(START + SECOND // 4)
    assert T is not None
    assert T[0, 3] == pytest.approx(0.25)
    assert rotation_angle_deg(T) == pytest.approx(22.5)


def test_at_a_known_stamp_the_pose_is_the_known_one() -> None:
    trajectory = straight([0, 1, 2])
    np.testing.assert_array_equal(trajectory.at(START + SECOND), trajectory.poses[1])


def test_nothing_is_known_outside_or_inside_a_long_gap() -> None:
    trajectory = straight([0, 1, 5])
    assert trajectory.at(START - 1) is None
    assert trajectory.at(START + 5 * SECOND + 1) is None
    assert trajectory.at(START + 3 * SECOND) is None
    assert trajectory.at(START + 3 * SECOND, max_gap_ns=10 * SECOND) is not None


def test_an_empty_trajectory_knows_nothing() -> None:
    assert Trajectory.from_unsorted([], []).at(START) is None


def test_poses_are_sorted_and_of_one_stamp_the_last_counts() -> None:
    poses = [make_pose(np.eye(3), (x, 0, 0)) for x in (2.0, 1.0, 7.0)]
    trajectory = Trajectory.from_unsorted([20, 10, 10], poses)
    np.testing.assert_array_equal(trajectory.stamps_ns, (10, 20))
    np.testing.assert_array_equal(trajectory.poses[:, 0, 3], (7, 2))


@given(st.lists(st.integers(0, 4 * SECOND), min_size=1, max_size=8))
def test_many_stamps_give_what_each_alone_gives(offsets: list[int]) -> None:
    trajectory = straight([0, 0.5, 1.25, 3])
    poses, known = trajectory.at_many(START + np.array(offsets))
    for offset, pose, is_known in zip(offsets, poses, known, strict=True):
        alone = trajectory.at(START + offset)
        assert (alone is not None) == is_known
        if alone is not None:
            np.testing.assert_allclose(pose, alone, atol=1e-9)


def test_interpolation_agrees_with_that_of_two_poses() -> None:
    trajectory = straight([0, 1])
    np.testing.assert_allclose(
        trajectory.at(START + 300_000_000),
        interpolate(trajectory.poses[0], trajectory.poses[1], 0.3),
        atol=1e-9,
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=5, unique=True), st.floats(-1e5, 1e5))
def test_tum_files_round_trip_to_the_nanosecond(tmp_path: Path, stamps: list[int], x: float) -> None:
    trajectory = Trajectory.from_unsorted(
        stamps, [from_quaternion((x, 1, 2), (0.1, 0.2, 0.3, 0.9))] * len(stamps)
    )
    write_tum(tmp_path / "poses.tum", trajectory)
    again = read_tum(tmp_path / "poses.tum")
    np.testing.assert_array_equal(again.stamps_ns, trajectory.stamps_ns)
    np.testing.assert_allclose(again.poses, trajectory.poses, atol=1e-6)


def test_comments_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "poses.tum").write_text("# stamp x y z qx qy qz qw\n\n1.5 1 2 3 0 0 0 1\n")
    trajectory = read_tum(tmp_path / "poses.tum")
    assert trajectory.stamps_ns.tolist() == [1_500_000_000]


@pytest.mark.parametrize("line", ["1.0 1 2 3", "one 1 2 3 0 0 0 1", "1.0 1 2 3 0 0 0 0", "1 2 3 4 5 6 7 8 9"])
def test_a_line_that_is_no_pose_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "poses.tum").write_text(f"0.0 0 0 0 0 0 0 1\n{line}\n")
    with pytest.raises(TraversalError, match="line 2"):
        read_tum(tmp_path / "poses.tum")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraversalError, match="cannot be read"):
        read_tum(tmp_path / "none.tum")


def read_text(folder: Path, text: str | bytes) -> Trajectory:
    file = folder / "poses.tum"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_tum(file)


LINE = "1 2 3 0 0 0 1"


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        (["1.403715529112143517e+09", "1.403715529212143517e+09"], 1_403_715_529_112_143_517),
        (["1403715529112143517", "1403715529212143517"], 1_403_715_529_112_143_517),
        (["1403715529112143", "1403715529212143"], 1_403_715_529_112_143_000),
        (["1403715529112.143", "1403715529212.143"], 1_403_715_529_112_143_000),
        (["1403715529.112143517", "1403715529.212143517"], 1_403_715_529_112_143_517),
        (["1403715529", "1403715530"], 1_403_715_529 * SECOND),
        (["2000000000", "2100000000"], 2 * SECOND),  # a simulation's clock in nanoseconds
        (["2000000", "2010000"], 2 * SECOND),  # in microseconds
        (["2", "3"], 2 * SECOND),
        (["2.0e+00", "2.5e+00"], 2 * SECOND),
        (["0", "0.1"], 0),
    ],
)
def test_stamps_are_read_in_the_unit_that_their_size_tells(
    tmp_path: Path, stamps: list[str], expected: int
) -> None:
    trajectory = read_text(tmp_path, "".join(f"{stamp} {LINE}\n" for stamp in stamps))
    assert trajectory.stamps_ns[0] == expected
    assert trajectory.poses[0, :3, 3].tolist() == [1, 2, 3]


@given(st.integers(0, 2**62))
def test_a_stamp_in_seconds_is_exact_with_or_without_an_exponent(stamp_ns: int) -> None:
    digits = f"{stamp_ns:010d}"
    assert stamp_ns_of(f"{digits[:-9]}.{digits[-9:]}") == stamp_ns
    assert stamp_ns_of(f"{stamp_ns}e-9") == stamp_ns


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff5.0 {LINE}\r\n6.0 {LINE}\r\n",
        "5.0,1,2,3,0,0,0,1\n6.0,1,2,3,0,0,0,1\n",
        "5.0, 1, 2, 3, 0, 0, 0, 1,\n6.0; 1; 2; 3; 0; 0; 0; 1\n",
        "timestamp,tx,ty,tz,qx,qy,qz,qw\n5.0,1,2,3,0,0,0,1\n6.0,1,2,3,0,0,0,1\n",
        "#timestamp,p_RS_R_x [m],p_RS_R_y [m],p_RS_R_z [m],q_RS_w [],q_RS_x [],q_RS_y [],q_RS_z []\n"
        "5000000000,1,2,3,1,0,0,0,9,9,9\n6000000000,1,2,3,1,0,0,0,9,9,9\n",
        f"5.0 {LINE}\n6.0 {LINE}\n".encode("utf-16"),
    ],
)
def test_files_of_other_programs_are_read_like_the_plain_one(tmp_path: Path, text: str | bytes) -> None:
    trajectory = read_text(tmp_path, text)
    np.testing.assert_array_equal(trajectory.stamps_ns, (5 * SECOND, 6 * SECOND))
    np.testing.assert_allclose(trajectory.poses[1], make_pose(np.eye(3), (1, 2, 3)), atol=1e-12)


@pytest.mark.parametrize(
    "line", ["nan 1 2 3 0 0 0 1", "5 1 2 3 0 0 0", "5 1 2 3 0 0 0 0", "1e999 1 2 3 0 0 0 1"]
)
def test_lines_that_are_no_pose_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(TraversalError, match="line 2: expected `stamp_s"):
        read_text(tmp_path, f"4 {LINE}\n{line}\n")
