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

"""Points of lidar messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scene_geo_loc.geometry.pose import make_pose, transform
from scene_geo_loc.traversals.messages.clouds import (
    PointCloud,
    cloud_of,
    decode_point_cloud,
    deskew,
    laser_scan_points,
    last_stamp_ns,
)

CODES = {"f4": 7, "f8": 8, "u4": 6, "u2": 4}
SECOND = 1_700_000_000


def cloud(
    fields: dict[str, tuple[str, np.ndarray]], *, height: int = 1, row_padding: int = 0, big: bool = False
) -> Any:
    """A PointCloud2 of the given fields, with rows of points."""
    order = ">" if big else "<"
    dtype = np.dtype([(name, order + kind) for name, (kind, _) in fields.items()])
    count = len(next(iter(fields.values()))[1])
    table = np.zeros(count, dtype)
    for name, (_, values) in fields.items():
        table[name] = values
    width = count // height
    rows = table.view(np.uint8).reshape(height, -1)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=SECOND, nanosec=250_000_000), frame_id="lidar"),
        fields=[
            SimpleNamespace(name=name, offset=dtype.fields[name][1], datatype=CODES[kind], count=1)
            for name, (kind, _) in fields.items()
        ],
        is_bigendian=big,
        width=width,
        height=height,
        point_step=dtype.itemsize,
        row_step=width * dtype.itemsize + row_padding,
        data=np.pad(rows, ((0, 0), (0, row_padding))).tobytes(),
    )


def xyz_fields(xyz: np.ndarray, kind: str = "f4") -> dict[str, tuple[str, np.ndarray]]:
    return {name: (kind, xyz[:, i]) for i, name in enumerate("xyz")}


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 7), st.booleans(), st.sampled_from(["f4", "f8"]))
def test_points_are_read_whatever_the_order_of_bytes_and_the_padding_of_rows(
    height: int, width: int, padding: int, big: bool, kind: str
) -> None:
    xyz = np.random.default_rng(height).normal(size=(height * width, 3)).astype(np.float32)
    fields = {"ring": ("u2", np.arange(len(xyz))), **xyz_fields(xyz, kind)}
    read = decode_point_cloud(cloud(fields, height=height, row_padding=padding, big=big))
    np.testing.assert_array_equal(read.xyz, xyz)
    assert read.time_s is None


def test_points_that_are_nan_infinite_or_the_origin_are_dropped_with_their_times() -> None:
    xyz = np.array([[1, 2, 3], [np.nan, 0, 0], [0, 0, 0], [np.inf, 1, 1], [4, 5, 6]])
    read = decode_point_cloud(cloud({**xyz_fields(xyz), "time": ("f4", np.arange(5) / 100)}))
    np.testing.assert_array_equal(read.xyz, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(read.time_s, [0.0, 0.04], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "kind", "factor", "start"),
    [
        ("time", "f4", 1.0, 0.0),
        ("t", "u4", 1e9, 0.0),
        ("offset_time", "u4", 1e9, 0.0),
        ("timestamp", "f8", 1.0, SECOND + 0.25),
        ("timestamp", "f8", 1e3, SECOND + 0.25),
        ("timestamp", "f8", 1e6, SECOND + 0.25),
        ("timestamp", "f8", 1e9, SECOND + 0.25),
        ("time", "f4", 1e3, 0.0),
        ("time", "f4", 1e6, 0.0),
        ("t", "f4", 1e9, 0.0),
        ("time", "f4", 1e6, -0.1),
        ("time", "f8", 1e3, -0.1),
    ],
)
def test_times_of_points_are_seconds_after_the_stamp_for_every_driver(
    name: str, kind: str, factor: float, start: Any
) -> None:
    seconds = np.array([0.0, 0.03, 0.1])
    fields = {**xyz_fields(np.ones((3, 3))), name: (kind, (start + seconds) * factor)}
    np.testing.assert_allclose(decode_point_cloud(cloud(fields)).time_s, seconds + min(start, 0), atol=1e-6)


@given(st.floats(0.01, 1.0), st.sampled_from([1.0, 1e3, 1e6, 1e9]), st.sampled_from([0.0, SECOND + 0.25]))
def test_the_unit_of_floating_point_times_is_told_from_their_size(
    sweep_s: float, unit: float, start: float
) -> None:
    seconds = np.linspace(0.0, sweep_s, 50)
    fields = {**xyz_fields(np.ones((50, 3))), "timestamp": ("f8", (start + seconds) * unit)}
    np.testing.assert_allclose(decode_point_cloud(cloud(fields)).time_s, seconds, atol=1e-6)


def test_times_that_are_not_numbers_are_not_believed() -> None:
    fields = {**xyz_fields(np.ones((3, 3))), "time": ("f4", np.array([0.0, np.nan, 0.1]))}
    assert decode_point_cloud(cloud(fields)).time_s is None


def test_points_of_a_livox_message_have_their_own_times() -> None:
    points = [
        SimpleNamespace(x=1.0, y=2.0, z=3.0, offset_time=0),
        SimpleNamespace(x=0.0, y=0.0, z=0.0, offset_time=40_000_000),
        SimpleNamespace(x=4.0, y=5.0, z=6.0, offset_time=99_000_000),
    ]
    read = cloud_of(SimpleNamespace(timebase=SECOND * 10**9, points=points))
    np.testing.assert_array_equal(read.xyz, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_allclose(read.time_s, [0.0, 0.099])
    assert len(cloud_of(SimpleNamespace(timebase=0, points=[]))) == 0


def test_times_that_make_no_sweep_are_not_believed() -> None:
    fields = {**xyz_fields(np.ones((2, 3))), "timestamp": ("f8", np.array([1e12, 2e12]))}
    assert decode_point_cloud(cloud(fields)).time_s is None


def test_a_cloud_without_coordinates_or_with_too_few_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="fields x, y and z"):
        decode_point_cloud(cloud({"intensity": ("f4", np.ones(3))}))
    short = cloud(xyz_fields(np.ones((3, 3))))
    short.data = short.data[:-1]
    with pytest.raises(ValueError, match="does not fit"):
        decode_point_cloud(short)


def test_a_laser_scan_lies_in_its_plane_and_leaves_out_what_is_out_of_range() -> None:
    message = SimpleNamespace(
        ranges=[2.0, np.inf, 0.05, 3.0, np.nan, 60.0],
        angle_min=-np.pi / 2,
        angle_increment=np.pi / 6,
        time_increment=0.001,
        range_min=0.1,
        range_max=50.0,
    )
    read = cloud_of(message)
    np.testing.assert_allclose(read.xyz, [[0, -2, 0], [3, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(read.time_s, [0.0, 0.003])
    assert len(laser_scan_points(message)) == 2


@pytest.mark.parametrize("increment", [1e30, np.inf, np.nan, 1.0])
def test_times_of_beams_that_make_no_sweep_are_not_believed(increment: Any) -> None:
    message = SimpleNamespace(
        ranges=[1.0] * 20,
        angle_min=0.0,
        angle_increment=0.1,
        time_increment=increment,
        range_min=0.1,
        range_max=50.0,
    )
    assert laser_scan_points(message).time_s is None


STAMP_NS = SECOND * 10**9


def pose_at(stamp_ns: int) -> np.ndarray:
    """A fast turn: 20 m/s and 2 rad/s."""
    seconds = (stamp_ns - STAMP_NS) / 1e9
    rotation = Rotation.from_euler("z", 2.0 * seconds).as_matrix()
    return make_pose(rotation, (20.0 * seconds, 3.0 * seconds**2, 0.0))


def poses_at(stamps_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Known for the first 50 ms."""
    return np.stack([pose_at(int(s)) for s in stamps_ns]), stamps_ns <= STAMP_NS + 50_000_000


