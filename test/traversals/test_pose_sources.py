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

"""Choice of a bag's poses among topics and transforms, of which only one is the camera's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import START_NS, T_BASE_CAMERA
from room import Room
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import TraversalError, UnclearPoses
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.traversals.messages.optical_frame import T_BODY_OPTICAL
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter
from scene_geo_loc.traversals.sources import SensorSource

IMAGES = 24
PERIOD_NS = 200_000_000
FRAME = "camera_optical_frame"

Extra = Callable[[BagWriter, int], Any]


def stamp(i: float) -> int:
    return START_NS + round(i * PERIOD_NS)


def turned(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])


def base_at(i: float) -> Pose:
    """The vehicle's pose in the map: along the room and to the left."""
    return make_pose(turned(2.0 * i), [-5.0 + 0.12 * i, -0.6 + 0.003 * i * i, -1.0])


def camera_at(i: float) -> Pose:
    return base_at(i) @ T_BASE_CAMERA


def drifting(i: float) -> Pose:
    """The vehicle's pose by odometry, which slips."""
    return make_pose(turned(0.4 * i), [0.02 * i, 0.0, 0.0]) @ base_at(i)


@cache
def room() -> Room:
    return Room(seed=3)


@cache
def view(i: int) -> np.ndarray:
    return room().view(camera_at(i)).image


def walk(
    path: Path,
    extra: Extra,
    *,
    mounting: tuple[str, str] | None = ("base_link", FRAME),
    images: range = range(IMAGES),
    picture: Callable[[int], np.ndarray] = view,
) -> Path:
    """Writes a bag with images and what `extra` writes at each."""
    with BagWriter(path) as bag:
        if mounting is not None:
            bag.static_transforms(stamp(0), {mounting: T_BASE_CAMERA})
        for i in images:
            bag.camera_info("/camera/camera_info", stamp(i), FRAME, room().camera)
            bag.image("/camera/image_raw", stamp(i), FRAME, picture(i))
            extra(bag, i)
    return path


def together(*writers: Extra) -> Extra:
    def write(bag: BagWriter, i: int) -> None:
        for writer in writers:
            writer(bag, i)

    return write


def topic(name: str, pose_at: Callable[[float], Pose] = base_at, frame: str = "map") -> Extra:
    return lambda bag, i: bag.pose(name, stamp(i), frame, pose_at(i))


def odometry(
    name: str,
    pose_at: Callable[[float], Pose] = drifting,
    frame: str = "odom",
    child: str = "base_link",
) -> Extra:
    def write(bag: BagWriter, i: int) -> None:
        none = (0.0, 0.0, 0.0)
        bag.odometry(name, stamp(i), frame, child, pose_at(i), none, none, [0.1] * 6, [0.1] * 6)

    return write


def moving(parent: str, child: str, pose_at: Callable[[float], Pose] = base_at) -> Extra:
    return lambda bag, i: bag.transform(stamp(i), parent, child, pose_at(i))


def sometimes(every: int, writer: Extra) -> Extra:
    return lambda bag, i: writer(bag, i) if i % every == 0 else None


