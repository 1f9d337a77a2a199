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
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.folder import decoded
from scene_geo_loc.traversals.frame import GeoTag
from scene_geo_loc.traversals.streetview.depth_planes import SUFFIXES, read_depth_planes
from scene_geo_loc.traversals.streetview.image_file import TooLarge, read_header, read_reduced

MAX_DEPTH_PIXELS = 2**26
"""Most pixels of a depth map."""

_SHAPE_TOLERANCE = 0.01
"""Relative difference of the width from twice the height of a whole panorama."""

_BEND = 0.05
"""Largest second difference of inverse distances, relative to them, on a surface; a plane has almost none."""


class Incomplete(TraversalError):
    """An image or depth map is no whole panorama."""


def is_whole_sphere(width: int, height: int) -> bool:
    """Returns whether an image is twice as wide as high, within 1 %."""
    return height > 0 and abs(width - 2 * height) <= _SHAPE_TOLERANCE * width


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

    @property
    def geo_tag(self) -> GeoTag:
        """The tag that all views of the panorama have their poses by."""
        return GeoTag(self.name, self.position_std_m, self.heading_std_deg)


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

    @cached_property
    def surfaces(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Inverse distances (h, w), 0 where unknown, and 1 inside of surfaces, 0 at their edges (h, w)."""
        assert self.distance is not None
        unknown = ~np.isfinite(self.distance) | (self.distance <= 0)
        inverse = np.where(unknown, 0, 1.0 / np.where(unknown, 1, self.distance)).astype(np.float32)
        around = cv2.copyMakeBorder(inverse, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        around[:, 0], around[:, -1] = around[:, -2], around[:, 1]
        height, width = inverse.shape
        is_surface = cv2.erode(around, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
        for row, column in ((0, 1), (1, 0), (1, 1), (1, -1)):  # a bend along any of these is an edge
            ahead = around[1 + row :, 1 + column :][:height, :width]
            behind = around[1 - row :, 1 - column :][:height, :width]
            is_surface &= np.abs(ahead + behind - 2 * inverse) <= _BEND * np.maximum(ahead, behind)
        return inverse, is_surface.astype(np.uint8)


def read_panorama_image(panorama: Panorama, width: int) -> PanoramaPixels:
    """Reads an image, shrunk towards `width` columns for the whole sphere but not below, without its depth.

    Raises TraversalError where it cannot be read, and its subclasses `Incomplete` where it is no whole sphere
    and has no `area`, and `TooLarge`.
    """
    area = panorama.area
    image = read_reduced(panorama.image, width, 1.0 if area is None else area.full_width / area.width)
    if area is not None:
        return _whole_sphere(image, area, width)
    if not is_whole_sphere(*image.shape[1::-1]):
        raise Incomplete(
            f"{panorama.image}: an image of {image.shape[1]} x {image.shape[0]} pixels is no whole panorama, "
            "which is twice as wide as high."
        )
    return PanoramaPixels(_shrunk(image, width, width // 2))


def read_distance(path: Path) -> NDArray[np.float32]:
    """Reads the distances along the rays of a depth map, (H, W) float32 metres, NaN where unknown.

    The file is a PNG in centimetres, or planes and indices; see `depth_planes`.

    Raises TraversalError where it cannot be read, and its subclasses `Incomplete` where it is not twice as
    wide as high, and `TooLarge`.
    """
    has_planes = path.suffix.lower() in SUFFIXES
    distance = read_depth_planes(path) if has_planes else _read_centimetres(path)
    height, width = distance.shape
    if not is_whole_sphere(width, height):
        raise Incomplete(
            f"{path}: a depth map of {width} x {height} pixels is no whole panorama, which is twice as wide "
            "as high."
        )
    return distance


def _read_centimetres(path: Path) -> NDArray[np.float32]:
    size = read_header(path).size
    if size is not None and size[0] * size[1] > MAX_DEPTH_PIXELS:
        raise TooLarge(
            f"{path}: a depth map of {size[0]} x {size[1]} pixels, more than "
            f"{MAX_DEPTH_PIXELS / 1e6:.0f} million."
        )
    centimetres = decoded(path, cv2.IMREAD_UNCHANGED)
    if centimetres is None or centimetres.dtype != np.uint16 or centimetres.ndim != 2:
        raise TraversalError(f"{path}: a depth map should be a grey PNG of 16 bits in centimetres.")
    distance = centimetres.astype(np.float32) / 100.0
    distance[(centimetres == 0) | (centimetres == 65535)] = np.nan
    return distance


def _shrunk(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Returns an image of at most a width, averaged over areas, so that fine texture does not alias."""
    if image.shape[1] <= width:
        return image
    size = (max(width, 1), max(height, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _whole_sphere(image: NDArray[np.uint8], area: PanoramaArea, width: int) -> PanoramaPixels:
    """Returns the image at its place in the whole sphere, which has at most `width` columns."""
    width = min(width, 2 * round(area.full_width * image.shape[1] / area.width / 2))
    scale = width / area.full_width
    image = _shrunk(image, round(area.width * scale), round(area.height * scale))
    whole = np.zeros((width // 2, width, 3), np.uint8)
    visible = np.zeros((width // 2, width), np.bool_)
    top = min(round(area.top * scale), len(whole))
    rows = image[: len(whole) - top]
    columns = (np.arange(image.shape[1]) + round(area.left * scale)) % width
    whole[top : top + len(rows), columns] = rows
    visible[top : top + len(rows), columns] = True
    return PanoramaPixels(whole, visible=visible)
