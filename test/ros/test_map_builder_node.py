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

"""map_builder_node over DDS."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.mapping.builder import BuildProgress
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.ros.common.counters import BadReason, Event
from scene_geo_loc.ros.common.messages import (
    image_message,
    ns_to_stamp,
    pose_stamped,
    pose_to_message,
    transform_message,
)
from scene_geo_loc.ros.map_builder.node import MapBuilderNode
from scene_geo_loc.traversals.messages.optical_frame import T_BODY_OPTICAL
from scene_geo_loc.traversals.rosbag.bag import Bag
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow

SECOND = 10**9
START = 1_700_000_000 * SECOND
OPTICAL = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
T_BASE_CAMERA = make_pose(OPTICAL, (0.5, 0.0, 1.0))


def T_map_base(stamp_ns: int) -> np.ndarray:
    """Straight ahead at 2 m/s."""
    return make_pose(np.eye(3), (2.0 * (stamp_ns - START) / SECOND, 0.0, 0.0))


def turning(stamp_ns: int) -> np.ndarray:
    """Ahead at 10 m/s in a turn of 1 rad/s."""
    seconds = (stamp_ns - START) / SECOND
    return make_pose(Rotation.from_euler("z", seconds).as_matrix(), (10.0 * seconds, 5.0 * seconds**2, 0.0))


class FakeBuilder:
    """Keeps what it is given."""

    resumed_keyframes = 0

    def __init__(self) -> None:
        self.sources: list[Any] = []
        self.frames: list[Any] = []
        self.scans: list[Any] = []
        self.order: list[int] = []
        self.progress = BuildProgress()
        self.finished = False
        self.standing = self.is_dense = self.started_over = False

    def pass_over(self, stamp_ns: int, T_map_camera: np.ndarray) -> bool:
        return self.standing

    def add_frame(self, frame: Any) -> None:
        self.frames.append(frame)
        self.order.append(frame.stamp_ns)
        self.progress.frames = self.progress.keyframes = len(self.frames)

    def pass_over_scan(self) -> bool:
        return self.is_dense

    def add_scan(self, scan: Any) -> None:
        self.scans.append(scan)
        self.order.append(scan.stamp_ns)

    def start_over(self) -> None:
        self.started_over = True

    def finish(self) -> Path:
        if not self.frames:
            raise MapError("No map was built: there is nothing.")
        self.finished = True
        return Path("the/map")

    def abandon(self) -> None:
        pass


class Drive:
    """A drive with a map_builder_node on board."""

    def __init__(self, world: Any, picture: np.ndarray, builder: Any = None, **parameters: Any) -> None:
        self.world, self.picture = world, picture
        self.builder = FakeBuilder() if builder is None else builder
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = MapBuilderNode(lambda *_: self.builder, parameter_overrides=overrides)  # type: ignore[arg-type]
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        world.spin(self.node)
        self.diagnostics = world.listen(DiagnosticArray, "/diagnostics")
        mounting = transform_message(0, "base_link", "camera_optical_frame", T_BASE_CAMERA)
        lidar = transform_message(0, "base_link", "lidar_link", np.eye(4))
        world.publish("/tf_static", TFMessage(transforms=[mounting, lidar]), latched=True)
        self.get_ready()

    def get_ready(self) -> None:
        """Waits until the node listens, and sends the intrinsics."""
        info = CameraInfo(width=64, height=48)
        info.k = np.array([50.0, 0, 32, 0, 50, 24, 0, 0, 1])

        def listens() -> bool:
            self.world.publish("camera/camera_info", info)
            probe = transform_message(START, "here", "there", np.eye(4))
            self.world.publish("/tf", TFMessage(transforms=[probe]))
            knows = self.node._input._tree.knows
            informed = self.node._input.camera.has_camera_info
            return informed and knows("there") and knows("camera_optical_frame")

        self.world.wait(listens, "the node to listen")

    def image(self, stamp_ns: int) -> None:
        count = self.node.counters.totals()[Event.RECEIVED]
        self.world.publish("camera/image_raw", image_message(stamp_ns, "camera_optical_frame", self.picture))
        self.world.wait(lambda: self.node.counters.totals()[Event.RECEIVED] > count, "the image to arrive")

    def transform(self, stamp_ns: int) -> None:
        moved = transform_message(stamp_ns, "map", "base_link", T_map_base(stamp_ns))
        self.world.publish("/tf", TFMessage(transforms=[moved]))
        tree = self.node._input._tree
        stamps = np.array([stamp_ns])
        self.world.wait(lambda: tree.lookup_many("map", "base_link", stamps)[1][0], "the pose to arrive")

    def save(self) -> Any:
        return self.world.call(Trigger, "map_builder_node/save", Trigger.Request())

    def diagnosed(self, text: str) -> Any:
        def find() -> Any:
            return next((m.status[0] for m in self.diagnostics if text in m.status[0].message), None)

        return self.world.wait(find, f"a diagnosis with {text!r}")


def test_a_map_keeps_what_it_was_built_from_and_what_else_there_was(world: Any, picture: np.ndarray) -> None:
    world.node.create_publisher(Odometry, "wheel_odom", 1)
    world.node.create_publisher(Image, "rear/image_raw", 1)
    drive = Drive(world, picture, points_topic="points")
    world.wait(lambda: drive.node.count_publishers("/rear/image_raw"), "the other camera")
    for i in range(3):
        drive.transform(START + i * SECOND)
        drive.image(START + i * SECOND)
    world.wait(lambda: drive.builder.frames, "a frame")
    assert drive.save().success
    images, camera, poses, depth, lidar = drive.builder.sources
    assert (images.role, images.name, images.messages) == ("images", "/camera/image_raw", 3)
    assert (images.kind, images.frame) == ("sensor_msgs/msg/Image, rgb8", "camera_optical_frame")
    assert "image_topic" in images.reason
    assert [other.name for other in images.passed_over] == ["/rear/image_raw"]
    assert camera.name == "/camera/camera_info"
    assert camera.messages > 0
    assert (poses.name, poses.messages) == ("TF", 3)
    assert poses.chain == ("map", "base_link", "camera_optical_frame")
    assert [other.name for other in poses.passed_over] == ["/wheel_odom"]
    assert (depth.role, depth.name) == ("depth", "")
    assert (lidar.name, lidar.messages) == ("/points", 0)


def test_images_get_the_pose_of_their_stamp_between_the_transforms_around_it(
    world: Any, picture: np.ndarray
) -> None:
    drive = Drive(world, picture)
    drive.transform(START)
    drive.image(START + SECOND // 4)
    drive.transform(START + SECOND // 2)
    drive.image(START + SECOND // 2)
    frame = world.wait(lambda: drive.builder.frames, "a frame")[0]
    assert frame.stamp_ns == START + SECOND // 4
    np.testing.assert_allclose(frame.T_map_camera, T_map_base(frame.stamp_ns) @ T_BASE_CAMERA, atol=1e-9)
    np.testing.assert_array_equal(frame.image, picture)


@pytest.mark.parametrize("source", ["odometry", "pose"])
def test_poses_can_come_from_a_topic_and_then_tf_does_not_count(
    world: Any, picture: np.ndarray, source: str
) -> None:
    drive = Drive(world, picture, pose_source=source, pose_topic="truth")
    for stamp_ns in (START, START + SECOND // 2):
        message = pose_stamped(stamp_ns, "somewhere", T_map_base(stamp_ns))
        if source == "odometry":
            message = Odometry(header=message.header)
            message.pose.pose = pose_to_message(T_map_base(stamp_ns))
        world.publish("truth", message)
        elsewhere = transform_message(stamp_ns, "odom", "base_link", np.eye(4))
        world.publish("/tf", TFMessage(transforms=[elsewhere]))
    drive.image(START + SECOND // 4)
    drive.image(START + SECOND // 2)
    frame = world.wait(lambda: drive.builder.frames, "a frame")[0]
    np.testing.assert_allclose(frame.T_map_camera, T_map_base(frame.stamp_ns) @ T_BASE_CAMERA, atol=1e-9)


def test_the_points_of_a_sweep_are_taken_to_the_map_each_at_its_own_time(
    world: Any, picture: np.ndarray
) -> None:
    drive = Drive(world, picture, scan_topic="scan")
    for tenths in range(6):
        drive.transform(START + tenths * SECOND // 10)
    scan = LaserScan(angle_min=0.0, angle_increment=0.0, time_increment=0.1, range_min=0.1, range_max=50.0)
    scan.header.frame_id, scan.header.stamp = "lidar_link", ns_to_stamp(START)
    scan.ranges = [10.0, 10.0, float("nan"), 10.0]
    world.publish("scan", scan)
    drive.image(START + 4 * SECOND // 10)
    points = world.wait(lambda: drive.builder.scans, "a scan")[0].points_map
    np.testing.assert_allclose(points[:, 0], [10.0, 10.2, 10.6], atol=1e-6)


def test_a_scan_that_the_builder_passes_over_is_not_given_to_it(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, scan_topic="scan")
    drive.builder.is_dense = True
    for tenths in range(6):
        drive.transform(START + tenths * SECOND // 10)
    scan = LaserScan(range_min=0.1, range_max=50.0, ranges=[10.0])
    scan.header.frame_id, scan.header.stamp = "lidar_link", ns_to_stamp(START)
    world.publish("scan", scan)
    world.wait(lambda: drive.node.counters.totals()[Event.SCAN_RECEIVED], "the scan to arrive")
    drive.image(START + 4 * SECOND // 10)
    world.wait(lambda: drive.builder.frames, "a frame")
    assert drive.builder.scans == []


def test_a_live_scan_gives_the_same_points_as_a_recorded_one(
    world: Any, picture: np.ndarray, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    camera = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)
    with BagWriter(tmp_path / "drive") as bag:
        sensors = {"camera_optical_frame": T_BASE_CAMERA, "lidar_link": np.eye(4)}
        bag.static_transforms(START, {("base_link", frame): T for frame, T in sensors.items()})
        for tenths in range(6):
            stamp_ns = START + tenths * SECOND // 10
            bag.transform(stamp_ns, "map", "base_link", turning(stamp_ns))
            bag.camera_info("/camera/camera_info", stamp_ns, "camera_optical_frame", camera)
            bag.image("/camera/image_raw", stamp_ns, "camera_optical_frame", picture)
            seconds = rng.uniform(-0.05, 0.05, 200)
            points = rng.uniform(-50, 50, (200, 3))
            bag.points("/lidar/points", stamp_ns, "lidar_link", points, time_offset_s=seconds)
    recorded = list(RosbagTraversal(tmp_path / "drive").scans())
    drive = Drive(world, picture, points_topic="lidar/points", pose_timeout=0.3)
    for message in Bag(tmp_path / "drive").messages(["/tf"]):
        world.publish("/tf", deserialize_message(message.raw, TFMessage))
    tree = drive.node._input._tree
    last = np.array([START + SECOND // 2])
    world.wait(lambda: tree.lookup_many("map", "base_link", last)[1][0], "the poses to arrive")
    for message in Bag(tmp_path / "drive").messages(["/lidar/points"]):
        world.publish("lidar/points", deserialize_message(message.raw, PointCloud2))
    drive.image(START + SECOND // 2)
    live = world.wait(lambda: len(drive.builder.scans) == len(recorded) and drive.builder.scans, "the scans")
    # The first and the last sweep begin before and end after the poses.
    assert len(recorded[0].points_map) < 200
    assert len(recorded[-1].points_map) < 200
    for ours, theirs in zip(live, recorded, strict=True):
        assert ours.stamp_ns == theirs.stamp_ns
        np.testing.assert_array_equal(ours.points_map, theirs.points_map)


def test_images_and_scans_reach_the_builder_in_order_of_time(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, scan_topic="scan")
    for tenths in range(9):
        drive.transform(START + tenths * SECOND // 10)
    drive.image(START + SECOND // 10)
    scan = LaserScan(range_min=0.1, range_max=50.0, ranges=[10.0])
    scan.header.frame_id, scan.header.stamp = "lidar_link", ns_to_stamp(START)
    world.publish("scan", scan)
    drive.image(START + 8 * SECOND // 10)
    world.wait(lambda: len(drive.builder.order) == 3, "two images and a scan")
    assert drive.builder.order == sorted(drive.builder.order)


def test_a_build_that_is_continued_takes_frames_of_an_earlier_time(context: None) -> None:
    builder = FakeBuilder()
    builder.resumed_keyframes = 5
    node = MapBuilderNode(lambda *_: builder)  # type: ignore[arg-type,return-value]
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert builder.started_over
    node.destroy_node()


def test_stamps_that_jump_back_start_the_builder_over(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture)
    drive.transform(START + 5 * SECOND)
    drive.image(START + 5 * SECOND)
    world.wait(lambda: drive.builder.frames, "a frame")
    assert not drive.builder.started_over
    drive.image(START)
    world.wait(lambda: drive.builder.started_over, "the builder to start over")


@pytest.mark.parametrize(("axes", "child"), [("auto", True), ("body", False), ("auto", False)])
def test_images_in_a_body_frame_have_the_pose_of_the_optical_one(
    world: Any, picture: np.ndarray, axes: str, child: bool
) -> None:
    drive = Drive(world, picture, image_frame=axes)
    frames = {("base_link", "camera_link"): np.eye(4)}
    if child:
        frames["camera_link", "camera_link_optical"] = T_BODY_OPTICAL
    transforms = [transform_message(0, *names, T) for names, T in frames.items()]
    world.publish("/tf_static", TFMessage(transforms=transforms), latched=True)
    tree = drive.node._input._tree
    world.wait(lambda: all(tree.connects("base_link", frame) for _, frame in frames), "the frames")
    drive.transform(START)
    world.publish("camera/image_raw", image_message(START, "camera_link", picture))
    frame = world.wait(lambda: drive.builder.frames, "a frame")[0]
    expected = T_map_base(START) @ (T_BODY_OPTICAL if child or axes == "body" else np.eye(4))
    np.testing.assert_allclose(frame.T_map_camera, expected, atol=1e-9)


def test_depth_of_another_camera_is_registered_by_its_mounting(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, depth_topic="depth/image_raw")
    mounting = transform_message(
        0, "camera_optical_frame", "depth_optical", make_pose(np.eye(3), [0.5, 0, 0])
    )
    world.publish("/tf_static", TFMessage(transforms=[mounting]), latched=True)
    info = CameraInfo(width=64, height=48)
    info.k = np.array([50.0, 0, 32, 0, 50, 24, 0, 0, 1])

    def is_known() -> bool:
        world.publish("depth/camera_info", info)
        return drive.node._input._tree.knows("depth_optical") and len(drive.node._input._depths._infos) > 0

    world.wait(is_known, "the depth camera")
    drive.transform(START)
    millimetres = np.full((48, 64), 2500, np.uint16)
    depth = Image(height=48, width=64, encoding="16UC1", step=128, data=millimetres.tobytes())
    depth.header.stamp, depth.header.frame_id = ns_to_stamp(START), "depth_optical"
    world.publish("depth/image_raw", depth)
    drive.image(START)
    frame = world.wait(lambda: drive.builder.frames, "a frame")[0]
    # The depth camera is 0.5 m to the right: 10 pixels at 2.5 m.
    assert np.isnan(frame.depth[:, :10]).all()
    np.testing.assert_allclose(frame.depth[:, 10:], 2.5)


def test_a_depth_image_goes_with_the_image_of_its_stamp(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, depth_topic="depth")
    drive.transform(START)
    drive.transform(START + SECOND // 2)
    drive.image(START)
    millimetres = np.full((48, 64), 2500, np.uint16)
    depth = Image(height=48, width=64, encoding="16UC1", step=128, data=millimetres.tobytes())
    depth.header.stamp = ns_to_stamp(START)
    world.publish("depth", depth)
    drive.image(START + SECOND // 2)
    frame = world.wait(lambda: drive.builder.frames, "a frame")[0]
    np.testing.assert_allclose(frame.depth, 2.5)


def test_images_without_a_pose_are_left_out_and_diagnostics_say_what_was_missing(
    world: Any, picture: np.ndarray
) -> None:
    drive = Drive(world, picture, pose_timeout=0.2)
    drive.image(START)
    assert (
        "No transform from map to camera_optical_frame on TF"
        in drive.diagnosed("nobody publishes map").message
    )
    assert drive.builder.frames == []
    assert drive.node.counters.totals()[BadReason.IMAGE_TIMED_OUT] == 1


def test_bad_images_and_scans_are_counted_and_the_build_goes_on(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture, scan_topic="scan")
    world.publish("scan", LaserScan(range_max=50.0, ranges=[float("nan")] * 3))
    truncated = image_message(START, "camera_optical_frame", picture)
    truncated.data = truncated.data[:10]
    world.publish("camera/image_raw", truncated)
    world.wait(lambda: drive.node.counters.totals()[Event.RECEIVED] == 1, "the image to arrive")
    for halves in range(3):
        drive.transform(START + halves * SECOND // 2)
    drive.image(START + SECOND // 2)
    drive.image(START + SECOND)
    world.wait(lambda: drive.builder.frames, "a frame")
    assert drive.node.counters.totals()[BadReason.UNDECODABLE_IMAGE] == 1
    assert drive.node.counters.totals()[BadReason.EMPTY_SCAN] == 1


def test_images_that_will_be_no_keyframe_are_not_decoded(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture)
    drive.builder.standing = True
    drive.transform(START)
    drive.transform(START + SECOND)
    truncated = image_message(START, "camera_optical_frame", picture)
    truncated.data = truncated.data[:10]
    world.publish("camera/image_raw", truncated)
    world.wait(lambda: drive.node.counters.totals()[Event.RECEIVED] == 1, "the image to arrive")
    drive.image(START + SECOND)
    world.wait(lambda: drive.node._input.size == picture.nbytes, "the first image to be passed over")
    assert drive.node.counters.totals()[BadReason.UNDECODABLE_IMAGE] == 0


def test_images_for_which_there_is_no_memory_are_counted_and_told(world: Any, picture: np.ndarray) -> None:
    large = np.tile(picture, (8, 8, 1))
    drive = Drive(world, large, backlog=1)
    drive.image(START)
    assert "1 messages dropped" in drive.diagnosed("too slow").message
    assert drive.node._input.size == 0


def test_saving_takes_in_what_waits_and_ends_the_build(world: Any, picture: np.ndarray) -> None:
    drive = Drive(world, picture)
    assert "No map was built" in drive.save().message
    drive.get_ready()
    drive.transform(START)
    drive.image(START)
    answer = drive.save()
    assert (answer.success, answer.message) == (True, "the/map: 1 keyframes.")
    assert drive.builder.finished
    assert not drive.save().success
    assert drive.diagnosed("Saved as the/map.").level == b"\x00"


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Ten images along a street, one a metre, with poses on TF."""
    rng = np.random.default_rng(0)
    camera = Camera(128, 96, 100.0, 100.0, 64.0, 48.0)
    with BagWriter(tmp_path / "street") as bag:
        bag.static_transforms(START, {("base_link", "camera_optical_frame"): T_BASE_CAMERA})
        for i in range(10):
            stamp_ns = START + i * SECOND // 2
            bag.transform(stamp_ns, "map", "base_link", T_map_base(stamp_ns))
            bag.camera_info("/camera/camera_info", stamp_ns, "camera_optical_frame", camera)
            image = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
            bag.image("/camera/image_raw", stamp_ns, "camera_optical_frame", image)
            depth = np.full((96, 128), 10.0, np.float32)
            bag.depth_image("/camera/depth/image_raw", stamp_ns, "camera_optical_frame", depth)
    return tmp_path / "street"


def test_a_map_is_built_from_a_recording_at_once(context: None, street: Path, tmp_path: Path) -> None:
    code = "from scene_geo_loc.ros.map_builder.node import main; raise SystemExit(main())"
    words = ["--ros-args", "-p", f"bag:={street}", "-p", f"out:={tmp_path / 'map'}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    reference_map = ReferenceMap.open(tmp_path / "map")
    assert len(reference_map) == 10
    assert reference_map.map_frame == "map"
    taken = {source.role: source.name for source in reference_map.info.sources}
    assert (taken["images"], taken["poses"]) == ("/camera/image_raw", "TF")


def test_ctrl_c_ends_the_node_with_exit_code_zero_even_twice(context: None, tmp_path: Path) -> None:
    code = "from scene_geo_loc.ros.map_builder.node import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", "-p", f"out:={tmp_path / 'map'}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "call ~/save" in said
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said