def stepping(i: float) -> Pose:
    """A goal, far ahead, that is another one after some time."""
    return base_at(8 * (i // 8 + 1)) @ make_pose(np.eye(3), [3.0, 1.0, 0.0])


def other_robot(i: float) -> Pose:
    """Another vehicle, which moves by another path."""
    return make_pose(turned(90 - 3.0 * i), [0.1 * i, 2.0 - 0.2 * i, -1.0])


def source(traversal: RosbagTraversal, role: str) -> SensorSource:
    return next(source for source in traversal.sources if source.role == role)


def check(path: Path, name: str, offset: Pose | None = None, **options: Any) -> RosbagTraversal:
    """Checks that the poses are of `name` and right, and returns the traversal."""
    traversal = RosbagTraversal(path, **options)
    assert source(traversal, "poses").name == name
    frames = list(traversal.frames())
    known = [(i, frame.T_map_camera) for i, frame in enumerate(frames) if frame.T_map_camera is not None]
    assert len(known) >= len(frames) - 3
    for i, T_map_camera in known:
        expected = camera_at(i) if offset is None else offset @ camera_at(i)
        np.testing.assert_allclose(T_map_camera, expected, atol=1e-6)
    return traversal


def passed_over(traversal: RosbagTraversal, role: str = "poses") -> dict[str, str]:
    return {other.name: other.reason for other in source(traversal, role).passed_over}


@pytest.mark.parametrize(
    "name",
    [
        "/mavros/setpoint_position/local",
        "/goal_pose",
        "/move_base_simple/goal",
        "/tracker/target",
        "/marker_pose",
        "/dock_pose",
        "/initialpose",
        "/cmd/pose",
    ],
)
def test_a_command_is_not_the_vehicles_pose(tmp_path: Path, name: str) -> None:
    more = together(topic("/local_position/pose"), topic(name, stepping), topic(name, stepping))
    traversal = check(walk(tmp_path / "bag", more), "/local_position/pose")
    assert "its name says" in passed_over(traversal)[name]
    alone = RosbagTraversal(walk(tmp_path / "alone", topic(name, base_at)))
    assert source(alone, "poses").name == ""
    assert name in passed_over(alone)


def test_what_moves_otherwise_than_the_images_is_passed_over(tmp_path: Path) -> None:
    both = together(topic("/pose_a", other_robot), topic("/pose_a", other_robot), topic("/pose_b"))
    traversal = check(walk(tmp_path / "bag", both), "/pose_b")
    assert "contradicts the images" in passed_over(traversal)["/pose_a"]


def test_steps_are_not_a_motion(tmp_path: Path) -> None:
    def goals(bag: BagWriter, i: int) -> None:
        for part in range(10):
            now = i + part / 10
            bag.pose("/planner/pose", stamp(now), "map", stepping(now))

    traversal = RosbagTraversal(walk(tmp_path / "bag", goals))
    assert source(traversal, "poses").name == ""
    assert "steps, not motion" in passed_over(traversal)["/planner/pose"]


def grey(i: int) -> np.ndarray:
    """An image without anything to match."""
    return np.full((120, 160, 3), 100 + i, np.uint8)


def test_in_doubt_the_candidates_are_named(tmp_path: Path) -> None:
    both = together(topic("/pose_a", other_robot), topic("/pose_b"))
    path = walk(tmp_path / "bag", both, picture=grey)
    with pytest.raises(UnclearPoses, match=r"/pose_a and /pose_b may both be .* name the source of poses"):
        RosbagTraversal(path)
    with pytest.raises(UnclearPoses, match="--poses"):
        CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "out")], catch_exceptions=False)
    check(path, "/pose_b", poses="/pose_b")
    assert source(RosbagTraversal(path, poses="none"), "poses").name == ""


def test_where_images_show_nothing_odometry_decides(tmp_path: Path) -> None:
    three = together(topic("/pose_a", other_robot), topic("/pose_b"), odometry("/odom"))
    traversal = check(walk(tmp_path / "bag", three, picture=grey), "/pose_b")
    assert "moves otherwise" in passed_over(traversal)["/pose_a"]


def test_a_complete_chain_of_transforms_beats_sparse_corrections(tmp_path: Path) -> None:
    chain = together(
        moving("map", "odom", lambda i: base_at(i) @ inverse(drifting(i))),
        moving("odom", "base_link", drifting),
        sometimes(3, topic("/amcl_pose", lambda i: base_at(i) @ make_pose(np.eye(3), [0.05, 0, 0]))),
        odometry("/odom"),
    )
    traversal = check(walk(tmp_path / "bag", chain), "TF")
    poses = source(traversal, "poses")
    assert poses.chain == ("map", "odom", "base_link", FRAME)
    assert "sparse: a pose every 0.6 s" in passed_over(traversal)["/amcl_pose"]
    assert "drifts" in passed_over(traversal)["/odom"]
    assert source(traversal, "odometry").name == "/odom"


