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

"""The lens of a recording's images, by their topics and camera_info messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import CAMERA, START_NS, T_BASE_CAMERA, base_at, picture, stamp, write_drive

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse, make_pose
from scene_geo_loc.geometry.registration import register_depth
from scene_geo_loc.traversals.messages.camera_info import camera_info_fields
from scene_geo_loc.traversals.messages.optical_frame import T_BODY_OPTICAL
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter

pytestmark = pytest.mark.slow

RECTIFIED = Camera(64, 48, 55.0, 55.0, 30.0, 22.0)


def write_info(bag: BagWriter, i: int, topic: str = "/camera/camera_info", **fields: Any) -> None:
    """Writes a camera_info with P of another lens, as image_proc publishes it."""
    p = np.concatenate([RECTIFIED.K, np.zeros((3, 1))], axis=1).reshape(-1)
    bag._write(
        topic,
        stamp(i),
        "sensor_msgs/msg/CameraInfo",
        header=bag._header(stamp(i), "camera_optical_frame"),
        binning_x=0,
        binning_y=0,
        roi=bag._message(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
        **{**camera_info_fields(CAMERA), "p": p, **fields},
    )


def test_the_name_of_the_topic_decides_between_the_raw_and_the_rectified_lens(tmp_path: Path) -> None:
    def both(bag: BagWriter, i: int) -> Any:
        write_info(bag, i)
        bag.image("/camera/image_rect", stamp(i), "camera_optical_frame", picture(i))

    bag = write_drive(tmp_path / "drive", camera=None, extra=both)
    assert next(RosbagTraversal(bag, camera="/camera/image_rect").frames()).camera == RECTIFIED
    assert next(RosbagTraversal(bag, camera="/camera/image_raw").frames()).camera == CAMERA


def test_intrinsics_that_change_while_recording_belong_to_their_images(tmp_path: Path) -> None:
    zoomed = replace(CAMERA, fx=90.0, fy=91.0)

    def zooming(bag: BagWriter, i: int) -> Any:
        bag.camera_info("/camera/camera_info", stamp(i), "camera_optical_frame", zoomed if i >= 6 else CAMERA)

    frames = list(RosbagTraversal(write_drive(tmp_path / "drive", camera=None, extra=zooming)).frames())
    assert [frame.camera for frame in frames] == [CAMERA] * 6 + [zoomed] * 4


def test_numbers_that_are_no_lens_are_refused_with_the_topic(tmp_path: Path) -> None:
    def rubbish(bag: BagWriter, i: int) -> Any:
        write_info(bag, i, k=np.array([772.8, 0, 0, 0, 1.0, 0, 0, 0, 1]))

    with pytest.raises(TraversalError, match=r"/camera/camera_info: K .*fx 772\.8 and fy 1 differ"):
        RosbagTraversal(write_drive(tmp_path / "drive", camera=None, extra=rubbish))


ROS_FILE = """
image_width: 64
image_height: 48
camera_matrix: {data: [70, 0, 33, 0, 70, 22, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {data: [0, 0, 0, 0, 0]}
"""


def test_a_calibration_file_or_another_topic_replaces_the_camera_info(tmp_path: Path) -> None:
    (tmp_path / "front.yaml").write_text(ROS_FILE)
    bag = write_drive(tmp_path / "without", camera=None)
    frame = next(open_traversal(bag, camera_info=str(tmp_path / "front.yaml")).frames())
    assert frame.camera == Camera(64, 48, 70.0, 70.0, 33.0, 22.0)

    def other(bag: BagWriter, i: int) -> Any:
        write_info(bag, i, "/calibrated/camera_info", d=np.zeros(5))

    bag = write_drive(tmp_path / "both", extra=other)
    frame = next(open_traversal(bag, camera_info="/calibrated/camera_info").frames())
    assert frame.camera == replace(CAMERA, model="none", distortion=())
    with pytest.raises(TraversalError, match="/calibrated/camera_info, /camera/camera_info"):
        open_traversal(bag, camera_info="/elsewhere")
    with pytest.raises(TraversalError, match="takes no camera_info"):
        open_traversal(tmp_path, "rgbd", camera_info="/elsewhere")


def test_the_number_of_bits_can_be_given(tmp_path: Path) -> None:
    def grey(bag: BagWriter, i: int) -> Any:
        bag._image("/grey/image_raw", stamp(i), "grey_optical", "mono16", np.full((48, 64), 1000, np.uint16))
        bag.camera_info("/grey/camera_info", stamp(i), "grey_optical", CAMERA)

    bag = write_drive(tmp_path / "drive", extra=grey)
    for bits, expected in ((None, 250), (12, 62), (16, 3)):
        frame = next(open_traversal(bag, camera="/grey/image_raw", bits=bits).frames())
        assert frame.image[0, 0, 0] == expected


MOUNTING = make_pose(np.eye(3), [1.5, 0.1, 1.2])
"""Of a camera's body frame."""


def write_body_drive(path: Path, *, children: dict[str, Any]) -> Path:
    """A drive whose images are in camera_link, a body frame, with further frames on it."""

    def link(bag: BagWriter, i: int) -> Any:
        if i == 0:
            transforms = {("camera_link", child): T for child, T in children.items()}
            bag.static_transforms(START_NS, {("base_link", "camera_link"): MOUNTING, **transforms})
        bag.camera_info("/camera/camera_info", stamp(i), "camera_link", CAMERA)
        bag.image("/camera/color/image_raw", stamp(i), "camera_link", picture(i))

    return write_drive(path, images=range(10), camera=None, extra=link, static=False)


def test_images_in_a_body_frame_have_the_pose_of_its_optical_child(tmp_path: Path) -> None:
    aside = make_pose(np.eye(3), [0.0, 0.05, 0.0]) @ T_BODY_OPTICAL
    children = {
        "camera_imu_optical": make_pose(np.eye(3), [0.0, 0.0, 0.0]),
        "camera_depth_optical_frame": T_BODY_OPTICAL,
        "camera_color_optical_frame": aside,
    }
    bag = write_body_drive(tmp_path / "drive", children=children)
    frame = next(open_traversal(bag, camera="/camera/color/image_raw").frames())
    np.testing.assert_allclose(frame.T_map_camera, base_at(0) @ MOUNTING @ aside, atol=1e-9)


def test_the_axes_of_the_images_frame_can_be_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bag = write_body_drive(tmp_path / "drive", children={})
    expected = {None: MOUNTING, "optical": MOUNTING, "body": MOUNTING @ T_BODY_OPTICAL}
    for axes, T_base_camera in expected.items():
        caplog.clear()
        frame = next(open_traversal(bag, camera="/camera/color/image_raw", image_frame=axes).frames())
        np.testing.assert_allclose(frame.T_map_camera, base_at(0) @ T_base_camera, atol=1e-9)
        assert ("camera_link, whose z axis points up" in caplog.text) == (axes is None)
    with pytest.raises(TraversalError, match="optical or body, not 'sideways'"):
        open_traversal(bag, image_frame="sideways")


DEPTH_CAMERA = Camera(32, 24, 28.0, 28.0, 15.5, 11.5)
T_COLOR_DEPTH = make_pose(np.eye(3), [-0.05, 0.0, 0.0])


def depth_of_scene() -> np.ndarray:
    depth = np.full((24, 32), 4.0, np.float32)
    depth[8:16, 8:20] = 2.0
    return depth


def write_depth_drive(path: Path, *, mounted: bool = True, info: bool = True) -> Path:
    """A drive with depth of a camera of its own beside the colour camera."""

    def depth(bag: BagWriter, i: int) -> Any:
        if i == 0 and mounted:
            mount = {("camera_optical_frame", "depth_optical_frame"): T_COLOR_DEPTH}
            bag.static_transforms(START_NS, {("base_link", "camera_optical_frame"): T_BASE_CAMERA, **mount})
        if info:
            bag.camera_info("/depth/camera_info", stamp(i), "depth_optical_frame", DEPTH_CAMERA)
        bag.depth_image("/depth/image_rect_raw", stamp(i), "depth_optical_frame", depth_of_scene())

    return write_drive(path, images=range(3), static=False, extra=depth)


def test_depth_of_another_camera_is_registered_by_the_mounting_of_both(tmp_path: Path) -> None:
    depth = next(RosbagTraversal(write_depth_drive(tmp_path / "drive")).frames()).depth
    assert depth is not None
    fine: np.ndarray = np.repeat(np.repeat(depth_of_scene(), 3, axis=0), 3, axis=1)
    expected = register_depth(fine, DEPTH_CAMERA.resized(96, 72), CAMERA, inverse(T_COLOR_DEPTH))
    np.testing.assert_array_equal(depth, expected)
    # The near part is seen 0.05 m / 2 m further left than an infinitely far one: by 1.5 pixels of 60.
    assert depth[23, 25] == 2.0
    assert np.isfinite(depth).mean() > 0.8


@pytest.mark.parametrize(
    ("lacking", "words"),
    [({"mounted": False}, "no static transform leads"), ({"info": False}, "no camera_info beside them")],
)
def test_depth_that_cannot_be_registered_is_named_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lacking: dict[str, bool], words: str
) -> None:
    bag = write_depth_drive(tmp_path / "drive", **lacking)
    frame = next(RosbagTraversal(bag).frames())
    assert frame.depth is None
    assert "/depth/image_rect_raw" in caplog.text
    assert words in caplog.text
    with pytest.raises(TraversalError, match=words):
        RosbagTraversal(bag, depth_topic="/depth/image_rect_raw")


def test_depth_of_half_the_size_in_the_same_frame_is_enlarged(tmp_path: Path) -> None:
    def half(bag: BagWriter, i: int) -> Any:
        bag.depth_image("/camera/depth/image_raw", stamp(i), "camera_optical_frame", depth_of_scene())

    depth = next(RosbagTraversal(write_drive(tmp_path / "drive", images=range(3), extra=half)).frames()).depth
    assert depth is not None
    assert depth[24, 30] == 2.0
    assert np.isfinite(depth).mean() > 0.95


@pytest.mark.parametrize("frame", ["camera_link", "camera"])
def test_real_images_show_by_their_motion_whether_x_is_forward(
    tmp_path: Path, data_dir: Path, frame: str, caplog: pytest.LogCaptureFixture
) -> None:
    walk = list(open_traversal(data_dir / "rgbd_hololens", every=2).frames())
    T_frame_camera = T_BODY_OPTICAL if frame == "camera_link" else np.eye(4)
    with BagWriter(tmp_path / "walk") as bag:
        for step in walk:
            assert step.T_map_camera is not None
            bag.camera_info("/camera/camera_info", step.stamp_ns, frame, step.camera)
            bag.image("/camera/image_raw", step.stamp_ns, frame, step.image)
            bag.pose("/camera/pose", step.stamp_ns, "map", step.T_map_camera @ inverse(T_frame_camera))
    for step, read in zip(walk, open_traversal(tmp_path / "walk").frames(), strict=True):
        np.testing.assert_allclose(read.T_map_camera, step.T_map_camera, atol=1e-6)
    assert ("as if its x axis were forward" in caplog.text) == (frame == "camera_link")
