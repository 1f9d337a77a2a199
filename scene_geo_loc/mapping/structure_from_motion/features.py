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

"""SIFT features of an image (Lowe, IJCV 2004), with pixels as an ideal pinhole has them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.visual_words.features import LENGTH, SIFT_REACH

CONTRAST = 0.02
"""Contrast that a feature has at least, half of OpenCV's default: night and snow have little."""


class PointFeatures(NamedTuple):
    """Features of an image, the strongest first.

    Attributes:
        pixels: (N, 2) float32, ideal pixels of the working camera: lens distortion undone.
        histograms: (N, 128) uint8, SIFT.
    """

    pixels: NDArray[np.float32]
    histograms: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def save(self, path: Path) -> None:
        """Writes a file."""
        write_aside(path, save({name: np.ascontiguousarray(value) for name, value in self._asdict().items()}))

    @classmethod
    def read(cls, path: Path) -> PointFeatures:
        """Reads a file. Raises an error of safetensors, or KeyError, where it is damaged."""
        tensors = load_file(path)
        return cls(tensors["pixels"], tensors["histograms"])


def working_camera(camera: Camera, width: int) -> Camera:
    """Returns a camera at the size at which its images are read: at most `width` pixels wide."""
    if camera.width <= width:
        return camera
    return camera.resized(width, max(1, round(width * camera.height / camera.width)))


def extract_points(
    image: NDArray[np.uint8],
    camera: Camera,
    most: int,
    visible: NDArray[np.bool_] | None = None,
) -> PointFeatures:
    """Returns the features of an RGB image (H, W, 3).

    Args:
        image: the image, of any size.
        camera: the working camera, see `working_camera`.
        most: largest number of features.
        visible: (H, W) mask of the pixels that show the scene; a feature that reaches into others is left
            out.  None: all do.
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    size = (camera.width, camera.height)
    if grey.shape[::-1] != size:
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    sift = cv2.SIFT.create(nfeatures=most if visible is None else 0, contrastThreshold=CONTRAST)
    keypoints, histograms = sift.detectAndCompute(grey, None)
    if not keypoints:
        return PointFeatures(np.zeros((0, 2), np.float32), np.zeros((0, LENGTH), np.uint8))
    chosen = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")
    pixels = np.array([keypoint.pt for keypoint in keypoints], np.float64)
    if visible is not None:
        shown = cv2.resize(visible.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        reach = cv2.distanceTransform(shown, cv2.DIST_L2, 3)
        columns, rows = np.clip(np.rint(pixels).astype(np.intp), 0, np.array(size) - 1).T
        is_clear = reach[rows, columns] >= [SIFT_REACH * keypoint.size for keypoint in keypoints]
        chosen = chosen[is_clear[chosen]]
    chosen = chosen[:most]
    ideal = camera.rays(pixels[chosen])[:, :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    is_known = np.isfinite(ideal).all(axis=1)
    return PointFeatures(
        ideal[is_known].astype(np.float32), np.asarray(histograms, np.uint8)[chosen][is_known]
    )
