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

"""Motion between images of a recording, from a few pairs: which poses agree with what the camera saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import inverse
from scene_geo_loc.traversals.rosbag.bag import Bag, BagMessage
from scene_geo_loc.traversals.rosbag.index import ImageTopic

PAIRS = 12
"""Pairs of images that are compared, spread over the recording."""
APART_NS = (100_000_000, 400_000_000, 1_600_000_000)
"""Least times between the images of a pair: the first after which matches moved by `MOVED_PX`."""
MOVED_PX = 16.0
"""Median movement of matches, in pixels of the compared images, that is enough to judge a motion by."""
MIN_MATCHES = 25
"""A pair with fewer matches shows no motion."""
MIN_PAIRS = 4
"""With fewer pairs that show motion nothing is known."""
MIN_FIT = 0.3
"""Least share of the matches that the right motion fits."""
MIN_LEAD = 0.1
MIN_WON = 0.75
INLIER_PX = 2.0
"""Largest distance of a match to its epipolar line, in pixels of the compared images."""
LONGER_SIDE = 640
"""Longer side of the compared images in pixels; smaller images are magnified."""
UNCHANGED = 0.85
"""Correlation of two images above which they show the same view."""

_MIN_BASELINE_M = 0.01
_MIN_ANGLE_RAD = np.deg2rad(1.0)
_STILL_PX = 2.0
_CLEARLY_FITS = 0.5
_MIN_FITTING = 0.4
"""A pair of which fewer matches fit any one motion shows several, or has wrong matches."""
_MAX_FAILED = 5
"""If so many images at the beginning have no matches in a later one, the others are not tried."""
_MAX_DISTANCE_BITS = 48
"""Of the 256 bits of an ORB descriptor."""

PosesAt = Callable[[NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.bool_]]]
"""Gives poses (N, 4, 4) of the optical frame at stamps (N,), and a mask (N,) of the known ones."""


@dataclass(frozen=True)
class _Features:
    """Features (N,) of an image, at pixels (N, 2)."""

    pixels: NDArray[np.float64]
    descriptors: NDArray[np.uint8]


@dataclass(frozen=True)
class _Pair:
    """Matches of two images.

    Attributes:
        stamps_ns: of both images.
        first, second: (N, 3) rays in the optical frames, z = 1.
        pixel: size of a pixel of the compared images at z = 1.
        moved_px: median movement of the matches in pixels of the compared images.
        fitting: share of the matches that fit the motion that most of them fit.
    """

    stamps_ns: tuple[int, int]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    pixel: float
    moved_px: float
    fitting: float


class VisualMotion:
    """Motion between images of a topic, used as a context manager; images are decoded when they are needed.

    Args:
        camera: of the images; None where unknown, then only `changes` can be asked for.
        ordinals: numbers of the images of the recording's topic that count, in order of time.
    """

    def __init__(
        self, bag: Bag, topic: ImageTopic, camera: Camera | None, ordinals: NDArray[np.intp]
    ) -> None:
        self._bag, self._topic, self._camera = bag, topic, camera
        self._ordinals = ordinals
        self._stamps = np.asarray(topic.stamps_ns, np.int64)[ordinals]
        self._pairs: list[_Pair] = []
        # The images of a video cannot be decoded one by one.
        shows = camera is not None and not topic.video
        self._starts = _spread(len(self._stamps) - 1) if shows else []
        self._open = ExitStack()

    def __enter__(self) -> VisualMotion:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def inlier_shares(self, hypotheses: Sequence[PosesAt]) -> NDArray[np.float64] | None:
        """Returns the shares (P, H) of matches that fit the motion of each hypothesis, a row a pair.

        They are relative to the matches that fit the best motion of each pair. A match fits where it is
        within `INLIER_PX` of its epipolar line (Sampson distance; Hartley and Zisserman, Multiple View
        Geometry, 11.4.3), or of its place where the camera only turned. Pairs are compared until one
        hypothesis clearly fits best.

        Args:
            hypotheses: poses of the camera.

        Returns:
            None where fewer than `MIN_PAIRS` pairs show motion and have poses of all hypotheses.
        """
        rows: list[list[float]] = []
        for number in range(PAIRS):
            pair = self._pair(number)
            if pair is None:
                break
            stamps = np.array(pair.stamps_ns, np.int64)
            given = [hypothesis(stamps) for hypothesis in hypotheses]
            if not all(known.all() for _, known in given):
                continue
            fitting = [_fitting(pair, inverse(poses[0]) @ poses[1]) for poses, _ in given]
            rows.append([min(share / pair.fitting, 1.0) for share in fitting])
            *others, best = sorted(np.median(rows, axis=0))
            if len(rows) >= MIN_PAIRS and best >= _CLEARLY_FITS and max(others, default=0) < best / 2:
                break
        return np.array(rows) if len(rows) >= MIN_PAIRS else None

    def _pair(self, number: int) -> _Pair | None:
        """Returns a pair of images that show motion, None where there are no more; remembers all."""
        failed = 0
        while number >= len(self._pairs) and self._starts and failed < _MAX_FAILED:
            pair = self._pair_from(self._starts.pop(0), self._camera) if self._camera else None
            if pair is None:
                failed += not self._pairs
            else:
                self._pairs.append(pair)
        if failed >= _MAX_FAILED:
            self._starts = []  # images without texture, or of another place each
        return self._pairs[number] if number < len(self._pairs) else None

    def _pair_from(self, start: int, camera: Camera) -> _Pair | None:
        """Returns the pair of an image and a later one; None where no later one shows motion."""
        first, best = self._features(start, camera), None
        for apart_ns in APART_NS if first is not None else ():
            later = int(np.searchsorted(self._stamps, self._stamps[start] + apart_ns))
            second = self._features(later, camera) if later < len(self._stamps) else None
            stamps = int(self._stamps[start]), int(self._stamps[min(later, len(self._stamps) - 1)])
            pair = None if first is None or second is None else _matched(first, second, stamps, camera)
            if pair is None:
                break
            best = pair
            if pair.moved_px >= MOVED_PX:
                break
        return best if best is not None and best.moved_px >= _STILL_PX else None

    def _features(self, index: int, camera: Camera) -> _Features | None:
        """Returns the features of an image; None where it is damaged, of another size, or shows too few."""
        image = self._decoded(index)
        if image is None or image.shape[1::-1] != (camera.width, camera.height):
            return None
        scale = _scale(camera)
        size = (round(camera.width * scale), round(camera.height * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=how)
        orb = cv2.ORB_create(nfeatures=400)  # type: ignore[attr-defined]
        found, described = orb.detectAndCompute(grey, None)
        if described is None or len(found) < MIN_MATCHES:
            return None
        pixels = np.array([keypoint.pt for keypoint in found], np.float64) / scale
        return _Features(pixels, np.asarray(described, np.uint8))

    @cached_property
    def changes(self) -> bool | None:
        """True if the view changes over the recording, False if it stays; None where images are too few."""
        if self._topic.video:
            return None
        few = sorted({round(index) for index in np.linspace(0, len(self._stamps) - 1, 6)})
        images = [self._decoded(index) for index in few]
        views = [_thumbnail(image) for image in images if image is not None]
        if len(views) < 2:
            return None
        return bool(np.median([np.mean(views[0] * view) for view in views[1:]]) < UNCHANGED)

    @cached_property
    def _messages_at(self) -> Callable[[int], list[BagMessage]]:
        return self._open.enter_context(self._bag.random_access(self._topic.topic))

    def _decoded(self, index: int) -> NDArray[np.uint8] | None:
        """Returns an image (H, W, 3); None where it cannot be decoded."""
        log_time_ns = self._topic.log_times_ns[int(self._ordinals[index])]
        for message in self._messages_at(log_time_ns):
            if message.stamp_ns == self._stamps[index]:
                try:
                    return self._topic.decoder(message.decode())
                except ValueError:
                    return None
        return None


def best_seen(shares: NDArray[np.float64] | None) -> int | None:
    """Returns the hypothesis that fits the images best, of shares (P, H); None where none clearly does.

    It fits at least `MIN_FIT` of the matches, and against any other `MIN_LEAD` more in the median pair and
    more in `MIN_WON` of the pairs.
    """
    if shares is None:
        return None
    best = int(np.argmax(np.median(shares, axis=0)))
    leads = shares[:, [best]] - np.delete(shares, best, axis=1)
    clear = (np.median(leads, axis=0) >= MIN_LEAD) & ((leads > 0).mean(axis=0) >= MIN_WON)
    return best if np.median(shares[:, best]) >= MIN_FIT and clear.all() else None


def _spread(count: int) -> list[int]:
    """Returns up to `PAIRS` numbers below a count, evenly spread, as are the first of them."""
    numbers = sorted({round(number) for number in np.linspace(0, count - 1, PAIRS)}) if count > 0 else []
    return [numbers[i] for step in range(3) for i in range(step, len(numbers), 3)]


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns a small grey image (24, 32) with mean 0 and standard deviation 1."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 24), interpolation=cv2.INTER_AREA).astype(np.float64)
    return (small - small.mean()) / max(float(small.std()), 1e-6)


def _scale(camera: Camera) -> float:
    return LONGER_SIDE / max(camera.width, camera.height)


def _matched(first: _Features, second: _Features, stamps_ns: tuple[int, int], camera: Camera) -> _Pair | None:
    """Returns the matches of two images; None where they are few."""
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)
    matches = [
        match
        for match in matcher.match(first.descriptors, second.descriptors)
        if match.distance < _MAX_DISTANCE_BITS
    ]
    if len(matches) < MIN_MATCHES:
        return None
    there = first.pixels[[match.queryIdx for match in matches]]
    here = second.pixels[[match.trainIdx for match in matches]]
    moved_px = float(np.median(np.linalg.norm(there - here, axis=1))) * _scale(camera)
    pixel = 1.0 / (camera.fx * _scale(camera))
    first_rays, second_rays = camera.rays(there), camera.rays(here)
    _, inliers = cv2.findEssentialMat(
        first_rays[:, :2], second_rays[:, :2], np.eye(3), cv2.RANSAC, 0.999, INLIER_PX * pixel
    )
    fitting = 0.0 if inliers is None else float(np.mean(inliers))
    if fitting < _MIN_FITTING:
        return None
    return _Pair(stamps_ns, first_rays, second_rays, pixel, moved_px, fitting)


def _fitting(pair: _Pair, T_first_second: NDArray[np.float64]) -> float:
    """Returns the share of matches that fit a motion."""
    R, t = T_first_second[:3, :3], T_first_second[:3, 3]
    with np.errstate(all="ignore"):
        if np.linalg.norm(t) < _MIN_BASELINE_M:
            turned = pair.second @ R.T
            error = np.linalg.norm(turned[:, :2] / turned[:, 2:] - pair.first[:, :2], axis=1)
            error[turned[:, 2] <= 0] = np.inf
        else:
            skew = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
            E = skew @ R
            Ex2, Etx1 = pair.second @ E.T, pair.first @ E
            algebraic = np.sum(pair.first * Ex2, axis=1)
            slope = Ex2[:, 0] ** 2 + Ex2[:, 1] ** 2 + Etx1[:, 0] ** 2 + Etx1[:, 1] ** 2
            error = np.abs(algebraic) / np.sqrt(slope)
    return float(np.mean(error < INLIER_PX * pair.pixel))