@pytest.mark.parametrize("root", ["map", "world", "earth", "utm", "robot1/map", "site"])
def test_roots_of_transforms_have_any_name(tmp_path: Path, root: str) -> None:
    prefix = "robot1/" if "/" in root else ""
    chain = together(moving(root, f"{prefix}base_link"), odometry("/odom", child=f"{prefix}base_link"))
    traversal = check(walk(tmp_path / "bag", chain, mounting=(f"{prefix}base_link", FRAME)), "TF")
    assert traversal.map_frame == root


def test_the_map_is_taken_below_the_earth(tmp_path: Path) -> None:
    earth = make_pose(turned(30), [4e6, 5e5, 100.0])

    def chain(bag: BagWriter, i: int) -> None:
        bag.transform(stamp(i), "earth", "map", earth)
        bag.transform(stamp(i), "map", "base_link", base_at(i))

    assert check(walk(tmp_path / "bag", chain), "TF").map_frame == "map"


@pytest.mark.parametrize("base", ["vehicle", "chassis", "imu_link", "robot1/base_link"])
def test_a_base_has_any_name(tmp_path: Path, base: str) -> None:
    traversal = check(walk(tmp_path / "bag", topic("/pose"), mounting=(base, FRAME)), "/pose")
    assert source(traversal, "poses").of_frame == base


def test_a_child_frame_gets_the_prefix_that_it_has_on_tf(tmp_path: Path) -> None:
    writer = odometry("/robot1/odom", base_at)
    path = walk(tmp_path / "bag", writer, mounting=("robot1/base_link", FRAME))
    assert source(check(path, "/robot1/odom"), "poses").of_frame == "robot1/base_link"


def test_the_images_show_whose_pose_a_topic_of_a_camera_has(tmp_path: Path) -> None:
    path = walk(tmp_path / "bag", topic("/slam/camera_pose", camera_at))
    assert source(check(path, "/slam/camera_pose"), "poses").of_frame == FRAME


def test_transforms_show_whose_pose_a_topic_has(tmp_path: Path) -> None:
    lifted = make_pose(np.eye(3), [0.0, 0.0, 0.6])

    def write(bag: BagWriter, i: int) -> None:
        bag.transform(stamp(i), "map", "base_footprint", base_at(i) @ inverse(lifted))
        bag.pose("/truth/pose", stamp(i), "map", base_at(i) @ inverse(lifted))
        if i == 0:
            bag.static_transforms(
                stamp(0), {("base_footprint", "base_link"): lifted, ("base_link", FRAME): T_BASE_CAMERA}
            )

    path = walk(tmp_path / "bag", write, mounting=None)
    assert source(check(path, "/truth/pose"), "poses").of_frame == "base_footprint"


def test_the_pose_frame_can_be_said(tmp_path: Path) -> None:
    path = walk(tmp_path / "bag", topic("/pose", camera_at), picture=grey)
    check(path, "/pose", pose_frame=FRAME)
    with pytest.raises(TraversalError, match="no transform leads from the pose frame elsewhere"):
        RosbagTraversal(path, pose_frame="elsewhere")


def test_odometry_beside_a_truth_says_how_far_it_drifts(tmp_path: Path) -> None:
    traversal = check(
        walk(tmp_path / "bag", together(topic("/ground_truth/pose"), odometry("/odom"))), "/ground_truth/pose"
    )
    assert passed_over(traversal)["/odom"].startswith("drifts: ")
    assert source(traversal, "odometry").name == "/odom"
    named = RosbagTraversal(tmp_path / "bag", poses="/odom")
    assert source(named, "poses").of_frame == "base_link"
    assert source(named, "odometry").name == ""


