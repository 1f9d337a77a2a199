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

"""RobotCar runs converted to bags."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from robotcar_run import (
    EXTRINSICS,
    LIDARS,
    RUN,
    latitude_longitude,
    numbers_of,
    rigid,
    scan_at,
    stamp_us,
    times,
    unit_at,
    vehicle_at,
    write_run,
)
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.geometry.pose import from_quaternion, inverse, position_error_m, rotation_error_deg
from scene_geo_loc.traversals.messages.clouds import decode_point_cloud
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.convert import convert

pytestmark = pytest.mark.slow

BASE = np.diag([1.0, -1.0, -1.0, 1.0])
"""base_link (forward, left, up) in the vehicle (forward, right, down), and the other way round."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("robotcar"), cameras=("stereo/centre", "mono_left"))


@pytest.fixture(scope="module")
def bag(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "bag"
    convert(open_traversal(run), path)
    return path


def messages(bag: Path, topic: str) -> list[tuple[int, Any]]:
    """The stamps in nanoseconds of a topic's messages, and the messages."""
    return [(message.stamp_ns, message.decode()) for message in Bag(bag).messages([topic])]


def transform_of(pose: Any) -> np.ndarray:
    """The pose of a geometry_msgs Pose or Transform."""
    position = pose.position if hasattr(pose, "position") else pose.translation
    rotation = pose.orientation if hasattr(pose, "orientation") else pose.rotation
    return from_quaternion(
        (position.x, position.y, position.z), (rotation.x, rotation.y, rotation.z, rotation.w)
    )


@pytest.mark.parametrize(
    ("camera", "poses", "metres"),
    [
        ("stereo/centre", "rtk", 1e-4),
        ("stereo/centre", "ins", 1e-5),
        ("stereo/centre", "vo", 1e-9),
        ("mono_left", "rtk", 1e-4),
    ],
)
def test_frames_poses_and_scans_are_read_again_as_they_were(
    run: Path, tmp_path: Path, camera: str, poses: str, metres: float
) -> None:
    source = open_traversal(run, camera=camera, poses=poses, start=5.0, end=7.0)
    convert(source, tmp_path / "bag")
    again = open_traversal(tmp_path / "bag")
    for before, after in zip(source.frames(), again.frames(), strict=True):
        assert after.stamp_ns == before.stamp_ns
        assert after.camera == before.camera
        np.testing.assert_array_equal(after.image, before.image)
        # A bag has the vehicle's poses, between which its origin, not the inertial unit's, goes straight.
        assert position_error_m(before.T_map_camera, after.T_map_camera) < metres
        assert rotation_error_deg(before.T_map_camera, after.T_map_camera) < 1e-9
    scans = {scan.stamp_ns: scan.points_map for scan in source.scans()}
    found = list(again.scans())
    assert 117 <= len(found) <= 120  # of four seconds, in which the RTK's first pose comes after 0.05 s
    for scan in found:
        np.testing.assert_allclose(scan.points_map, scans[scan.stamp_ns], atol=metres + 2e-6)


def test_every_sensor_is_where_its_extrinsics_put_it(bag: Path) -> None:
    ((_, message),) = messages(bag, "/tf_static")
    transforms = {t.child_frame_id: t for t in message.transforms}
    assert {t.header.frame_id for t in transforms.values()} == {"base_link"}
    for sensor in (*LIDARS, "ins"):
        expected = BASE @ rigid(EXTRINSICS[sensor])
        np.testing.assert_allclose(transform_of(transforms[sensor].transform), expected, atol=1e-9)
    cameras = {name for name in transforms if name.endswith("_optical_frame")}
    assert cameras == {
        f"{name}_optical_frame"
        for name in ("stereo_centre", "stereo_left", "stereo_right", "mono_left", "mono_right", "mono_rear")
    }
    for camera, forward in {
        "stereo_centre": (1, 0, 0),
        "mono_left": (0, 1, 0),
        "mono_right": (0, -1, 0),
        "mono_rear": (-1, 0, 0),
    }.items():
        axis = transform_of(transforms[f"{camera}_optical_frame"].transform)[:3, 2]
        assert axis @ forward > 0.9  # they look to their side, some of them a little down
    right = transform_of(transforms["stereo_right_optical_frame"].transform)[:3, 3]
    np.testing.assert_allclose(right, [0, -0.239983, 0], atol=1e-9)


def test_images_and_their_camera_are_in_the_optical_frame_that_is_read(
    bag: Path, run: Path, tmp_path: Path
) -> None:
    convert(open_traversal(run, camera="mono_left"), tmp_path / "left", compressed=True)
    for path, topic, frame in (
        (bag, "/camera/image_raw", "stereo_centre_optical_frame"),
        (tmp_path / "left", "/camera/image_raw/compressed", "mono_left_optical_frame"),
    ):
        images = messages(path, topic)
        cameras = messages(path, "/camera/camera_info")
        stamps = [stamp_us(t) * 1000 for t in times(0.5, 0.25)]
        assert [at for at, _ in images] == [at for at, _ in cameras] == stamps
        assert {message.header.frame_id for _, message in (*images, *cameras)} == {frame}


def test_scans_are_as_measured_each_in_its_lidars_frame(bag: Path) -> None:
    scans = messages(bag, "/lidar/points")
    counts: Counter[str] = Counter()
    for at, cloud in scans:
        lidar = cloud.header.frame_id
        counts[lidar] += 1
        seconds = (at // 1000 - stamp_us(0)) / 1e6
        measured = scan_at(lidar, seconds)
        names = [field.name for field in cloud.fields]
        values = np.frombuffer(cloud.data, "<f4").reshape(-1, len(names))
        if lidar == "ldmrs":
            assert names == ["x", "y", "z"]
        else:
            assert names == ["x", "y", "z", "intensity"]
            np.testing.assert_allclose(values[:, 3], measured[:, 2], rtol=1e-6)
            measured[:, 2] = 0.0
        np.testing.assert_allclose(decode_point_cloud(cloud).xyz, measured, atol=1e-5)
    assert counts == dict.fromkeys(LIDARS, 120)


def test_odometry_is_on_its_topic_and_on_tf(bag: Path) -> None:
    steps = messages(bag, "/odom")
    transforms = messages(bag, "/tf")
    assert len(steps) == len(transforms) == 191
    start = times(0.0625)[1]
    for (at, odometry), (_, moved) in zip(steps[1::20], transforms[1::20], strict=True):
        (transform,) = moved.transforms
        seconds = (at // 1000 - stamp_us(0)) / 1e6
        expected = BASE @ np.linalg.inv(vehicle_at(start)) @ vehicle_at(seconds) @ BASE
        assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
        assert (transform.header.frame_id, transform.child_frame_id) == ("odom", "base_link")
        np.testing.assert_allclose(transform_of(odometry.pose.pose), expected, atol=1e-6)
        np.testing.assert_allclose(transform_of(transform.transform), expected, atol=1e-6)
        motion = numbers_of(
            inverse(BASE @ vehicle_at(seconds - 0.0625) @ BASE) @ BASE @ vehicle_at(seconds) @ BASE
        )
        linear, angular = odometry.twist.twist.linear, odometry.twist.twist.angular
        np.testing.assert_allclose([linear.x, linear.y, linear.z], motion[:3] / 0.0625, atol=1e-4)
        np.testing.assert_allclose([angular.x, angular.y, angular.z], motion[3:] / 0.0625, atol=1e-4)


def test_fixes_have_the_receivers_position_and_uncertainty(bag: Path) -> None:
    fixes = messages(bag, "/gps/fix")
    assert [at for at, _ in fixes] == [stamp_us(t) * 1000 for t in times(0.2)]
    for t, (_, fix) in zip(times(0.2), fixes, strict=True):
        assert fix.header.frame_id == "ins"
        place = (fix.latitude, fix.longitude, fix.altitude)
        np.testing.assert_allclose(place, [*latitude_longitude(t), -unit_at(t)[2]], atol=1e-6)
        east, north, up = fix.position_covariance.reshape(3, 3).diagonal()
        np.testing.assert_allclose([east, north, up], [1.2**2, 1.5**2, 3.0**2])


def test_the_ground_truth_is_base_link_in_the_map(bag: Path) -> None:
    poses = messages(bag, "/ground_truth/pose")
    assert [at for at, _ in poses] == [stamp_us(t) * 1000 for t in times(0.1)]
    assert {pose.header.frame_id for _, pose in poses} == {"map"}


def test_messages_are_recorded_in_order_of_time(bag: Path) -> None:
    index = Bag(bag)
    recorded = [message.log_time_ns for message in index.messages(index.topics)]
    assert recorded == sorted(recorded)


def test_of_a_part_only_what_is_around_its_frames_is_written(run: Path, tmp_path: Path) -> None:
    done = convert(open_traversal(run, start=4.0, end=6.0), tmp_path / "bag")
    assert done.frames == 5
    stamps = [at for at, _ in messages(tmp_path / "bag", "/lidar/points")]
    first, last = stamp_us(4.25) * 1000, stamp_us(6.25) * 1000
    assert first - 1e9 <= min(stamps) < first - 0.9e9
    assert last + 0.9e9 < max(stamps) <= last + 1e9


def test_what_is_missing_or_of_no_use_is_left_out_and_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    first = min((run / "ldmrs").iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    (run / "vo" / "vo.csv").write_text("nothing\n")
    lines = (run / "gps" / "gps.csv").read_text().splitlines()
    lines[3] = ",".join("nan" if place == 2 else field for place, field in enumerate(lines[3].split(",")))
    lines[4] = ",".join("0" if place in (2, 3) else field for place, field in enumerate(lines[4].split(",")))
    (run / "gps" / "gps.csv").write_text("\n".join(lines))
    done = convert(open_traversal(run), tmp_path / "bag")
    assert done.others == {"GPS fixes": 58, "poses": 120, "scans": 359}
    assert done.left_out.counts == {
        "scans that cannot be read": 1,
        "tables of odometry that cannot be read": 1,
        "rows of gps.csv without numbers": 1,
        "rows of gps.csv without a position": 1,
    }


def test_a_run_with_nothing_but_one_camera_becomes_a_bag_too(tmp_path: Path) -> None:
    run = write_run(tmp_path, cameras=("stereo/centre",))
    (tmp_path / "rtk" / RUN / "rtk.csv").unlink()
    for name in ("gps", "vo", *LIDARS):
        (run / name).rename(tmp_path / name)
    for lidar in LIDARS:
        (run / f"{lidar}.timestamps").unlink()
    done = convert(open_traversal(run), tmp_path / "bag")
    assert (done.frames, done.others) == (24, {})
    assert [frame.T_map_camera for frame in open_traversal(tmp_path / "bag").frames()] == [None] * 24


def test_the_command_says_what_is_in_the_bag(run: Path, tmp_path: Path) -> None:
    image = min((run / "stereo" / "centre").iterdir())
    content = image.read_bytes()
    image.unlink()
    try:
        result = CliRunner().invoke(app, ["convert", str(run), str(tmp_path / "bag"), "--compressed"])
    finally:
        image.write_bytes(content)
    assert result.exit_code == 0, result.output
    expected = "23 frames, 60 GPS fixes, 191 odometry steps, 120 poses, 360 scans"
    assert f"{tmp_path / 'bag'}: {expected}" in result.output.replace("\n", "")
    assert "Skipped: 1 missing images" in result.output


def test_several_cameras_are_written_side_by_side_and_read_again(run: Path, tmp_path: Path) -> None:
    names = ["stereo/centre", "mono_left"]
    arguments = ["convert", str(run), str(tmp_path / "bag"), "--start", "5", "--end", "6"]
    done = CliRunner().invoke(app, [*arguments, *(f"--camera={name}" for name in names)])
    assert done.exit_code == 0, done.output
    stamps = []
    for name, topic in zip(names, ("/camera/image_raw", "/mono_left/image_raw"), strict=True):
        before = list(open_traversal(run, camera=name, start=5.0, end=6.0).frames())
        after = list(open_traversal(tmp_path / "bag", camera=topic).frames())
        assert len(before) == len(after) == 3
        stamps += [frame.stamp_ns for frame in before]
        for one, again in zip(before, after, strict=True):
            assert (again.stamp_ns, again.camera) == (one.stamp_ns, one.camera)
            np.testing.assert_array_equal(again.image, one.image)
            assert position_error_m(one.T_map_camera, again.T_map_camera) < 1e-3
    topics = ["/camera/image_raw", "/mono_left/image_raw"]
    written = [message.stamp_ns for message in Bag(tmp_path / "bag").messages(topics)]
    assert written == sorted(stamps)
