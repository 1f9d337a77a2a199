"""Cameras from camera_info messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.messages.camera_info import camera_of


def info(
    model: str = "plumb_bob",
    d: tuple[float, ...] = (-0.3, 0.1, 0.0, 0.0, 0.0),
    k: tuple[float, ...] = (500, 0, 320, 0, 510, 240, 0, 0, 1),
    **more: Any,
) -> Any:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    values = {"width": 640, "height": 480, "binning_x": 0, "binning_y": 0, "roi": roi, **more}
    return SimpleNamespace(distortion_model=model, d=d, k=k, **values)


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
    ],
)
def test_a_camera_that_is_not_calibrated_or_unknown_is_refused(message: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        camera_of(message)


def test_binning_and_a_region_of_interest_are_taken_into_account() -> None:
    roi = SimpleNamespace(x_offset=20, y_offset=40, width=400, height=200)
    camera = camera_of(info(d=(), roi=roi, binning_x=2, binning_y=2))
    assert camera == Camera(200, 100, 250.0, 255.0, (300 + 0.5) / 2 - 0.5, (200 + 0.5) / 2 - 0.5)
