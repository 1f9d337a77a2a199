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

"""The writer of bags."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import CAMERA, START_NS, picture, write_drive
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import from_quaternion, make_pose
from scene_geo_loc.traversals.messages.camera_info import camera_of
from scene_geo_loc.traversals.messages.clouds import cloud_of
from scene_geo_loc.traversals.messages.depth import depth_of
from scene_geo_loc.traversals.messages.images import image_of
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow

T = make_pose(Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix(), [1.0, 2.0, 3.0])


def read(path: Path) -> list[tuple[str, Any]]:
    with AnyReader([path]) as reader:
        return [(c.topic, reader.deserialize(raw, c.msgtype)) for c, _, raw in reader.messages()]


def written(path: Path, write: Any) -> Any:
    """The one message that `write` puts into a bag."""
    with BagWriter(path) as bag:
        write(bag)
    ((_, message),) = read(path)
    return message


@settings(max_examples=15, deadline=None)
@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8), st.just(3))),
    stamp=st.integers(0, 2**31 * 10**9 - 1),
)
def test_images_and_stamps_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, image: Any, stamp: Any
) -> None:
    message = written(
        tmp_path_factory.mktemp("bag") / "b", lambda bag: bag.image("/image", stamp, "camera", image)
    )
    np.testing.assert_array_equal(image_of(message), image)
    assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == stamp
    assert message.header.frame_id == "camera"


@settings(max_examples=15, deadline=None)
@given(
    depth=hnp.arrays(
        np.float32,
        (3, 4),
        elements=st.one_of(st.floats(0.0625, 65.0, width=32), st.sampled_from([np.nan, np.inf, 70.0])),
    )
)
def test_depth_comes_back_to_the_millimetre_and_what_does_not_fit_is_unknown(
    tmp_path_factory: pytest.TempPathFactory, depth: Any
) -> None:
    message = written(
        tmp_path_factory.mktemp("bag") / "b", lambda bag: bag.depth_image("/depth", 5, "camera", depth)
    )
    fits = np.isfinite(depth) & (depth < 65.5)
    np.testing.assert_allclose(depth_of(message)[fits], depth[fits], atol=0.00051)
    assert np.isnan(depth_of(message)[~fits]).all()


def test_compressed_images_are_nearly_the_same(tmp_path: Path) -> None:
    smooth = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, axis=0) * np.ones(
        3, np.uint8
    )
    message = written(tmp_path / "b", lambda bag: bag.compressed_image("/c", 1, "camera", smooth))
    assert np.abs(image_of(message).astype(int) - smooth).mean() < 2


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA,
        Camera(640, 480, 500, 501, 320, 240),
        Camera(640, 480, 300, 300, 320, 240, "equidistant", (0.1, 0.0, 0.0, 0.01)),
        Camera(640, 480, 300, 300, 320, 240, "rational_polynomial", (0.1,) * 8),
    ],
)
def test_cameras_come_back_as_they_were(tmp_path: Path, camera: Any) -> None:
    message = written(tmp_path / "b", lambda bag: bag.camera_info("/camera_info", 1, "camera", camera))
    assert camera_of(message) == camera


@settings(max_examples=15, deadline=None)
@given(
    xyz=hnp.arrays(np.float32, st.tuples(st.integers(0, 20), st.just(3)), elements=st.floats(1, 99, width=32))
)
def test_points_come_back_with_their_times(tmp_path_factory: pytest.TempPathFactory, xyz: Any) -> None:
    seconds = np.linspace(0, 0.1, len(xyz))

    def write(bag: BagWriter) -> Any:
        bag.points("/points", START_NS, "lidar", xyz, intensity=seconds, time_offset_s=seconds)

    message = written(tmp_path_factory.mktemp("bag") / "b", write)
    cloud = cloud_of(message)
    assert [field.name for field in message.fields] == ["x", "y", "z", "intensity", "time"]
    np.testing.assert_array_equal(cloud.xyz, xyz)
    if len(xyz):
        np.testing.assert_allclose(cloud.time_s, seconds, atol=1e-7)


def test_poses_transforms_and_odometry_hold_the_same_pose(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "b") as bag:
        bag.pose("/pose", 1, "map", T)
        bag.transform(2, "odom", "base_link", T)
        bag.static_transforms(3, {("base_link", "camera"): T, ("base_link", "lidar"): T})
        bag.odometry("/odom", 4, "odom", "base_link", T, (1, 0, 0), (0, 0, 0.5), [1, 2, 3, 4, 5, 6], [7] * 6)
    messages = dict(read(tmp_path / "b"))
    odometry = messages["/odom"]
    for position, rotation in (
        (messages["/pose"].pose.position, messages["/pose"].pose.orientation),
        (odometry.pose.pose.position, odometry.pose.pose.orientation),
        *((t.transform.translation, t.transform.rotation) for t in messages["/tf_static"].transforms),
        *((t.transform.translation, t.transform.rotation) for t in messages["/tf"].transforms),
    ):
        read_back = from_quaternion(
            (position.x, position.y, position.z), (rotation.x, rotation.y, rotation.z, rotation.w)
        )
        np.testing.assert_allclose(read_back, T, atol=1e-12)
    assert np.diag(odometry.pose.covariance.reshape(6, 6)).tolist() == [1, 2, 3, 4, 5, 6]
    assert odometry.twist.twist.angular.z == 0.5
    assert [t.child_frame_id for t in messages["/tf_static"].transforms] == ["camera", "lidar"]


def test_a_laser_scan_and_a_fix_keep_their_numbers(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "b") as bag:
        bag.laser_scan("/scan", 1, "front", [1.0, 2.0, 3.0], [4, 5, 6], -0.5, 0.5, 0.001, 0.1, 50.0)
        bag.nav_sat_fix("/fix", 2, "gps", 51.75, -1.25, 60.0, [1.0, 4.0, 9.0])
    messages = dict(read(tmp_path / "b"))
    scan, fix = messages["/scan"], messages["/fix"]
    assert scan.ranges.tolist() == [1, 2, 3]
    assert scan.intensities.tolist() == [4, 5, 6]
    assert scan.angle_max == pytest.approx(0.5)
    assert (fix.latitude, fix.longitude, fix.altitude) == (51.75, -1.25, 60.0)
    assert np.diag(fix.position_covariance.reshape(3, 3)).tolist() == [1, 4, 9]


def test_static_transforms_are_latched_for_late_subscribers(drive: Any) -> None:
    with AnyReader([drive]) as reader:
        durability = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
    assert durability["/tf_static"] == QosDurability.TRANSIENT_LOCAL
    assert durability["/camera/image_raw"] == QosDurability.VOLATILE


def test_a_bag_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bag"

    def interrupted() -> None:
        with BagWriter(path) as bag:
            bag.image("/image", 1, "camera", picture(0))
            assert not path.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_writer_left_behind_does_not_stand_in_the_way(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path;"
        "from scene_geo_loc.traversals.rosbag.writer import BagWriter;"
        "BagWriter(Path(sys.argv[1])).__enter__(); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "bag")], check=False)
    assert killed.returncode == 9
    assert [entry.name for entry in tmp_path.iterdir()] == [".bag.partial"]
    write_drive(tmp_path / "bag")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bag"]


def test_a_bag_that_is_there_is_never_overwritten(drive: Any) -> None:
    with pytest.raises(TraversalError, match="exists already"), BagWriter(drive):
        pass


def test_a_place_that_cannot_be_written_ends_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TraversalError, match="cannot be written"), BagWriter(tmp_path / "file" / "bag"):
        pass