def test_each_point_is_taken_to_the_map_by_the_pose_at_its_own_time() -> None:
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.uniform(-70, 70, (500, 3)), rng.uniform(-0.05, 0.05, 500))
    points = deskew(cloud, STAMP_NS, poses_at)
    expected = [
        transform(pose_at(STAMP_NS + round(second * 1e9)), point)
        for point, second in zip(cloud.xyz, cloud.time_s, strict=True)
    ]
    np.testing.assert_allclose(points, expected, atol=1e-3)


def test_points_of_times_without_a_pose_are_left_out() -> None:
    cloud = PointCloud(np.arange(30.0).reshape(10, 3), np.linspace(0.0, 0.09, 10))
    points = deskew(cloud, STAMP_NS, poses_at)
    assert len(points) == 6
    backwards = deskew(PointCloud(cloud.xyz[::-1], cloud.time_s[::-1]), STAMP_NS, poses_at)
    np.testing.assert_array_equal(backwards, points[::-1])
    np.testing.assert_allclose(points[5], transform(pose_at(STAMP_NS + 50_000_000), cloud.xyz[5]), atol=1e-9)
    assert last_stamp_ns(cloud, STAMP_NS) == STAMP_NS + 90_000_000


def test_points_without_times_are_taken_to_the_map_by_one_pose() -> None:
    cloud = PointCloud(np.arange(30.0).reshape(10, 3), None)
    at_once = STAMP_NS + 10_000_000
    np.testing.assert_allclose(deskew(cloud, at_once, poses_at), transform(pose_at(at_once), cloud.xyz))
    assert last_stamp_ns(cloud, at_once) == at_once
    assert deskew(PointCloud(np.zeros((0, 3)), None), STAMP_NS, poses_at).shape == (0, 3)
    assert deskew(cloud, STAMP_NS + SECOND, poses_at).shape == (0, 3)
