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

"""Cameras from and to ROS camera_info messages, by their fields as in `images`."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scene_geo_loc.geometry.camera import DISTORTION_COEFFICIENTS, Camera

_NO_DISTORTION = ("", "none", "no_distortion")
_FISHEYE = ("fisheye", "equidistant", "kannala_brandt", "kannala_brandt4")
_BROWN = ("plumb_bob", "rational_polynomial", "radtan", "brown_conrady")
"""Names of OpenCV's polynomial model, whose number of coefficients says how many terms it has."""

_RECTIFIED = {"rect", "rectified", "undistorted", "undist"}
_RAW = {"raw", "unrectified", "distorted"}
"""Parts of the names of topics, between `/` and `_`, that tell rectified images from raw ones."""

MAX_ASPECT = 2.0
"""Limit of fx / fy and fy / fx: pixels of analogue fields are up to twice as high as wide."""
_FOCAL_RANGE = (0.05, 100.0)
"""Limits of the focal length over the image's larger side: a fisheye beyond 180 degrees, a telescope."""
_CENTRE_MARGIN = 0.05
"""The principal point lies at least this share of the image's size inside the image."""
_USUAL_CENTRE = (0.3, 0.7)
"""A principal point outside this part of the image is possible, but is mostly that of another image size."""

_TRIED = 8
"""Number of distinct messages that are tried where the one nearest in time is unusable."""


class WrongImageSize(ValueError):
    """Images have another size than their camera_info says."""


