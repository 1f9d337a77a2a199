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

"""Fixed cameras by day and night: matches of a warped night image with a day image of the same camera.

A fixed camera gives images in other light that are aligned to the pixel.  The night image is warped by a
known homography, so that the right place of every match is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.real.experiment import Tools, check_count
from scene_geo_loc.benchmarks.real.image_matcher import ImageMatcher
from scene_geo_loc.benchmarks.real.results import Kind, Part, mean_part
from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.core.progress import tracked
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.traversals.folder import read_image

WIDTH = 640
"""Width that images are resized to, in pixels."""
RIGHT_PX = 3.0
"""Largest error of a right match, in pixels of images of that width."""
ROUGH_PX = 8.0
"""A wider bound, half of a cell of the default network's grid of features."""
PAIRS = 6
"""Most pairs of a camera."""


@dataclass(frozen=True)
class Warps:
    """Range of random homographies.

    Attributes:
        name: name of the range.
        scale, least_scale: greatest and least scale.
        angle_deg: greatest rotation.
        perspective: greatest change of scale from the centre to the border of the image.
    """

    name: str
    scale: float
    least_scale: float
    angle_deg: float
    perspective: float


WARPS = (Warps("mild warps", 1.2, 0.83, 10.0, 0.05), Warps("strong warps", 1.4, 0.7, 30.0, 0.1))
_SHIFT = 0.1

_NAMED_BY_TIME = re.compile(r"\d{8}[_-]?\d{6}\.(jpe?g|png)", re.IGNORECASE)
_MIN_IMAGES = 6
_SEED = 20151101

PROTOCOL = (
    f"A camera's images are resized to {WIDTH} pixels in width. The darkest third by mean grey value is "
    f"night, the brightest third day; {PAIRS} of each at most are paired by rank. The night image is warped "
    "by random homographies with a fixed seed, the same for every camera and method: "
    + "; ".join(
        f"{warps.name} have a scale of {warps.least_scale:g} to {warps.scale:g}, a rotation of "
        f"±{warps.angle_deg:g}° and a perspective of ±{100 * warps.perspective:g} % from centre to border"
        for warps in WARPS
    )
    + f"; both a shift of ±{100 * _SHIFT:g} %. Corners without an image are black. A match is right within "
    f"{RIGHT_PX:g} pixels of where the homography puts the day image's feature. The share is of all mutual "
    "matches of a pair, also where no right match is possible; means over pairs, then over cameras. The "
    "package's network was trained on images of 12 cameras that the source names; 00023966 and 00019607 were "
    "kept apart."
)


def is_fixed_cameras(folder: Path) -> bool:
    """Returns whether a folder has folders of cameras with images that are named by their time."""
    return any(len(_images(camera)) >= _MIN_IMAGES for camera in _folders(folder))


@dataclass(frozen=True)
class FixedCameras:
    """The cameras below a folder; see `Experiment`."""

    folder: Path
    kind: Kind = Kind.MATCHES

    @classmethod
    def open(cls, folder: Path) -> FixedCameras:
        """Opens the folder of the cameras."""
        return cls(folder)

    def methods(self, matchers: Sequence[str]) -> list[str]:
        """See `Experiment.methods`."""
        return list(matchers)

    def run(self, method: str, tools: Tools) -> list[Part]:
        """Returns the numbers of each camera, after those of all cameras together."""
        cameras = [camera for camera in _folders(self.folder) if len(_images(camera)) >= _MIN_IMAGES]
        scored: dict[str, list[Part]] = {warps.name: [] for warps in WARPS}
        with tools.show(f"{method} on fixed cameras", "cameras") as on_progress:
            for camera in tracked(cameras, len(cameras), on_progress):
                matcher = ImageMatcher(method, tools.network, tools.device)
                for name, part in zip(scored, _score(camera, matcher), strict=True):
                    scored[name].append(part)
        check_count(sum(part.queries for part in scored[WARPS[0].name]), "pairs of images", self.folder)
        means = [mean_part(f"all cameras, {name}", parts) for name, parts in scored.items()]
        return [*means, *(part for parts in zip(*scored.values(), strict=True) for part in parts)]


