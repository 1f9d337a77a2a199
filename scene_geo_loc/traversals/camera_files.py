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

"""Calibrations of cameras in files: of ROS, Kalibr, OpenCV, ORB-SLAM and COLMAP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.geometry.camera import MAX_READOUT_S
from scene_geo_loc.traversals.datasets.colmap import camera_of_words
from scene_geo_loc.traversals.messages.camera_info import Intrinsics
from scene_geo_loc.traversals.text import read_text

FILE_KINDS = "ROS yaml, Kalibr yaml, OpenCV yaml or xml, ORB-SLAM yaml, or cameras.txt of COLMAP"

_MATRIX = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "K", "k", "intrinsic_matrix", "M1", "K1")
_DISTORTION = (
    "distortion_coefficients",
    "distCoeffs",
    "dist_coeffs",
    "Distortion_Coefficients",
    "distortion_coeffs",
    "D",
    "d",
    "D1",
)
_WIDTH = ("image_width", "width", "image_Width", "Camera.width")
_HEIGHT = ("image_height", "height", "image_Height", "Camera.height")
_SIZE = ("resolution", "image_size", "imageSize", "image_Size")
"""Names by which programs write the same things."""

READOUT_TIME = "readout_time"
"""Name of the readout time of a rolling shutter in seconds, see `Camera`."""

_PINHOLE = ("pinhole", "perspective", "")


def read_camera_file(path: Path, image_topic: str = "") -> Intrinsics:
    """Reads the calibration of a camera; see `FILE_KINDS`.

    Args:
        image_topic: topic of the images, which tells one of several cameras of a Kalibr file.

    A yaml file may also have the readout time of a rolling shutter, `readout_time` in seconds.

    Raises:
        TraversalError: the file cannot be read, or has no camera or several.
    """
    text = read_text(path, "calibration")
    try:
        if path.suffix == ".xml":
            return _of_mapping(_opencv_xml(path))
        if path.suffix == ".txt":
            return _colmap(text)
        return _of_mapping(_one_camera(_yaml(text), image_topic))
    except (OSError, yaml.YAMLError, cv2.error, SystemError) as error:
        raise TraversalError(f"{path}: the calibration cannot be read ({reason_of(error)}).") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else reason_of(error)
        raise TraversalError(
            f"{path}: not the calibration of one camera ({reason}); it should be one of: {FILE_KINDS}."
        ) from error


class _Loader(yaml.SafeLoader):
    """YAML with the matrices of OpenCV as mappings."""


_Loader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def _yaml(text: str) -> dict[str, Any]:
    # OpenCV's first line is no directive of YAML, and its colons may lack a space.
    text = re.sub(r"\A%YAML[: ].*\n(---\s*\n)?", "", text)
    read = next(yaml.load_all(text, _Loader), None)  # `ros2 topic echo` separates messages by ---
    if not isinstance(read, dict):
        raise ValueError("it is no mapping of names to values")
    return read


def _opencv_xml(path: Path) -> dict[str, Any]:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    try:
        found: dict[str, Any] = {}
        for name in (*_MATRIX, *_DISTORTION, *_WIDTH, *_HEIGHT):
            node = storage.getNode(name)
            if not node.empty():
                found[name] = node.mat().reshape(-1).tolist() if node.isMap() else node.real()
        return found
    finally:
        storage.release()


def _one_camera(values: dict[str, Any], image_topic: str) -> dict[str, Any]:
    """Returns the camera of a Kalibr file with `cam0`, `cam1`, ..., or the mapping itself."""
    cameras = {name: camera for name, camera in values.items() if re.fullmatch(r"cam\d+", str(name))}
    if not cameras:
        return values
    of_topic = [
        camera for camera in cameras.values() if image_topic and camera.get("rostopic") == image_topic
    ]
    found = of_topic if len(of_topic) == 1 else list(cameras.values())
    if len(found) != 1:
        topics = ", ".join(f"{name}: {camera.get('rostopic', '-')}" for name, camera in cameras.items())
        raise ValueError(f"it has {len(cameras)} cameras, none alone of the topic {image_topic} ({topics})")
    return dict(found[0])


def _of_mapping(values: Mapping[str, Any]) -> Intrinsics:
    """Returns the intrinsics by their names. Raises KeyError, ValueError or TypeError."""
    if any(f"{prefix}.fx" in values for prefix in ("Camera", "Camera1")):
        return _orb_slam(values)
    camera_model = str(values.get("camera_model", ""))
    if camera_model not in _PINHOLE:
        raise ValueError(f"its camera model is {camera_model!r}; known is pinhole")
    if "intrinsics" in values:
        k = _matrix(*_numbers(values["intrinsics"]))
    else:
        k = _numbers(_first(values, _MATRIX, "camera matrix"))
    if len(k) != 9:
        raise ValueError(f"its camera matrix has {len(k)} numbers, not 9")
    size = next((values[name] for name in _SIZE if name in values), None)
    width, height = (
        _numbers(size)
        if size is not None
        else (_first(values, _WIDTH, "width"), _first(values, _HEIGHT, "height"))
    )
    d = _numbers(next((values[name] for name in _DISTORTION if name in values), ()))
    model = str(values.get("distortion_model") or ("plumb_bob" if any(d) else ""))
    p = _numbers(values.get("projection_matrix", values.get("p", ())))
    model = model.replace("radial-tangential", "radtan")
    return Intrinsics(int(width), int(height), model, d, k, p, readout_s=_readout_s(values))


def _orb_slam(values: Mapping[str, Any]) -> Intrinsics:
    prefix = "Camera1" if "Camera1.fx" in values else "Camera"
    k = _matrix(*(float(values[f"{prefix}.{name}"]) for name in ("fx", "fy", "cx", "cy")))
    is_fisheye = values.get("Camera.type") in ("KannalaBrandt8", "Fisheye")
    names = ("k1", "k2", "k3", "k4") if is_fisheye else ("k1", "k2", "p1", "p2", "k3")
    d = tuple(float(values.get(f"{prefix}.{name}", 0.0)) for name in names)
    width, height = (
        int(_first(values, names, what)) for names, what in ((_WIDTH, "width"), (_HEIGHT, "height"))
    )
    model = "equidistant" if is_fisheye else "plumb_bob"
    return Intrinsics(width, height, model, d, k, readout_s=_readout_s(values))


def _colmap(text: str) -> Intrinsics:
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise ValueError(f"it has {len(lines)} cameras")
    camera = camera_of_words(lines[0][1:])
    k = tuple(camera.K.reshape(-1).tolist())
    return Intrinsics(camera.width, camera.height, camera.model, camera.distortion, k)


def _readout_s(values: Mapping[str, Any]) -> float:
    """Returns the readout time of a rolling shutter, which yaml files of any kind may have, in seconds."""
    readout_s = float(values.get(READOUT_TIME, 0.0))
    if not 0 <= readout_s <= MAX_READOUT_S:
        raise ValueError(f"its {READOUT_TIME} {readout_s:g} s is not within 0 to {MAX_READOUT_S:g} s")
    return readout_s


def _first(values: Mapping[str, Any], names: tuple[str, ...], what: str) -> Any:
    for name in names:
        if name in values:
            return values[name]
    raise KeyError(what)


def _numbers(value: Any) -> tuple[float, ...]:
    """Returns the numbers of a list, of nested lists, or of a matrix with `data`, row by row."""
    data = value["data"] if isinstance(value, Mapping) else value
    return tuple(np.asarray(data, np.float64).reshape(-1).tolist())


def _matrix(fx: float, fy: float, cx: float, cy: float) -> tuple[float, ...]:
    return (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0)
