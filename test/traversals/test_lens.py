"""The lens of a recording's images, by their topics and camera_info messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import CAMERA, picture, stamp, write_drive

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.messages.camera_info import camera_info_fields
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
