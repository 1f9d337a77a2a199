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

"""Rectified views: images of pinhole or fisheye cameras that look out of a panorama."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.equirectangular import Equirectangular
from scene_geo_loc.traversals.streetview.panorama import PanoramaPixels
from scene_geo_loc.traversals.streetview.warp import Warp

DEFAULT_VIEW_CAMERA = "640x480@57.6"
"""A camera with a horizontal field of view of 57.6°, as the one on the car of the slides."""

_OVERLAP = 0.35
_FEWEST_VIEWS = 8
"""Overlap of neighbouring views by default, as a share of the field of view, and their least number."""

_OVERSAMPLING = 1.25
"""Resolution of a shrunk panorama by that of a view's centre: towards the edges views are finer."""

_LARGEST = 32766
"""Most columns and rows of an image that OpenCV remaps."""


@dataclass(frozen=True)
class RectifiedView:
    """Image of a view.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        depth: (H, W) float32 metres along the optical axis, NaN where unknown; None where the panorama has
            none.
        visible: (H, W) mask of the pixels that show something; None where all do.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32] | None
    visible: NDArray[np.bool_] | None


def view_directions(count: int, pitch_deg: float = 0.0) -> list[tuple[float, float]]:
    """Returns heading and pitch in degrees of views around; the first looks along the centre column."""
    return [(360.0 * number / count, pitch_deg) for number in range(count)]


def view_camera_of(text: str) -> Camera:
    """Returns the camera of a text: WIDTHxHEIGHT@FOV, or the path of a calibration file.

    FOV is the horizontal field of view in degrees.  Raises TraversalError where the text is neither.
    """
    size, _, fov = text.partition("@")
    width, _, height = size.partition("x")
    if fov and width.isdecimal() and height.isdecimal():
        try:
            return pinhole(int(width), int(height), float(fov))
        except ValueError as error:
            raise TraversalError(f"{text!r} is no camera of views: {error}.") from error
    if not Path(text).is_file():
        raise TraversalError(
            f"{text!r} is no camera of views: give WIDTHxHEIGHT@FOV with a horizontal field of view in "
            f"degrees, for example {DEFAULT_VIEW_CAMERA}, or a calibration file."
        )
    # The reader of calibrations imports those of ROS messages.
    from scene_geo_loc.traversals.camera_files import read_camera_file

    try:
        return read_camera_file(Path(text)).camera()
    except ValueError as error:
        raise TraversalError(f"{text}: not the calibration of a camera ({error}).") from error


def pinhole(width: int, height: int, fov_deg: float) -> Camera:
    """Returns the camera without distortion of a size and horizontal field of view. Raises ValueError."""
    if not 0 < width <= _LARGEST or not 0 < height <= _LARGEST:
        raise ValueError(f"its size {width} x {height} is not within 1 and {_LARGEST} pixels")
    if not 1 <= fov_deg <= 170:
        raise ValueError(f"its field of view {fov_deg:g}° is not within 1° and 170°")
    f = width / 2 / math.tan(math.radians(fov_deg) / 2)
    return Camera(width, height, f, f, (width - 1) / 2, (height - 1) / 2)


def fov_of(camera: Camera) -> float:
    """Returns the horizontal field of view of a camera in degrees."""
    left, right = camera.rays(np.array([[-0.5, camera.cy], [camera.width - 0.5, camera.cy]]))[:, 0]
    return float(np.degrees(np.arctan(right) - np.arctan(left)))


def default_view_count(camera: Camera) -> int:
    """Returns the least number of views, at least 8, whose neighbours overlap by a third: 10 for 57.6°."""
    return max(_FEWEST_VIEWS, math.ceil(360.0 / (fov_of(camera) * (1 - _OVERLAP))))


def panorama_width(camera: Camera) -> int:
    """Returns the columns of a panorama as fine as the views of a camera; more of them would alias."""
    width = 2 * math.pi * max(camera.fx, camera.fy) * _OVERSAMPLING
    return min(2 * math.ceil(width / 2), _LARGEST)


def rectified(
    panorama: PanoramaPixels, camera: Camera, R_panorama_view: NDArray[np.float64]
) -> RectifiedView:
    """Returns the view with a rotation (3, 3) to the panorama's axes; for several, see `Rectifier`."""
    return Rectifier(camera).view(panorama, R_panorama_view)


class _Table(NamedTuple):
    """OpenCV's fixed-point tables of the pixels that a view shows, (H, W) each.

    Attributes:
        pixels, fractions: of interpolated pixels: columns and rows (H, W, 2), and the index of the fractions.
        nearest: columns and rows (H, W, 2) of the nearest pixels.
    """

    pixels: NDArray[Any]
    fractions: NDArray[Any]
    nearest: NDArray[np.int16]