@dataclass
class _Counts:
    """Matches of the pairs of a camera, and the milliseconds that a night image took."""

    matches: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    rough: list[int] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)

    def part(self, name: str) -> Part:
        all_of = np.maximum(self.matches, 1)
        return Part(
            name=name,
            queries=len(self.matches),
            values={
                "right": float((np.array(self.right) / all_of).mean()),
                "right_8px": float((np.array(self.rough) / all_of).mean()),
                "right_count": float(np.mean(self.right)),
                "matches": float(np.mean(self.matches)),
                "ms": float(np.median(self.ms)),
            },
        )


def _score(camera: Path, matcher: ImageMatcher) -> list[Part]:
    """Returns the numbers of a camera with each of `WARPS`."""
    counts = [_Counts() for _ in WARPS]
    for number, (night, day) in enumerate(day_night_pairs(camera)):
        reference = matcher.features(day)
        for warps, count in zip(WARPS, counts, strict=True):
            size = (night.shape[1], night.shape[0])
            H = homography(number, size, warps)
            warped = np.asarray(cv2.warpPerspective(night, H, size), np.uint8)
            stopwatch = Stopwatch()
            with stopwatch.step("match"):
                query_pixels, day_pixels = matcher.match(matcher.features(warped), reference)
            errors = np.linalg.norm(query_pixels - warp(H, day_pixels), axis=1)
            count.matches.append(len(errors))
            count.right.append(int((errors <= RIGHT_PX).sum()))
            count.rough.append(int((errors <= ROUGH_PX).sum()))
            count.ms.append(stopwatch.times_ms["total"])
    return [count.part(f"{camera.name}, {warps.name}") for warps, count in zip(WARPS, counts, strict=True)]


def day_night_pairs(camera: Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yields pairs of a night and a day image of a camera, RGB of the same size; see `PROTOCOL`.

    Raises SceneGeoLocError where too few of its images can be read.
    """
    images = []
    for path in _images(camera):
        try:
            image = read_image(path)
        except TraversalError:
            continue
        height = round(image.shape[0] * WIDTH / image.shape[1])
        images.append(np.asarray(cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8))
    images = [image for image in images if image.shape == images[0].shape]
    if len(images) < _MIN_IMAGES:
        raise SceneGeoLocError(f"{camera}: {len(images)} readable images of one size < {_MIN_IMAGES}.")
    order = np.argsort([image.mean() for image in images], kind="stable")
    count = min(PAIRS, len(images) // 3)
    for dark, bright in zip(order[:count], order[-count:], strict=True):
        yield images[dark], images[bright]


def homography(number: int, size: tuple[int, int], warps: Warps) -> NDArray[np.float64]:
    """Returns the homography (3, 3) of pair `number`, from an image of a size to the warped one."""
    rng = np.random.default_rng([_SEED, number])
    width, height = size
    scale = np.exp(rng.uniform(np.log(warps.least_scale), np.log(warps.scale)))
    angle = np.radians(rng.uniform(-warps.angle_deg, warps.angle_deg))
    tilt = rng.uniform(-warps.perspective, warps.perspective, 2) / (width / 2, height / 2)
    shift = rng.uniform(-_SHIFT, _SHIFT, 2) * (width, height)
    centre = (np.array([width, height]) - 1) / 2
    to_centre = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1.0]])
    perspective = np.array([[1, 0, 0], [0, 1, 0], [*tilt, 1.0]])
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    back = np.array([[cos, -sin, centre[0] + shift[0]], [sin, cos, centre[1] + shift[1]], [0, 0, 1.0]])
    H: NDArray[np.float64] = back @ perspective @ to_centre
    return H


def warp(H: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns where a homography (3, 3) puts pixels (N, 2)."""
    moved = np.c_[pixels, np.ones(len(pixels))] @ H.T
    return moved[:, :2] / moved[:, 2:]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _images(camera: Path) -> list[Path]:
    """Returns the images of a camera, also those in folders of months, such as 2015.11."""
    found = [*camera.iterdir(), *camera.glob("????.??/*")]
    return sorted(path for path in found if _NAMED_BY_TIME.fullmatch(path.name))
