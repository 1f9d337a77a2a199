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

"""The second, slower look at images whose pose is in doubt, at a bounded share of the images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.localization.estimate import CameraEstimate, PoseEstimate, PosePrior, Status
from scene_geo_loc.localization.query import CameraImage, Stopwatch
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages
from scene_geo_loc.localization.verification.rejection import RejectionKind

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer

RETRIEVED, CANDIDATES = 50, 10
"""Keyframes that a second look retrieves and matches in full, where the settings have fewer."""
STRICTER = 1.25
"""A second look requires this multiple of the inlier ratio: it tries more, and more can agree by chance."""
MARGIN = 1.5
"""A pose whose inlier ratio is below this multiple of the least one is in doubt."""
SAVED = 5.0
"""Most second looks that images without one save up."""
HOPELESS = (
    RejectionKind.INVALID_IMAGE,
    RejectionKind.NO_CONTRAST,
    RejectionKind.INFERENCE,
    RejectionKind.SEARCH,
    RejectionKind.NO_KEYFRAME_NEAR_PRIOR,
    RejectionKind.OTHER_LENS,
    RejectionKind.AMBIGUOUS,
)
"""Rejections that a second look does not change, or should not."""


class LookBudget:
    """Counts how many images may still take a second look.

    It counts images and not time, so the same images take it in a recording and live, on any machine.

    Args:
        share: largest share of the images, over any long run of them.
    """

    def __init__(self, share: float) -> None:
        self._share, self._saved = share, SAVED if share else 0.0

    def count_image(self) -> None:
        """Counts an image."""
        self._saved = min(self._saved + self._share, SAVED)

    def take(self) -> bool:
        """Returns whether the image may take a second look, and counts it."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


@dataclass(frozen=True)
class View:
    """A virtual camera in the place of a real one: turned about its optical axis, or with a longer lens.

    Attributes:
        turn_deg: angle that the image's content is turned by, counter-clockwise.
        zoom: multiple of the focal length.
    """

    turn_deg: float = 0.0
    zoom: float = 1.0

    def of(self, image: CameraImage) -> CameraImage:
        """Returns the image as the virtual camera takes it, of the same size."""
        if self == View():
            return image
        camera = image.camera
        turned = cv2.warpAffine(image.image, self.affine(camera), (camera.width, camera.height))
        distortion = camera.distortion
        if camera.model in ("plumb_bob", "rational_polynomial"):  # the tangential part is a vector (p2, p1)
            k1, k2, p1, p2, *others = distortion
            p2, p1 = self._rotation @ (p2, p1)
            distortion = (k1, k2, float(p1), float(p2), *others)
        T_camera_view = np.eye(4)
        T_camera_view[:2, :2] = self._rotation.T
        motion = image.readout_motion

        def readout_motion() -> ReadoutMotion | None:
            found = motion()
            return None if found is None else found.in_view(T_camera_view, self._row(camera, found.row))

        return CameraImage(
            np.asarray(turned, np.uint8),
            replace(camera, fx=self.zoom * camera.fx, fy=self.zoom * camera.fy, distortion=distortion),
            image.T_base_camera @ T_camera_view,
            readout_motion=readout_motion,
        )

    def _row(self, camera: Camera, row: tuple[float, float, float]) -> tuple[float, float, float]:
        """Returns the product that gives the row of the view's pixels, from that of the real image's."""
        size = np.diag([camera.width, camera.height, 1.0])
        size[:2, 2] = -0.5  # places from 0 to 1 to pixels
        back = np.vstack([cv2.invertAffineTransform(self.affine(camera)), [0.0, 0.0, 1.0]])
        x, y, one = np.array(row) @ np.linalg.inv(size) @ back @ size
        return float(x), float(y), float(one)

    def affine(self, camera: Camera) -> NDArray[np.float64]:
        """Returns the map (2, 3) from the real image's pixels to the virtual camera's."""
        focal, centre = np.diag([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
        linear = self.zoom * focal @ self._rotation @ np.linalg.inv(focal)
        return np.column_stack([linear, centre - linear @ centre])

    @property
    def _rotation(self) -> NDArray[np.float64]:
        """Rotation (2, 2) of image coordinates, whose y axis points down."""
        angle = np.radians(self.turn_deg)
        return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


VIEWS = (View(), View(turn_deg=30), View(turn_deg=-30), View(zoom=1.6))
"""Views of an image that a second look tries, until one is localized."""


class SecondLook:
    """Localizes an image again where the first look left its pose in doubt.

    It retrieves and matches more keyframes, and looks at the image also turned and magnified, which a
    network's features bear little of.

    Args:
        localizer: takes the first look.
        share: largest share of the images that take a second one.
    """

    def __init__(self, localizer: Localizer, share: float) -> None:
        self._budget = LookBudget(share)
        settings = localizer.settings
        more = {
            "retrieved": max(RETRIEVED, settings.retrieved),
            "candidates": max(CANDIDATES, settings.candidates),
        }
        self._limit = localizer.verifier.limits.inlier_ratio
        self._localizer = copy.copy(localizer)
        self._localizer.settings = settings.model_copy(update=more)
        self._localizer.verifier = localizer.verifier.stricter(min(1.0, STRICTER * self._limit))

    def is_due(self, estimate: PoseEstimate) -> bool:
        """Counts an image, and returns whether it takes a second look."""
        self._budget.count_image()
        return self._is_in_doubt(estimate) and self._budget.take()

    def decide(
        self,
        images: Sequence[CameraImage],
        sizes: Sequence[tuple[int, int]],
        prior: PosePrior | None,
        earlier: EarlierImages,
        first: PoseEstimate,
    ) -> PoseEstimate:
        """Returns the estimate of the first view that is localized, or else that of the first look.

        Arguments as of `Localizer.look`; a view is read at the size of its image.
        """
        for view in VIEWS:
            seen = [view.of(image) for image in images]
            estimate = self._localizer.look(seen, sizes, prior, earlier, Stopwatch())
            if estimate.status is Status.LOCALIZED:
                estimate.cameras = [
                    _in_real_image(camera, view, image)
                    for camera, image in zip(estimate.cameras, images, strict=True)
                ]
                return estimate
        return first

    def _is_in_doubt(self, estimate: PoseEstimate) -> bool:
        if estimate.status is Status.LOCALIZED:
            return estimate.inlier_ratio < MARGIN * self._limit
        return estimate.kind not in HOPELESS


def _in_real_image(camera: CameraEstimate, view: View, image: CameraImage) -> CameraEstimate:
    """Returns a virtual camera's part of an estimate as the real camera's."""
    back = cv2.invertAffineTransform(view.affine(image.camera))
    pixels = camera.matches.query_pixels @ back[:, :2].T + back[:, 2]
    return replace(
        camera,
        T_base_camera=image.T_base_camera,
        matches=replace(camera.matches, query_pixels=pixels),
        lens=None if camera.lens is None else replace(camera.lens, camera=image.camera),
    )