@dataclass(frozen=True)
class Intrinsics:
    """Numbers of a sensor_msgs/CameraInfo or of a calibration file.

    Attributes:
        width, height: of the full sensor in pixels; 0 where unknown.
        model: distortion model, as the message names it.
        d: distortion coefficients.
        k: (9,) intrinsic matrix of the raw image, row by row.
        p: (12,) projection matrix of the rectified image, or empty where the source has no such matrix and
            `k` and `d` describe the images as they are.
        binning: columns and rows that are combined into one pixel; 0 and 1 for none.
        roi: x, y, width, height of the part of the sensor that is sent; width or height 0 for all.
        readout_s: readout time of a rolling shutter in seconds, see `Camera`; messages do not say it.
    """

    width: int
    height: int
    model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    p: tuple[float, ...] = ()
    binning: tuple[int, int] = (0, 0)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)
    readout_s: float = 0.0

    def camera(self, *, rectified: bool = False, size: tuple[int, int] | None = None) -> Camera:
        """Returns the camera of the images.

        Rectified images have the intrinsics of P and no distortion; so have raw images where K is zero and
        there is no distortion.

        Args:
            rectified: whether the images are rectified.
            size: width and height of the images.  Binning and the region of interest are applied where that
                gives this size; some drivers set them although the rest already describes the images sent.
                None takes both as given.

        Raises:
            WrongImageSize: the images have another size.
            ValueError: the numbers cannot be those of a lens of these images; the message is a sentence.
        """
        width, height = self.width, self.height
        if not (width and height) and size is not None:
            width, height = size
        k, model, d = self._lens(rectified)
        _check_matrix(k, width, height)
        whole = Camera(width, height, k[0], k[4], k[2], k[5], model, d, self.readout_s)
        _check_lens(whole, "P" if k is not self.k else "K")
        camera = self._as_sent(whole, size)
        if size is not None and size != (camera.width, camera.height):
            turned = " (turned by 90 degrees?)" if size == (camera.height, camera.width) else ""
            raise WrongImageSize(
                f"the images have {size[0]} x {size[1]} pixels, camera_info {camera.width} x "
                f"{camera.height}{turned}"
            )
        return camera

    def doubt(self, *, rectified: bool = False, size: tuple[int, int] | None = None) -> str:
        """Returns a sentence on a lens that is unusual, as one of another image size; "" where it is usual.

        Raises ValueError as `camera` does.
        """
        camera = replace(self, roi=(0, 0, 0, 0), binning=(0, 0)).camera(
            rectified=rectified, size=None if self.width else size
        )
        low, high = _USUAL_CENTRE
        across, down = (camera.cx + 0.5) / camera.width, (camera.cy + 0.5) / camera.height
        if low <= across <= high and low <= down <= high:
            return ""
        return (
            f"the principal point ({camera.cx:.1f}, {camera.cy:.1f}) is far from the middle of the "
            f"{camera.width} x {camera.height} image; check that the calibration is of this image size"
        )

    def _lens(self, rectified: bool) -> tuple[tuple[float, ...], str, tuple[float, ...]]:
        """Returns the matrix (9,), the model and the coefficients, unchecked."""
        p = tuple(self.p[i] for i in (0, 1, 2, 4, 5, 6, 8, 9, 10)) if any(self.p) else ()
        if rectified and p:
            return p, "none", ()
        if rectified and self.p and any(self.d):
            raise ValueError(
                "the images are rectified, by the topic's name, but camera_info has P = 0 and only a lens "
                "with distortion; give a calibration of the rectified images"
            )
        if not any(self.k):
            if not p:
                raise ValueError("camera_info has K = 0: the camera is not calibrated; calibrate it")
            if any(self.d):
                raise ValueError(
                    "camera_info has K = 0 and distortion coefficients: P describes rectified images only; "
                    "take those, or calibrate the camera"
                )
            return p, "none", ()
        return self.k, *self._distortion()

    def _distortion(self) -> tuple[str, tuple[float, ...]]:
        model, d = self.model.lower(), self.d
        if not any(d) and model not in _FISHEYE:
            return "none", ()
        if model in _NO_DISTORTION:
            raise ValueError(f"camera_info has the distortion coefficients {d} but no distortion model")
        if model in _FISHEYE:
            # Four zeros are still a fisheye; drivers may omit or pad them.
            return "equidistant", (d[:4] if any(d) else (0.0,) * 4)
        if model in _BROWN:
            return "rational_polynomial" if len(d) > 5 else "plumb_bob", d
        if model not in DISTORTION_COEFFICIENTS:
            known = ", ".join(DISTORTION_COEFFICIENTS)
            raise ValueError(f"camera_info has the distortion model {self.model!r}; known models: {known}")
        return model, d

    def _as_sent(self, whole: Camera, size: tuple[int, int] | None) -> Camera:
        """Applies the region of interest and binning, unless only leaving one out gives the images' size."""
        cropped = whole
        if self.roi[2] and self.roi[3]:
            cropped = whole.cropped(*self.roi)
        binned, sent = self._binned(whole), self._binned(cropped)
        fitting = (c for c in (sent, whole, cropped, binned) if size in (None, (c.width, c.height)))
        return next(fitting, sent)

    def _binned(self, camera: Camera) -> Camera:
        across, down = (max(factor, 1) for factor in self.binning)
        if (across, down) == (1, 1):
            return camera
        return camera.resized(camera.width // across, camera.height // down)


def intrinsics_of(message: Any) -> Intrinsics:
    """Returns the numbers of a sensor_msgs/CameraInfo of ROS 2 or ROS 1."""

    def numbers(name: str) -> tuple[float, ...]:
        own = name if hasattr(message, name) else name.upper()
        return tuple(float(value) for value in getattr(message, own, ()))

    roi = message.roi
    return Intrinsics(
        message.width,
        message.height,
        message.distortion_model,
        numbers("d"),
        numbers("k"),
        numbers("p") or (0.0,) * 12,
        (message.binning_x, message.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
    )


def camera_of(message: Any, *, rectified: bool = False, size: tuple[int, int] | None = None) -> Camera:
    """Returns the camera of a sensor_msgs/CameraInfo, for the images as sent; see `Intrinsics.camera`.

    Raises:
        ValueError: the camera is not calibrated, or the numbers are no lens of these images.
    """
    return intrinsics_of(message).camera(rectified=rectified, size=size)


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


def is_rectified(topic: str) -> bool:
    """Returns whether images are rectified, by the name of their topic.

    The last part of the name that says either way counts: `left/image_rect_color`, `rgb/color/rect/image`.
    """
    for part in reversed(topic.split("/")):
        words = set(part.lower().split("_"))
        if words & _RECTIFIED:
            return True
        if words & _RAW:
            return False
    return False


class CameraInfoSeries:
    """Intrinsics of a camera_info topic over time, so that each image has its own; thread-safe.

    Of a recording an image has the message nearest in time, of a running camera the one with its own stamp,
    else the latest one.

    Args:
        keep: of a running camera: number of messages that are kept at least; None for a recording.

    Attributes:
        readout_s: readout time of the camera, in place of that of the intrinsics; None: theirs.
    """

    def __init__(self, keep: int | None = None) -> None:
        self.frame_id = ""
        self.readout_s: float | None = None
        self._keep = keep
        self._stamps_ns = array("q")
        self._which = array("q")
        self._distinct: list[Intrinsics] = []
        self._newest = 0
        self._adding = threading.Lock()

    @classmethod
    def fixed(cls, intrinsics: Intrinsics) -> CameraInfoSeries:
        """Makes the series of a camera whose intrinsics are known otherwise, such as from a file."""
        series = cls()
        series.add(0, intrinsics)
        return series

    def __len__(self) -> int:
        return len(self._stamps_ns)

    @property
    def distinct(self) -> list[Intrinsics]:
        """The different intrinsics, in order of their first message."""
        return self._distinct

    def add(self, stamp_ns: int, intrinsics: Intrinsics, frame_id: str = "") -> None:
        """Adds a message."""
        with self._adding:
            self.frame_id = self.frame_id or frame_id
            recent = range(len(self._distinct) - 1, max(len(self._distinct) - 1 - _TRIED, -1), -1)
            number = next((i for i in recent if self._distinct[i] == intrinsics), len(self._distinct))
            if number == len(self._distinct):
                self._distinct.append(intrinsics)
            self._newest = number
            self._insert(stamp_ns, number)

    def repeat(self, stamp_ns: int) -> None:
        """Adds a message that equals the last one added, apart from its stamp."""
        with self._adding:
            self._insert(stamp_ns, self._newest)

    def _insert(self, stamp_ns: int, number: int) -> None:
        at = bisect_right(self._stamps_ns, stamp_ns)
        self._stamps_ns.insert(at, stamp_ns)
        self._which.insert(at, number)
        if self._keep is not None and len(self) > 2 * self._keep:
            del self._stamps_ns[: -self._keep], self._which[: -self._keep]
            first = min(self._newest, *self._which)
            del self._distinct[:first]
            self._newest -= first
            self._which = array("q", (number - first for number in self._which))

    def at(self, stamp_ns: int) -> Intrinsics:
        """Returns the intrinsics of an image's message, see above. Raises ValueError where there is none."""
        with self._adding:
            if not self._which:
                raise ValueError("there is no camera_info")
            after = bisect_left(self._stamps_ns, stamp_ns)
            around = [i for i in (after - 1, after) if 0 <= i < len(self._stamps_ns)]
            best = min(around, key=lambda i: abs(self._stamps_ns[i] - stamp_ns))
            if self._keep is not None and self._stamps_ns[best] != stamp_ns:
                return self._distinct[self._newest]
            return self._distinct[self._which[best]]

    def camera_at(
        self, stamp_ns: int, *, rectified: bool = False, size: tuple[int, int] | None = None
    ) -> Camera:
        """Returns the camera of an image; see `Intrinsics.camera`.

        Where its message in a recording is unusable, such as those before a driver has read its calibration,
        another one of the first is taken.

        Raises:
            ValueError: the message is unusable, and so are the first ones of a recording.
        """
        intrinsics = self.at(stamp_ns)
        try:
            return self._read_out(intrinsics.camera(rectified=rectified, size=size))
        except ValueError:
            for other in self._distinct[:_TRIED] if self._keep is None else ():
                try:
                    return self._read_out(other.camera(rectified=rectified, size=size))
                except ValueError:
                    continue
            raise

    def _read_out(self, camera: Camera) -> Camera:
        return camera if self.readout_s is None else replace(camera, readout_s=self.readout_s)


def camera_info_beside(
    image_topic: str, image_frame: str, infos: Mapping[str, str], images: Collection[str]
) -> str | None:
    """Returns the camera_info topic of an image topic of any naming, or None where it cannot be told.

    It is the one in the image's namespace, or in the nearest one above where that is the only camera or the
    frames agree; else the only one with the image's frame.

    Args:
        infos: frame of each camera_info topic.
        images: topics of all colour and grey images.
    """
    parts = tuple(image_topic.split("/"))
    words = set(image_topic.replace("/", "_").split("_"))

    def namespace(info: str) -> tuple[str, ...]:
        return tuple(info.split("/")[:-1])

    def order(info: str) -> tuple[int, int, bool, str]:
        name = info.rsplit("/", 1)[-1]
        shared = len(words & set(name.split("_")))
        return -len(namespace(info)), -shared, name != "camera_info", info

    above = sorted((info for info in infos if parts[: len(namespace(info))] == namespace(info)), key=order)
    cameras = {_camera_namespace(topic) for topic in images}
    for info in above:
        inside = namespace(info)
        within = {camera for camera in cameras if camera[: len(inside)] == inside}
        beside = len(inside) >= len(_camera_namespace(image_topic))
        if beside or len(within) <= 1 or (image_frame and infos[info] == image_frame):
            return info
    same = [info for info, frame in infos.items() if image_frame and frame == image_frame]
    if len(same) == 1:
        return same[0]
    return next(iter(infos)) if len(infos) == 1 and len(cameras) == 1 else None


TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "h264", "h265", "zstd", "foxglove")
"""Last parts of topics of image_transport, after the name of the images."""


def _camera_namespace(image_topic: str) -> tuple[str, ...]:
    """Returns the parts of the topic before the name of the images and their transport."""
    parts = tuple(image_topic.split("/"))
    return parts[:-2] if parts[-1] in TRANSPORTS and len(parts) > 2 else parts[:-1]


def _check_matrix(k: tuple[float, ...], width: int, height: int) -> None:
    """Raises ValueError where a matrix (9,) is no intrinsic matrix."""
    fx, skew, cx, a, fy, cy, b, c, one = k
    numbers = f"fx {fx:.6g}, fy {fy:.6g}, cx {cx:.6g}, cy {cy:.6g}"
    if width <= 0 or height <= 0:
        raise ValueError(f"the image size of camera_info must be positive; it is {width} x {height}")
    if not np.isfinite(k).all():
        raise ValueError(f"camera_info has numbers that are not finite ({numbers})")
    if abs(one - 1) > 1e-3 or max(abs(a), abs(b), abs(c)) > 1e-3 or abs(skew) > 0.1 * abs(fx):
        raise ValueError(
            f"the matrix of camera_info is no intrinsic matrix: its rows are {k[:3]}, {k[3:6]}, {k[6:]}"
        )


def _check_lens(camera: Camera, matrix: str) -> None:
    """Raises ValueError where a camera cannot be that of its image, with the numbers and the limits."""
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    width, height = camera.width, camera.height
    start = f"{matrix} of camera_info cannot be a lens of {width} x {height} images:"
    ratio = max(fx / fy, fy / fx)
    if ratio > MAX_ASPECT:
        raise ValueError(
            f"{start} fx {fx:.6g} and fy {fy:.6g} differ by a factor {ratio:.3g} > {MAX_ASPECT:g}"
        )
    low, high = (limit * max(width, height) for limit in _FOCAL_RANGE)
    if not low <= fx <= high:
        raise ValueError(f"{start} fx {fx:.6g} is not within {low:.6g} to {high:.6g} pixels")
    for name, centre, extent in (("cx", cx, width), ("cy", cy, height)):
        least, most = _CENTRE_MARGIN * extent, (1 - _CENTRE_MARGIN) * extent
        if not least <= centre <= most:
            raise ValueError(f"{start} {name} {centre:.6g} is not within {least:.6g} to {most:.6g} pixels")