class Rectifier:
    """Makes views of one camera; what depends on their directions alone is computed once. Thread-safe.

    Args:
        camera: camera of the views.
        directions: number of directions whose tables are kept, 10 bytes a pixel for images.
    """

    def __init__(self, camera: Camera, directions: int = 64) -> None:
        self.camera = camera
        v, u = np.mgrid[: camera.height, : camera.width]
        rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=-1))
        self._rays = rays
        self._cosine = (1.0 / np.linalg.norm(rays, axis=1)).astype(np.float32).reshape(v.shape)
        self._tables: OrderedDict[tuple[Any, ...], _Table] = OrderedDict()
        self._most = 2 * directions
        self._lock = Lock()

    def view(self, panorama: PanoramaPixels, R_panorama_view: NDArray[np.float64]) -> RectifiedView:
        """Returns the view with a rotation (3, 3) from its optical axes to the panorama's."""
        image = _sampled(panorama.image, self._table(panorama.image.shape, R_panorama_view), cv2.INTER_LINEAR)
        depth = visible = None
        if panorama.distance is not None:
            depth = self._depth(panorama, R_panorama_view)
        if panorama.visible is not None:
            table = self._table(panorama.visible.shape, R_panorama_view)
            # Beside what shows nothing a pixel is mixed with black.
            shown = np.where(panorama.visible, np.uint8(255), np.uint8(0))
            visible = _sampled(shown, table, cv2.INTER_LINEAR) == 255
            image[~visible] = 0
        return RectifiedView(np.asarray(image, np.uint8), depth, visible)

    def visible(self, warp: Warp, R: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns the mask (H, W) of the pixels of a view that a warp shows."""
        return _sampled(warp.visible, self._table(warp.visible.shape, R), cv2.INTER_NEAREST)

    def warped(self, panorama: PanoramaPixels, warp: Warp, R: NDArray[np.float64]) -> RectifiedView:
        """Returns a view from beside the panorama's camera, as `view`; holes are black.

        Within a surface the warp is interpolated; at its edges the nearest direction counts.
        """
        table = self._table(warp.visible.shape, R)
        fields = _sampled(warp.fields, table, cv2.INTER_LINEAR)
        at_edge = ~_sampled(warp.is_smooth, table, cv2.INTER_NEAREST)
        np.copyto(fields, _sampled(warp.fields, table, cv2.INTER_NEAREST), where=at_edge[..., None])
        inverse, right, down = cv2.split(fields)
        visible = self.visible(warp, R)
        height, width = panorama.image.shape[:2]
        pixels, fractions, _ = self._table(panorama.image.shape, R)
        u = pixels[..., 0] + (fractions & 31) / np.float32(32) + right * np.float32(width / (2 * np.pi))
        v = pixels[..., 1] + (fractions >> 5) / np.float32(32) + down * np.float32(height / np.pi)
        # OpenCV wraps columns, and would wrap rows.
        sources = (np.asarray(u, np.float32), np.clip(v, 0, height - 1).astype(np.float32))
        image = cv2.remap(panorama.image, *sources, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        if panorama.visible is not None:
            shown = np.where(panorama.visible, np.uint8(255), np.uint8(0))
            visible &= cv2.remap(shown, *sources, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) == 255
        image[~visible] = 0
        with np.errstate(divide="ignore"):
            depth = np.where(visible & (inverse > 0), self._cosine / inverse, np.nan)
        return RectifiedView(np.asarray(image, np.uint8), depth.astype(np.float32), visible)

    def _depth(self, panorama: PanoramaPixels, R: NDArray[np.float64]) -> NDArray[np.float32]:
        """Returns depth along the optical axis.

        On a surface the inverse distance is interpolated, as that of a plane is almost linear in the angles.
        Across an edge, and beside what is unknown, the nearest pixel counts.
        """
        assert panorama.distance is not None
        table = self._table(panorama.distance.shape, R)
        inverse, is_surface = panorama.surfaces
        found = _sampled(inverse, table, cv2.INTER_LINEAR)
        at_edge = _sampled(is_surface, table, cv2.INTER_NEAREST) == 0
        np.copyto(found, _sampled(inverse, table, cv2.INTER_NEAREST), where=at_edge)
        with np.errstate(divide="ignore"):
            depth = self._cosine / found
        np.copyto(depth, np.nan, where=found <= 0)
        return np.asarray(depth, np.float32)

    def _table(self, shape: tuple[int, ...], R: NDArray[np.float64]) -> _Table:
        """Returns OpenCV's fixed-point tables of the pixels of a panorama of a shape that a view shows."""
        key = (*shape[:2], *np.round(R, 9).ravel())
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key]
        height, width = shape[:2]
        pixels = Equirectangular(width, height).project(self._rays @ R.T).astype(np.float32)
        # Rows beyond the first and last pixel centre show these; columns wrap around, see `_sampled`.
        u, v = pixels[:, 0], np.clip(pixels[:, 1], 0, height - 1)
        size = (self.camera.height, self.camera.width)
        converted: Any = cv2.convertMaps(u.reshape(size), v.reshape(size), cv2.CV_16SC2)
        fixed, fractions = converted
        # With the table of the interpolated pixels OpenCV would take the pixel to the upper left.
        step = np.stack([(fractions & 31) >= 16, (fractions >> 5) >= 16], axis=-1)
        table = _Table(fixed, fractions, (fixed + step).astype(np.int16))
        with self._lock:
            self._tables[key] = table
            while len(self._tables) > self._most:
                self._tables.popitem(last=False)
        return table


def _sampled(image: NDArray[Any], table: _Table, interpolation: int) -> NDArray[Any]:
    if image.dtype == np.bool_:
        return _sampled(image.view(np.uint8), table, interpolation).view(np.bool_)
    if interpolation == cv2.INTER_NEAREST:
        nothing: Any = None
        return cv2.remap(image, table.nearest, nothing, interpolation, borderMode=cv2.BORDER_WRAP)
    return cv2.remap(image, table.pixels, table.fractions, interpolation, borderMode=cv2.BORDER_WRAP)