def test_odometry_alone_is_named_as_such(tmp_path: Path) -> None:
    traversal = RosbagTraversal(walk(tmp_path / "bag", odometry("/odom")))
    assert source(traversal, "poses").name == "/odom"
    assert "drifts" in source(traversal, "poses").reason


def static_chain(bag: BagWriter, i: int) -> None:
    if i == 0:
        edges = {("map", "odom"): np.eye(4), ("odom", "base_link"): np.eye(4)}
        bag.static_transforms(stamp(0), {**edges, ("base_link", FRAME): T_BASE_CAMERA})


def test_transforms_that_never_move_while_the_images_do_are_refused(tmp_path: Path) -> None:
    path = walk(tmp_path / "bag", static_chain, mounting=None)
    with pytest.raises(
        TraversalError, match=f"nothing moves on TF along map -> odom -> base_link -> {FRAME}"
    ):
        RosbagTraversal(path)
    standing = walk(tmp_path / "standing", static_chain, mounting=None, picture=lambda i: view(0))
    np.testing.assert_allclose(next(RosbagTraversal(standing).frames()).T_map_camera, T_BASE_CAMERA)


def test_what_stands_still_beside_what_moves_is_passed_over(tmp_path: Path) -> None:
    both = together(topic("/a/pose", lambda i: base_at(0)), topic("/b/pose"))
    traversal = check(walk(tmp_path / "bag", both), "/b/pose")
    assert passed_over(traversal)["/a/pose"] == "does not move while other sources do"


def test_poses_of_few_images_are_passed_over_for_those_of_all(tmp_path: Path) -> None:
    def early(bag: BagWriter, i: int) -> None:
        if i < 10:
            bag.pose("/a/pose", stamp(i), "map", base_at(i))

    traversal = check(walk(tmp_path / "bag", together(early, topic("/b/pose"))), "/b/pose")
    assert "poses for 42% of the images" in passed_over(traversal)["/a/pose"]


def test_the_lidar_and_the_depth_can_be_named(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (20, 3))

    def write(bag: BagWriter, i: int) -> None:
        bag.pose("/pose", stamp(i), "map", base_at(i))
        for lidar in ("/front/points", "/rear/points")[: 1 + i % 2]:
            bag.points(lidar, stamp(i), "base_link", points, time_offset_s=np.zeros(20))
        for place, metres in (("/a/depth", 1.0), ("/b/depth", 2.0)):
            bag.depth_image(place, stamp(i), FRAME, np.full((120, 160), metres, np.float32))

    path = walk(tmp_path / "bag", write, images=range(6))
    traversal = RosbagTraversal(path)
    assert (source(traversal, "lidar").name, source(traversal, "depth").name) == ("/front/points", "/a/depth")
    assert passed_over(traversal, "lidar") == {"/rear/points": "fewer messages"}
    assert passed_over(traversal, "depth") == {"/b/depth": "later by name"}
    traversal = RosbagTraversal(path, points="/rear/points", depth_topic="/b/depth")
    assert len(list(traversal.scans())) == 3
    assert next(traversal.frames()).depth[5, 5] == 2.0
    with pytest.raises(TraversalError, match=r"no point clouds .* on /up; .*: /front/points, /rear/points"):
        RosbagTraversal(path, points="/up")
    with pytest.raises(TraversalError, match=r"no depth images on /c; .*: /a/depth, /b/depth"):
        RosbagTraversal(path, depth_topic="/c")


def test_poses_in_a_frame_that_moves_with_the_camera_are_of_something_seen(tmp_path: Path) -> None:
    seen = together(topic("/a/pose", lambda i: inverse(camera_at(i)), FRAME), topic("/b/pose"))
    seen = together(seen, topic("/c/pose", other_robot, "base_link"))
    traversal = check(walk(tmp_path / "bag", seen), "/b/pose")
    assert passed_over(traversal)["/a/pose"] == f"poses in {FRAME}, which moves with the camera"
    assert passed_over(traversal)["/c/pose"] == "poses in base_link, which moves with the camera"


