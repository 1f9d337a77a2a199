"""Cameras from and to ROS camera_info messages, by their fields as in `images`."""

from __future__ import annotations

from typing import Any

import numpy as np

from scene_geo_loc.geometry.camera import DISTORTION_COEFFICIENTS, Camera

_NO_DISTORTION = ("", "none", "no_distortion")
_FISHEYE = ("fisheye", "equidistant", "kannala_brandt4")


def camera_info_fields(camera: Camera) -> dict[str, Any]:
    """Returns the fields of sensor_msgs/CameraInfo that describe a camera; undone by `camera_of`.

    A camera without distortion is plumb_bob with zeros.
    The arrays are flat: d (n,), k (9,), r (9,), p (12,).
    """
    return {
        "height": camera.height,
        "width": camera.width,
        "distortion_model": "plumb_bob" if camera.model == "none" else camera.model,
        "d": np.array(camera.distortion or (0.0,) * 5, np.float64),
        "k": camera.K.reshape(-1),
        "r": np.eye(3).reshape(-1),
        "p": np.concatenate([camera.K, np.zeros((3, 1))], axis=1).reshape(-1),
    }


def camera_of(message: Any) -> Camera:
    """Returns the camera of a sensor_msgs/CameraInfo of ROS 2 or ROS 1, for the images as sent.

    Intrinsics refer to the full sensor; binning and a region of interest are applied.

    Raises:
        ValueError: K is zero (uncalibrated camera), or the distortion model is unknown.
    """
    k = np.asarray(message.k if hasattr(message, "k") else message.K, np.float64).reshape(3, 3)
    d = tuple(float(value) for value in (message.d if hasattr(message, "d") else message.D))
    if not k.any():
        raise ValueError("camera_info has K = 0: the camera is not calibrated; calibrate it")
    model = message.distortion_model.lower()
    if not any(d) and model not in _FISHEYE:
        model, d = "none", ()
    elif model in _NO_DISTORTION:
        raise ValueError(f"camera_info has the distortion coefficients {d} but no distortion model")
    elif model in _FISHEYE:
        # Four zeros are still a fisheye; drivers may omit or pad them.
        model, d = "equidistant", (d[:4] if any(d) else (0.0,) * 4)
    elif model not in DISTORTION_COEFFICIENTS:
        known = ", ".join(DISTORTION_COEFFICIENTS)
        raise ValueError(
            f"camera_info has the distortion model {message.distortion_model!r}; known models: {known}"
        )
    fx, fy, cx, cy = (float(k[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = Camera(message.width, message.height, fx, fy, cx, cy, model, d)
    roi = message.roi
    if roi.width and roi.height:
        camera = camera.cropped(roi.x_offset, roi.y_offset, roi.width, roi.height)
    across, down = max(message.binning_x, 1), max(message.binning_y, 1)
    if across > 1 or down > 1:
        camera = camera.resized(camera.width // across, camera.height // down)
    return camera
