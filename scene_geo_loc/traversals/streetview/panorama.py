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

"""A panorama with its pose, and its image and depth map as read from their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.folder import read_image
from scene_geo_loc.traversals.streetview.image_file import image_size, read_reduced

MAX_DEPTH_M = 655.35
"""Largest distance that a depth map of 16 bits in centimetres holds."""


@dataclass(frozen=True)
class PanoramaArea:
    """Part of the sphere that an image shows: GPano's cropped area.

    Attributes:
        full_width, full_height: size in pixels of the whole sphere at the image's resolution.
        left, top: column and row of the image's first pixel in it.
        width, height: size of the image.
    """

    full_width: int
    full_height: int
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Panorama:
    """A panorama with its geo-tag in the map, and its files.

    Attributes:
        name: path of the image relative to the set's folder.
        image: the image.
        T_map_panorama: pose of its optical axes in the map.
        stamp_ns: time.
        links: names of neighbours along the street.
        depth: depth map; None where there is none.
        position_std_m, heading_std_deg: standard deviations of the geo-tag; None where unknown.
        area: part of the sphere that the image shows; None for all.
    """

    name: str
    image: Path
    T_map_panorama: Pose
    stamp_ns: int
    links: tuple[str, ...] = ()
    depth: Path | None = None
    position_std_m: float | None = None
    heading_std_deg: float | None = None
    area: PanoramaArea | None = None


@dataclass(frozen=True)
class PanoramaPixels:
    """Image and depth of a whole sphere.

    Attributes:
        image: (H, W, 3) uint8 RGB with W = 2 H; black where `visible` is False.
        distance: (h, w) float32 metres along the ray, of any size, NaN where unknown; None where there is
            none.
        visible: (H, W) mask of the pixels that show something; None where all do.
    """

    image: NDArray[np.uint8]
    distance: NDArray[np.float32] | None = None
    visible: NDArray[np.bool_] | None = None


def read_panorama_image(panorama: Panorama, width: int) -> PanoramaPixels:
    """Reads an image, shrunk towards `width` columns for the whole sphere but not below, without its depth.

    Raises TraversalError where it cannot be read, or is no whole sphere and has no `area`.
    """
    size = image_size(panorama.image)
    full_width = panorama.area.full_width if panorama.area else size[0] if size else 0
    image = read_reduced(panorama.image, full_width / width) if full_width else read_image(panorama.image)
    visible = None
    if panorama.area is not None:
        image, visible = _whole_sphere(image, panorama.area)
    if image.shape[1] != 2 * image.shape[0]:
        raise TraversalError(
            f"{panorama.image}: an image of {image.shape[1]} x {image.shape[0]} pixels is no whole panorama, "
            "which is twice as wide as high."
        )
    if image.shape[1] > width:  # by area, lest fine texture alias
        shape = (width, width // 2)
        image = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
        if visible is not None:
            visible = cv2.resize(visible.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0
    return PanoramaPixels(image, visible=visible)


def read_distance(path: Path) -> NDArray[np.float32]:
    """Reads the distances along the rays of a depth map, (H, W) float32 metres, NaN where unknown.

    Raises TraversalError where it cannot be read, or is not twice as wide as high.
    """
    try:
        centimetres = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    except cv2.error:
        centimetres = None
    if centimetres is None or centimetres.dtype != np.uint16 or centimetres.ndim != 2:
        raise TraversalError(f"{path}: a depth map should be a grey PNG of 16 bits in centimetres.")
    height, width = centimetres.shape
    if width != 2 * height:
        raise TraversalError(
            f"{path}: a depth map of {width} x {height} pixels is no whole panorama, which is twice as wide "
            "as high."
        )
    distance = centimetres.astype(np.float32) / 100.0
    distance[(centimetres == 0) | (centimetres == 65535)] = np.nan
    return distance


def _whole_sphere(
    image: NDArray[np.uint8], area: PanoramaArea
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns the image at its place in the whole sphere, and the mask of its pixels."""
    scale = image.shape[1] / area.width
    width = 2 * round(area.full_width * scale / 2)
    whole = np.zeros((width // 2, width, 3), np.uint8)
    visible = np.zeros((width // 2, width), np.bool_)
    top = min(max(round(area.top * scale), 0), len(whole))
    rows = image[: len(whole) - top]
    columns = (np.arange(image.shape[1]) + round(area.left * scale)) % width
    whole[top : top + len(rows), columns] = rows
    visible[top : top + len(rows), columns] = True
    return whole, visible
