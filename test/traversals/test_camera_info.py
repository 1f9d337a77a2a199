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

"""Cameras from camera_info messages."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.messages.camera_info import (
    CameraInfoSeries,
    Intrinsics,
    WrongImageSize,
    camera_info_beside,
    camera_of,
    intrinsics_of,
    is_rectified,
)


def info(
    model: str = "plumb_bob",
    d: tuple[float, ...] = (-0.3, 0.1, 0.0, 0.0, 0.0),
    k: tuple[float, ...] = (500, 0, 320, 0, 510, 240, 0, 0, 1),
    **more: Any,
) -> Any:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    values = {"width": 640, "height": 480, "binning_x": 0, "binning_y": 0, "roi": roi, **more}
    return SimpleNamespace(distortion_model=model, d=d, k=k, **values)


P = (480, 0, 330, 0, 0, 480, 250, 0, 0, 0, 1, 0)
"""Projection matrix of the rectified image."""


@pytest.mark.parametrize(
    ("model", "d", "expected"),
    [
        ("plumb_bob", (-0.3, 0.1, 0, 0, 0), "plumb_bob"),
        ("plumb_bob", (0, 0, 0, 0, 0), "none"),
        ("plumb_bob", (), "none"),
        ("", (), "none"),
        ("rational_polynomial", (0.1,) * 8, "rational_polynomial"),
        ("equidistant", (0.1, 0.2, 0.3, 0.4), "equidistant"),
        ("fisheye", (), "equidistant"),
        ("plumb_bob", (0.1,) * 8, "rational_polynomial"),
        ("rational_polynomial", (0.1,) * 5, "plumb_bob"),
        ("radtan", (0.1,) * 4, "plumb_bob"),
    ],
)
def test_the_distortion_models_of_ros_are_understood(model: str, d: Any, expected: str) -> None:
    camera = camera_of(info(model, d))
    assert camera.model == expected
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500, 510, 320, 240)


def test_ros_1_names_its_fields_in_capitals() -> None:
    message = info()
    message.K, message.D = message.k, message.d
    del message.k, message.d
    assert camera_of(message) == camera_of(info())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (info(k=(0,) * 9), "K = 0"),
        (info("polynomial", (1, 2)), "'polynomial'"),
        (info("plumb_bob", (1, 2, 3)), "coefficients"),
        (info("", (1, 2, 3)), "no distortion model"),
        (info(width=0), "size .*must be positive"),
        (info(k=(500, 0, 320, 0, 1, 240, 0, 0, 1)), "fx 500 and fy 1 differ by a factor 500 > 2"),
        (info(k=(500, 0, 640, 0, 510, 480, 0, 0, 1)), "cx 640 is not within 32 to 608 pixels"),
        (info(k=(500, 0, 0, 0, 510, 0, 0, 0, 1)), "cx 0 is not within"),
        (info(k=(5, 0, 320, 0, 5, 240, 0, 0, 1)), "fx 5 is not within 32 to 64000 pixels"),
        (info(k=(-500, 0, 320, 0, 510, 240, 0, 0, 1)), "must be positive"),
        (info(k=(500, 0, 320, 0, 510, 240, 0, 0, 2.5e-323)), "no intrinsic matrix"),
        (info(k=(float("nan"), 0, 320, 0, 510, 240, 0, 0, 1)), "not finite"),
        (info(k=(0,) * 9, p=P), "K = 0 and distortion"),
    ],
)
def test_a_camera_that_is_not_calibrated_or_unknown_is_refused(message: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        camera_of(message)


def test_binning_and_a_region_of_interest_are_taken_into_account() -> None:
    roi = SimpleNamespace(x_offset=20, y_offset=40, width=400, height=200)
    camera = camera_of(info(d=(), roi=roi, binning_x=2, binning_y=2))
    assert camera == Camera(200, 100, 250.0, 255.0, (300 + 0.5) / 2 - 0.5, (200 + 0.5) / 2 - 0.5)


def test_rectified_images_have_the_lens_of_p_without_distortion() -> None:
    message = info(p=P)
    assert camera_of(message, rectified=True) == Camera(640, 480, 480.0, 480.0, 330.0, 250.0)
    assert camera_of(message) == camera_of(info())
    no_p = info(p=(0.0,) * 12)
    with pytest.raises(ValueError, match="P = 0"):
        camera_of(no_p, rectified=True)
    assert camera_of(info(d=(), p=(0.0,) * 12), rectified=True) == camera_of(info(d=()))


def test_p_is_taken_where_k_is_zero_and_nothing_is_distorted() -> None:
    message = info("rational_polynomial", (0.0,) * 8, k=(0.0,) * 9, p=P)
    assert camera_of(message) == Camera(640, 480, 480.0, 480.0, 330.0, 250.0)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/camera/image_rect", True),
        ("/camera/image_rect_color/compressed", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/zed/rgb/color/rect/image", True),
        ("/CAM_FRONT/image_rect_compressed", True),
        ("/cam/image_undistorted", True),
        ("/camera/image_raw", False),
        ("/rect_pair/left/image_raw", False),
        ("/zed/rgb/color/raw/image", False),
        ("/camera/direct/image", False),
        ("/camera/image_unrectified", False),
    ],
)
def test_names_of_topics_tell_rectified_images(topic: str, expected: bool) -> None:
    assert is_rectified(topic) is expected


def test_the_size_of_the_images_decides_where_drivers_apply_binning_or_the_region_themselves() -> None:
    binned = intrinsics_of(info(d=(), binning_x=2, binning_y=2))
    assert binned.camera(size=(320, 240)).fx == 250.0
    assert binned.camera(size=(640, 480)) == camera_of(info(d=()))
    roi = SimpleNamespace(x_offset=20, y_offset=40, width=400, height=200)
    part = intrinsics_of(info(d=(), roi=roi))
    assert part.camera(size=(400, 200)) == Camera(400, 200, 500.0, 510.0, 300.0, 200.0)
    assert part.camera(size=(640, 480)) == camera_of(info(d=()))
    with pytest.raises(WrongImageSize, match=r"480 x 640 pixels, camera_info 640 x 480 \(turned"):
        intrinsics_of(info()).camera(size=(480, 640))
    unknown = intrinsics_of(info(d=(), width=0, height=0))
    assert unknown.camera(size=(640, 480)) == camera_of(info(d=()))


def test_a_principal_point_of_another_image_size_is_doubted() -> None:
    assert intrinsics_of(info()).doubt() == ""
    assert "(160.0, 120.0)" in intrinsics_of(info(k=(250, 0, 160, 0, 255, 120, 0, 0, 1))).doubt()


def test_each_image_has_the_intrinsics_of_its_time() -> None:
    wide = intrinsics_of(info(d=()))
    zoomed = replace(wide, k=(900, 0, 320, 0, 918, 240, 0, 0, 1))
    series = CameraInfoSeries()
    for stamp, lens in ((0, wide), (100, wide), (200, zoomed), (300, zoomed), (400, wide)):
        series.add(stamp, lens)
    series.repeat(500)
    focal = [series.camera_at(stamp).fx for stamp in (-50, 100, 149, 151, 300, 420, 900)]
    assert focal == [500, 500, 500, 900, 900, 500, 500]
    assert len(series.distinct) == 2


def test_messages_from_before_the_calibration_was_read_are_passed_over() -> None:
    series = CameraInfoSeries()
    series.add(0, intrinsics_of(info(d=(), k=(0,) * 9)))
    with pytest.raises(ValueError, match="K = 0"):
        series.camera_at(0)
    series.add(100, intrinsics_of(info(d=())))
    assert series.camera_at(0) == camera_of(info(d=()))


def test_a_running_camera_has_the_message_of_the_image_else_the_latest() -> None:
    def lens(focal: float) -> Intrinsics:
        return intrinsics_of(info(d=(), k=(focal, 0, 320, 0, focal, 240, 0, 0, 1)))

    series = CameraInfoSeries(keep=10)
    for i in range(100):
        series.add(i, lens(500.0 + i))
    assert series.camera_at(95).fx == 595
    assert series.camera_at(3).fx == 599
    assert len(series.distinct) <= 21
    series.add(0, lens(400.0))
    assert series.camera_at(10**9).fx == 400


@pytest.mark.parametrize(
    ("image", "infos", "expected"),
    [
        ("/camera/image_raw", ["/camera/camera_info"], "/camera/camera_info"),
        ("/camera/image_raw/compressed", ["/camera/camera_info", "/back/camera_info"], "/camera/camera_info"),
        ("/camera/compressed", ["/camera/camera_info", "/back/camera_info"], "/camera/camera_info"),
        ("/CAM/image_rect_compressed", ["/CAM/camera_info", "/BACK/camera_info"], "/CAM/camera_info"),
        ("/camera/image/jpeg", ["/camera/camera_info", "/back/camera_info"], "/camera/camera_info"),
        ("/left/image_rect", ["/left/camera_info", "/left/camera_info_rect"], "/left/camera_info_rect"),
        ("/image", ["/camera_info"], "/camera_info"),
        ("/camera/image_raw", ["/other/name"], "/other/name"),
        ("/camera/image_raw", [], None),
        ("/camera/image_raw", ["/a/camera_info", "/b/camera_info"], None),
    ],
)
def test_the_camera_info_beside_images_of_any_naming_is_found(
    image: str, infos: list[str], expected: str | None
) -> None:
    assert camera_info_beside(image, "", dict.fromkeys(infos, ""), [image]) == expected


def test_of_several_cameras_the_frame_tells_whose_camera_info_it_is() -> None:
    images = ["/robot/front/image_raw", "/robot/back/image_raw"]
    assert camera_info_beside(images[0], "front", {"/robot/camera_info": "back"}, images) is None
    assert camera_info_beside(images[1], "back", {"/robot/camera_info": "back"}, images) is not None
    elsewhere = {"/calibration/a": "front", "/calibration/b": "back"}
    assert camera_info_beside(images[1], "back", elsewhere, images) == "/calibration/b"
