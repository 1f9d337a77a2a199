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

"""Input of the localizer, and the matches of each image that a pose is solved from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.estimate import Candidate, Matches
from scene_geo_loc.localization.pnp import CameraMatches, ideal_pixels, shrinking_of
from scene_geo_loc.localization.retrieval.image_sequence import KeyframeVotes
from scene_geo_loc.localization.rolling_shutter import MotionOf, RollingRows
from scene_geo_loc.localization.verification.lens_fit import LensFit
from scene_geo_loc.localization.verification.rejection import Rejection
from scene_geo_loc.matchers.features import LocalFeatures
from scene_geo_loc.traversals.frame import Frame


@dataclass(frozen=True)
class CameraImage:
    """An image of one camera of a rig.

    Attributes:
        image: (H, W, 3) uint8 RGB, not undistorted.
        camera: its intrinsics; the size is the image's.
        T_base_camera: pose of the optical frame in the base, the frame whose pose is estimated, at the time
            of the estimate.  Identity: the pose of the camera itself is estimated.  Where a camera is
            triggered at another time than the estimate is for, the odometry in between is part of it.
        depth: (h, w) float32 metres along the optical axis, NaN where unknown, of the same view and of any
            size; None where no sensor measured it together with the image.
        readout_motion: returns the camera's motion by odometry while a rolling shutter read the image out, or
            None where it is not known: then, and for a global shutter, all rows have one pose.  It is asked
            for as late as possible, as odometry may still have to arrive.
    """

    image: NDArray[np.uint8]
    camera: Camera
    T_base_camera: Pose = field(default_factory=lambda: np.eye(4))
    depth: NDArray[np.float32] | None = None
    readout_motion: MotionOf = lambda: None


Query = Frame | CameraImage | Sequence[CameraImage]
"""A frame or an image, or one image of each camera of a rig."""


def image_of(frame: Frame, T_base_camera: Pose | None = None) -> CameraImage:
    """Returns the image of a frame, at a pose in the base; default: it is the base."""
    motion = frame.readout_motion
    return CameraImage(
        frame.image,
        frame.camera,
        np.eye(4) if T_base_camera is None else T_base_camera,
        frame.depth,
        lambda: motion if motion is not None and motion.by_odometry else None,
    )


def camera_images(query: Query) -> list[CameraImage]:
    """Returns the images of a query, one of each camera.

    Raises SceneGeoLocError where there is none, or one of another size than its camera.
    """
    if isinstance(query, Frame):
        query = image_of(query)
    images = [query] if isinstance(query, CameraImage) else list(query)
    if not images:
        raise SceneGeoLocError("There is no image to localize: give one image of each camera.")
    for image in images:
        shape, camera = image.image.shape, image.camera
        if len(shape) != 3 or shape[2] != 3:
            raise SceneGeoLocError(f"The image has the shape {shape}: give an RGB image (H, W, 3).")
        if shape[:2] != (camera.height, camera.width):
            raise SceneGeoLocError(
                f"The image is {shape[1]}x{shape[0]} and its camera {camera.width}x{camera.height}: "
                "give the intrinsics for the size of the image."
            )
    return images


class Stopwatch:
    """Milliseconds by step, added up over the cameras, and their "total"."""

    def __init__(self) -> None:
        self.times_ms: dict[str, float] = {"total": 0.0}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Adds the duration of the block to a step and to the total."""
        start = time.perf_counter()
        yield
        spent_ms = (time.perf_counter() - start) * 1e3
        self.times_ms[name] = self.times_ms.get(name, 0.0) + spent_ms
        self.times_ms["total"] += spent_ms


@dataclass
class QueryMatches:
    """Matches of one image of a query with the map.

    Attributes:
        T_base_camera: pose of its camera in the base.
        camera: intrinsics at the size of the network's input, see `ReadingSize`.
        candidates: retrieved keyframes, best first.
        matches: matches with the first candidates, in pixels of the network's input.
        blocks: number of the image's blocks that have local features, see `covariance.block_count`; at most
            as many as an image of the map has, where a wider lens sees more than that.
        rejection: reason why there are no matches, or None.
        votes: votes of the image alone for keyframes, or None where it was not retrieved.
        first_T_map_base: pose of the base from a subset of the features of all candidates, if it passes the
            checks; else None.
        lens: fit of the focal length at the accepted pose, or None.
        features: local features of the image, or None where it has none.
        rolling: moves the pixels of a rolling shutter's image; None where all rows have one pose.
    """

    T_base_camera: Pose
    camera: Camera
    candidates: list[Candidate] = field(default_factory=list)
    matches: Matches = field(default_factory=Matches.none)
    blocks: int = 0
    rejection: Rejection | None = None
    votes: KeyframeVotes | None = None
    first_T_map_base: Pose | None = None
    lens: LensFit | None = None
    features: LocalFeatures | None = None
    rolling: RollingRows | None = None

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the network's input for the image."""
        return self.camera.width, self.camera.height

    @cached_property
    def geometry(self) -> CameraMatches:
        """Input of the solver: ideal pixels and points of the map."""
        matches = self.matches
        if self.rolling is None:
            pixels = ideal_pixels(self.camera, matches.query_pixels)
        else:
            pixels = self.rolling.ideal_pixels(self.camera, matches)
        return CameraMatches(
            self.T_base_camera,
            self.camera,
            pixels,
            matches.points_map,
            matches.points_sigma,
            matches.keyframe,
            shrinking_of(self.camera, pixels),
        )

    def set_rows_at(self, T_map_base: Pose) -> None:
        """Takes the depth of a rolling shutter's points from a pose, instead of from the keyframes."""
        if self.rolling is not None:
            self.rolling = replace(self.rolling, T_map_camera=T_map_base @ self.T_base_camera)
            self.__dict__.pop("geometry", None)

    def place_points(self, T_map_base: Pose) -> None:
        """Sets the points of matches without depth where their rays are nearest to the pixels at a pose."""
        if not self.geometry.has_depth.all():
            points = self.geometry.points_at(T_map_base @ self.T_base_camera)
            self.matches = replace(self.matches, points_map=points)

    def parts(self, keyframes: Sequence[int]) -> list[NDArray[np.bool_]]:
        """Returns masks (M,) of the matches with each of some keyframes."""
        return [self.matches.keyframe == keyframe for keyframe in keyframes]

    def counted(self, inlier: NDArray[np.bool_]) -> list[Candidate]:
        """Returns the candidates with the numbers of their matches and inliers (M,)."""
        own = self.parts([candidate.keyframe for candidate in self.candidates])
        return [
            replace(candidate, matches=int(mask.sum()), inliers=int((mask & inlier).sum()))
            for candidate, mask in zip(self.candidates, own, strict=True)
        ]
