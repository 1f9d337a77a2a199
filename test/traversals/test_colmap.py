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

"""COLMAP's models in text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import colmap, open_folder, pose

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.datasets.colmap import _read_cameras
from scene_geo_loc.traversals.opening import open_traversal


def test_photos_come_by_name_with_the_inverse_of_their_transforms(tmp_path: Path) -> None:
    frames = list(open_folder(colmap(tmp_path)).frames())
    assert [frame.name for frame in frames] == ["a 1.jpg", "2.jpg"]
    np.testing.assert_allclose(frames[0].T_map_camera, pose(2), atol=1e-8)
    np.testing.assert_allclose(frames[1].T_map_camera, pose(1), atol=1e-8)


def test_colmap_s_corner_of_the_image_is_half_a_pixel_from_the_centre_of_its_first_pixel(
    tmp_path: Path,
) -> None:
    camera = open_folder(colmap(tmp_path)).frame_files[0].camera
    assert (camera.width, camera.height, camera.fx, camera.fy) == (32, 24, 50, 50)
    assert (camera.cx, camera.cy) == (15.5, 11.5)
    assert camera.distortion == (-0.03, 0, 0, 0)


def ideal_to_pixel(model: str, u: float, v: float) -> tuple[float, float]:
    """COLMAP's equations, for f = 50, 52, c = 16, 12 and coefficients -0.05, 0.02, 0.003, -0.001."""
    r2 = u * u + v * v
    if "FISHEYE" in model:
        k1, k2, k3, k4 = (
            *map(float, MODELS[model].split()[4 if model == "OPENCV_FISHEYE" else 3 :]),
            0,
            0,
            0,
        )[:4]
        r = np.sqrt(r2)
        t = np.arctan(r)
        d = t * (1 + k1 * t**2 + k2 * t**4 + k3 * t**6 + k4 * t**8) / r - 1 if r > 1e-9 else 0.0
        du, dv = u * d, v * d
    else:
        k1 = 0.0 if "PINHOLE" in model else -0.05
        k2 = 0.02 if model in ("RADIAL", "OPENCV", "FULL_OPENCV") else 0.0
        p1, p2 = (0.003, -0.001) if "OPENCV" in model else (0.0, 0.0)
        radial = k1 * r2 + k2 * r2 * r2
        if model == "FULL_OPENCV":
            radial = (1 + radial + 0.01 * r2**3) / (1 + 0.04 * r2 - 0.02 * r2**2 + 0.005 * r2**3) - 1
        du = u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)
        dv = v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v)
    fy = 52 if model == "PINHOLE" or "OPENCV" in model else 50
    return 50 * (u + du) + 16, fy * (v + dv) + 12


MODELS = {
    "SIMPLE_PINHOLE": "50 16 12",
    "PINHOLE": "50 52 16 12",
    "SIMPLE_RADIAL": "50 16 12 -0.05",
    "RADIAL": "50 16 12 -0.05 0.02",
    "OPENCV": "50 52 16 12 -0.05 0.02 0.003 -0.001",
    "FULL_OPENCV": "50 52 16 12 -0.05 0.02 0.003 -0.001 0.01 0.04 -0.02 0.005",
    "SIMPLE_RADIAL_FISHEYE": "50 16 12 -0.05",
    "RADIAL_FISHEYE": "50 16 12 -0.05 0.02",
    "OPENCV_FISHEYE": "50 52 16 12 -0.05 0.02 0.003 -0.001",
}


@pytest.mark.parametrize("model", MODELS)
@given(u=st.floats(-0.4, 0.4), v=st.floats(-0.3, 0.3))
def test_every_model_projects_as_in_colmap(
    tmp_path_factory: pytest.TempPathFactory, model: Any, u: Any, v: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "cameras.txt"
    file.write_text(f"1 {model} 32 24 {MODELS[model]}\n")
    ((_, camera),) = _read_cameras(file)
    x, y = ideal_to_pixel(model, u, v)
    np.testing.assert_allclose(camera.project(np.array([[u, v, 1.0]]))[0] + 0.5, [x, y], atol=1e-6)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "cameras.txt",
            lambda text: text.replace("SIMPLE_RADIAL", "FOV"),
            "line 2: .*with a model of SIMPLE_",
        ),
        ("cameras.txt", lambda text: text.replace(" -0.03", ""), "line 2: expected `CAMERA_ID MODEL"),
        ("cameras.txt", lambda text: text.replace(" 50 ", " 0 "), "line 2: expected `CAMERA_ID MODEL"),
        ("images.txt", lambda text: text.replace(" 7 b/2.jpg", ""), "line 2: expected `IMAGE_ID QW"),
        ("images.txt", lambda text: text.replace(" 7 b", " 8 b"), "b/2.jpg has camera 8, not in cameras.txt"),
        ("images.txt", lambda text: text.splitlines()[0], "the model has no images"),
    ],
)
def test_a_damaged_model_is_refused_with_the_line(tmp_path: Path, file: str, change: Any, words: str) -> None:
    path = colmap(tmp_path) / "sparse" / "0" / file
    path.write_text(change(path.read_text()))
    with pytest.raises(TraversalError, match=words):
        open_traversal(tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_without_the_lines_of_features_is_read(tmp_path: Path, count: int) -> None:
    path = colmap(tmp_path) / "sparse" / "0" / "images.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[1::2][:count]]))
    names = [frame.name for frame in open_traversal(tmp_path).frames()]
    assert names == (["a 1.jpg", "2.jpg"] if count == 2 else ["2.jpg"])


def test_features_are_not_taken_for_images(tmp_path: Path) -> None:
    path = colmap(tmp_path) / "sparse" / "0" / "images.txt"
    lines = path.read_text().splitlines()
    lines[2] = " ".join(["10 11 7"] * 4)  # whole numbers, as many as an image's line has words and more
    path.write_text("\n".join(lines) + "\n")
    assert len(open_traversal(tmp_path)) == 2


def test_a_pose_that_is_not_finite_is_counted(tmp_path: Path) -> None:
    path = colmap(tmp_path) / "sparse" / "0" / "images.txt"
    lines = path.read_text().splitlines()
    lines[1] = "1 nan 0 0 0 0 0 0 7 b/2.jpg"
    path.write_text("\n".join(lines))
    traversal = open_traversal(tmp_path)
    assert [frame.T_map_camera is None for frame in traversal.frames()] == [False, True]
    assert traversal.skipped.counts == {"images without a pose": 1}


def test_the_real_model_sees_its_points_where_its_features_are(data_dir: Path) -> None:
    folder = data_dir / "sfm_lund_door"
    lines = (folder / "colmap_ground_truth" / "images.txt").read_text().splitlines()[4:]
    features = {lines[i].split()[9]: np.array(lines[i + 1].split(), float).reshape(-1, 3) for i in (0, 2)}
    rows = (line.split() for line in (folder / "colmap_ground_truth" / "points3D.txt").open())
    points = {int(row[0]): [float(value) for value in row[1:4]] for row in rows if row[0] != "#"}
    for files in open_folder(folder).frame_files[:2]:
        seen = features[files.image.name]
        seen = seen[[int(point) in points for point in seen[:, 2]]]
        in_map = np.array([points[int(point)] for point in seen[:, 2]])
        T_camera_map = np.linalg.inv(files.T_map_camera)
        pixels = files.camera.project(in_map @ T_camera_map[:3, :3].T + T_camera_map[:3, 3])
        assert len(seen) > 500
        assert np.median(np.abs(pixels + 0.5 - seen[:, :2])) < 1.0
