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

"""Calibration files of several programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.traversals.camera_files import read_camera_file

D = (-0.3, 0.1, 0.001, -0.002)
EXPECTED = Camera(640, 480, 500.0, 510.0, 320.5, 239.5, "plumb_bob", D)

ROS = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [500.0, 0.0, 320.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 4, data: [-0.3, 0.1, 0.001, -0.002]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [450, 0, 322, 0, 0, 450, 241, 0, 0, 0, 1, 0]}
"""
ECHO = """
header:
  frame_id: camera
height: 480
width: 640
distortion_model: plumb_bob
d: [-0.3, 0.1, 0.001, -0.002]
k: [500.0, 0.0, 320.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0]
p: [450, 0, 322, 0, 0, 450, 241, 0, 0, 0, 1, 0]
---
"""
KALIBR = """
cam0:
  camera_model: pinhole
  intrinsics: [500.0, 510.0, 320.5, 239.5]
  distortion_model: radtan
  distortion_coeffs: [-0.3, 0.1, 0.001, -0.002]
  resolution: [640, 480]
  rostopic: /front/image_raw
"""
EUROC = """#Default imu sensor yaml file
sensor_type: camera
T_BS:
  cols: 4
  rows: 4
  data: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
resolution: [640, 480]
camera_model: pinhole
intrinsics: [500.0, 510.0, 320.5, 239.5]
distortion_model: radial-tangential
distortion_coefficients: [-0.3, 0.1, 0.001, -0.002]
"""
OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 320.5, 0., 510., 239.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 4
   cols: 1
   dt: d
   data: [ -0.3, 0.1, 0.001, -0.002 ]
"""
XML = """<?xml version="1.0"?>
<opencv_storage>
<image_width>640</image_width>
<image_height>480</image_height>
<camera_matrix type_id="opencv-matrix"><rows>3</rows><cols>3</cols><dt>d</dt>
  <data>500. 0. 320.5 0. 510. 239.5 0. 0. 1.</data></camera_matrix>
<distortion_coefficients type_id="opencv-matrix"><rows>4</rows><cols>1</cols><dt>d</dt>
  <data>-0.3 0.1 0.001 -0.002</data></distortion_coefficients>
</opencv_storage>
"""
ORB_SLAM = """%YAML:1.0
Camera.type: "PinHole"
Camera1.fx: 500.0
Camera1.fy: 510.0
Camera1.cx: 320.5
Camera1.cy: 239.5
Camera1.k1: -0.3
Camera1.k2: 0.1
Camera1.p1: 0.001
Camera1.p2: -0.002
Camera.width: 640
Camera.height: 480
"""
COLMAP = "# Camera list\n1 OPENCV 640 480 500 510 321 240 -0.3 0.1 0.001 -0.002\n"


CALIBRATIONS = {
    "ros.yaml": ROS,
    "echo.yaml": ECHO,
    "camchain.yaml": KALIBR,
    "sensor.yaml": EUROC,
    "opencv.yml": OPENCV,
    "opencv.xml": XML,
    "orb_slam.yaml": ORB_SLAM,
    "cameras.txt": COLMAP,
    "bom.yaml": "\ufeff" + ROS,
}


@pytest.mark.parametrize(("name", "text"), CALIBRATIONS.items())
def test_calibrations_of_every_program_give_the_same_camera(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    camera = read_camera_file(tmp_path / name).camera()
    rays = np.array([[0.0, 0.0, 1.0], [0.4, -0.3, 1.0], [-0.5, 0.2, 1.0]])
    assert (camera.width, camera.height) == (640, 480)
    np.testing.assert_allclose(camera.project(rays), EXPECTED.project(rays), atol=1e-6)


def test_rectified_images_have_the_projection_matrix_of_a_file_of_ros(tmp_path: Path) -> None:
    (tmp_path / "ros.yaml").write_text(ROS)
    rectified = read_camera_file(tmp_path / "ros.yaml").camera(rectified=True)
    assert rectified == Camera(640, 480, 450.0, 450.0, 322.0, 241.0)


def test_of_several_cameras_the_topic_tells_which_one(tmp_path: Path) -> None:
    other = KALIBR.replace("cam0", "cam1").replace("500.0", "700.0").replace("/front", "/back")
    (tmp_path / "chain.yaml").write_text(KALIBR + other)
    assert read_camera_file(tmp_path / "chain.yaml", "/back/image_raw").camera().fx == 700
    with pytest.raises(TraversalError, match="2 cameras, none alone of the topic /left"):
        read_camera_file(tmp_path / "chain.yaml", "/left")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "", "no mapping"),
        ("a.yaml", "[1, 2", "cannot be read"),
        ("a.yaml", ROS.replace("camera_matrix", "matrix"), "no camera matrix"),
        ("a.yaml", ROS.replace("0.0, 0.0, 1.0]", "0.0, 1.0]"), "8 numbers, not 9"),
        ("a.yaml", KALIBR.replace("pinhole", "omni"), "'omni'"),
        ("a.yaml", "!!python/object/apply:os.system [ls]", "cannot be read"),
        ("cameras.txt", COLMAP + COLMAP.replace("1 OPENCV", "2 OPENCV"), "2 cameras"),
        ("a.xml", "no xml", "cannot be read|no camera matrix"),
    ],
)
def test_files_that_are_no_calibration_are_refused_in_one_sentence(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TraversalError, match=words) as caught:
        read_camera_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("text", [ROS, KALIBR.replace("  rostopic", "  readout_time: 0.025\n  rostopic")])
def test_any_yaml_may_have_the_readout_time_of_a_rolling_shutter(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text if "readout_time" in text else f"{text}readout_time: 0.025\n")
    assert read_camera_file(path).camera().readout_s == 0.025
    path.write_text(path.read_text().replace("0.025", "25"))
    with pytest.raises(TraversalError, match=r"readout_time 25 s is not within 0 to 0\.2 s"):
        read_camera_file(path)