def test_the_images_show_that_a_pose_is_of_another_frame_than_its_name_says(tmp_path: Path) -> None:
    assert (
        source(check(walk(tmp_path / "optical", topic("/pose", camera_at)), "/pose"), "poses").of_frame
        == FRAME
    )
    T_base_imu = make_pose(turned(90), [0.1, 0.0, 0.5])

    def imu(bag: BagWriter, i: int) -> None:
        bag.pose("/pose", stamp(i), "map", base_at(i) @ T_base_imu)
        if i == 0:
            bag.static_transforms(
                stamp(0), {("base_link", FRAME): T_BASE_CAMERA, ("base_link", "imu_link"): T_base_imu}
            )

    path = walk(tmp_path / "imu", imu, mounting=None)
    assert source(check(path, "/pose"), "poses").of_frame == "imu_link"


def test_poses_that_the_images_contradict_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rolled = make_pose(turned(90), [0.1, 0.0, 0.5])
    RosbagTraversal(walk(tmp_path / "bag", topic("/pose", lambda i: camera_at(i) @ rolled), mounting=None))
    assert f"the images contradict the poses of {FRAME} on /pose" in caplog.text
    caplog.clear()
    RosbagTraversal(walk(tmp_path / "right", topic("/pose", camera_at), mounting=None))
    assert not caplog.text


def test_a_mounting_may_be_published_again_and_again(tmp_path: Path) -> None:
    repeated = together(topic("/pose"), moving("chassis", FRAME, lambda i: T_BASE_CAMERA))
    traversal = check(walk(tmp_path / "bag", repeated, mounting=None, picture=grey), "/pose")
    assert source(traversal, "poses").of_frame == "chassis"


def test_images_in_a_body_frame_show_the_motion_too(tmp_path: Path) -> None:
    def write(bag: BagWriter, i: int) -> None:
        if i == 0:
            T_base_body = T_BASE_CAMERA @ inverse(T_BODY_OPTICAL)
            bag.static_transforms(stamp(0), {("base_link", "camera_link"): T_base_body})
        bag.camera_info("/front/camera_info", stamp(i), "camera_link", room().camera)
        bag.image("/front/image_raw", stamp(i), "camera_link", view(i))
        bag.pose("/pose_a", stamp(i), "map", other_robot(i))
        bag.pose("/pose_b", stamp(i), "map", base_at(i))

    path = walk(tmp_path / "bag", write, mounting=None)
    traversal = check(path, "/pose_b", camera="/front/image_raw")
    assert source(traversal, "poses").of_frame == "base_link"


@pytest.mark.parametrize("mover", [lambda at: topic("/pose", at), lambda at: moving("map", "base_link", at)])
def test_two_publishers_at_once_are_not_taken(
    tmp_path: Path, mover: Any, caplog: pytest.LogCaptureFixture
) -> None:
    both = together(mover(base_at), mover(lambda i: base_at(i + 30)))
    traversal = RosbagTraversal(walk(tmp_path / "bag", both))
    assert source(traversal, "poses").name == ""
    assert "two different poses at 100% of its times" in caplog.text


def test_a_map_that_is_fixed_to_odometry_drifts_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def chain(bag: BagWriter, i: int) -> None:
        bag.transform(stamp(i), "odom", "base_link", drifting(i))
        if i == 0:
            bag.static_transforms(stamp(0), {("map", "odom"): np.eye(4), ("base_link", FRAME): T_BASE_CAMERA})

    traversal = check(walk(tmp_path / "bag", together(chain, topic("/pose")), mounting=None), "/pose")
    assert passed_over(traversal)["TF from map"].startswith("drifts: ")
    assert not caplog.text
    alone = RosbagTraversal(walk(tmp_path / "alone", chain, mounting=None))
    assert (source(alone, "poses").name, alone.map_frame) == ("TF", "map")
    assert "the poses are of odometry" in caplog.text
