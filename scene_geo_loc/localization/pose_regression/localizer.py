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

"""Localizes images by a pose regressor: one forward pass, and checks that decide whether it is believed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.estimate import (
    CameraEstimate,
    LocalizerSettings,
    PoseEstimate,
    PosePrior,
    Status,
    UnverifiedPose,
)
from scene_geo_loc.localization.pose_localizer import PoseLocalizer
from scene_geo_loc.localization.pose_regression.depth_picture import depth_picture
from scene_geo_loc.localization.pose_regression.regressor import Regression, Regressor
from scene_geo_loc.localization.query import CameraImage, Query, Stopwatch, camera_images
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, KeyframeVotes, no_images
from scene_geo_loc.localization.uncertainty.covariance import move_covariance
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.mapping.localizer_names import POSE_REGRESSION
from scene_geo_loc.mapping.map_info import REGRESSOR
from scene_geo_loc.mapping.reference_map import AnyMap
from scene_geo_loc.networks.forward_pass import FEATURES
from scene_geo_loc.networks.runtime.backends import Work, graph_backends, start_first
from scene_geo_loc.networks.runtime.extractor import has_contrast

if TYPE_CHECKING:
    from typing_extensions import Self

    from scene_geo_loc.localization.relative_pose.network import RelativeRegressor

CAMERAS = 64
"""Number of cameras whose pixels' places are kept."""
MIN_SEEN = 0.8
"""Share of the network's input that a camera of another lens must see."""
SAME_PX = 0.5
"""A camera whose pixels lie within this many pixels of the input's is resized only."""


@dataclass(frozen=True)
class _Answer:
    """Regression of one camera's image with its calibrated covariance, or the reason why it is not used."""

    regression: Regression | None = None
    covariance: NDArray[np.float64] | None = None
    rejection: Rejection | None = None
    features: NDArray[np.float32] | None = None

    @property
    def std_m(self) -> float:
        """Standard deviation of the position along its least certain axis, metres; infinite without one."""
        return np.inf if self.covariance is None else position_std_m(self.covariance)

    def pose_of_base(self, image: CameraImage) -> UnverifiedPose | None:
        """Returns the pose of the base that an image's camera is mounted on; None without a regression."""
        if self.regression is None or self.covariance is None:
            return None
        T_map_base = self.regression.T_map_camera @ inverse(image.T_base_camera)
        lever = T_map_base[:3, 3] - self.regression.T_map_camera[:3, 3]
        return UnverifiedPose(T_map_base, move_covariance(self.covariance, lever))


class PoseRegressor(PoseLocalizer):
    """Estimates poses by a network that regresses them (PoseNet, Kendall et al., ICCV 2015).

    A pose is accepted where three things hold, whose limits were chosen on images that the network was not
    trained on: the features of the image are like those of the training, the calibrated standard deviation
    of the position is small, and the position is near to an image of the training.

    Attributes:
        map: the map, whose keyframes are images of the training, without features.
        settings: the given settings; none of them concerns a regressor.
        regressor: the network.
        name, noun: of the localizer, and of what its maps are for.
    """

    name: ClassVar[str] = POSE_REGRESSION
    noun: ClassVar[str] = "pose regression"
    regressor: Regressor | RelativeRegressor

    def __init__(
        self, opened: AnyMap, settings: LocalizerSettings | None = None, device: str = "auto"
    ) -> None:
        """Loads the regressor of a map.

        Raises CheckpointError where it is damaged, MapError where the map was made with another.
        """
        if opened.info.localizer != self.name or not opened.cameras or not len(opened):
            raise MapError(
                f"{opened.path} is not a map of {self.noun}: name one that was trained for a place."
            )
        self.map, self.settings = opened, settings or LocalizerSettings()
        self._device = device
        self.regressor = self._regressor_of(opened)
        description = self.regressor.description
        self._size = (description.input_width, description.input_height)
        shape = (1, description.input_height, description.input_width, 3)
        work = Work(self.regressor.graph, (FEATURES,), shape)
        self._backend = start_first(graph_backends(work, device), device)
        self._cameras = [camera.resized(*self._size) for camera in opened.cameras]
        self._positions = opened.T_map_camera[:, :3, 3]
        self._pixels = lru_cache(CAMERAS)(self._places)

    def _regressor_of(self, opened: AnyMap) -> Regressor | RelativeRegressor:
        """Returns what regresses poses in a map."""
        return Regressor.read(opened.path / REGRESSOR)

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        *,
        verified: Collection[str] = (),
    ) -> Self:
        """See `PoseLocalizer.open`."""
        return cls(AnyMap.open(folder, verified=verified), settings, device)

    @property
    def device(self) -> str:
        """Device that was asked for."""
        return self._device

    @property
    def backend_name(self) -> str:
        """Name of the backend that runs the network."""
        return self._backend.name

    def localize(
        self, query: Query, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        """See `PoseLocalizer.localize`; of a rig the pose by the camera that is most certain is taken."""
        images = camera_images(query)
        stopwatch = Stopwatch()
        answers = []
        reads_clip = self.regressor.description.clip > 1 and len(images) == 1
        for image in images:
            with stopwatch.step("regress"):
                before = [] if not reads_clip else [image.votes.features for image in earlier()]
                clip = [features for features in before if features is not None]
                answers.append(self._answer(image, prior, clip))
        cameras = [
            CameraEstimate(
                image.T_base_camera,
                rejection=answer.rejection,
                votes=KeyframeVotes.of_features(answer.features)
                if reads_clip and answer.features is not None
                else None,
            )
            for image, answer in zip(images, answers, strict=True)
        ]
        # Of those that are accepted, else of all: the camera that is most certain.
        usable = [i for i, answer in enumerate(answers) if answer.rejection is None]
        best = min(usable or range(len(answers)), key=lambda i: answers[i].std_m)
        answer = answers[best]
        found = answer.pose_of_base(images[best])
        if answer.rejection is not None or found is None:
            return PoseEstimate(
                Status.LOST,
                rejection=answer.rejection,
                unverified=found,
                cameras=cameras,
                timings_ms=stopwatch.times_ms,
            )
        return PoseEstimate(
            Status.LOCALIZED,
            found.T_map_base,
            found.covariance,
            unverified=found,
            cameras=cameras,
            timings_ms=stopwatch.times_ms,
        )

    def regress(self, image: CameraImage) -> Regression | None:
        """Returns the regression of an image, not judged; None where its camera sees too little of the input.

        Raises SceneGeoLocError where the image has another size than its camera.
        """
        (image,) = camera_images(image)
        features = self._features(image)
        return None if isinstance(features, Rejection) else self.regressor.regress(features)

    def _features(self, image: CameraImage) -> NDArray[np.float32] | Rejection:
        """Returns the features (F,) of an image, and of its depth where the regressor takes that."""
        read = self._read(image.image, image.camera, cv2.INTER_AREA)
        if isinstance(read, Rejection):
            return read
        features = self._backend.run(read)[FEATURES].ravel()
        scale_m = self.regressor.description.depth_scale_m
        if scale_m is None:
            return features
        if image.depth is None:
            return Rejection(RejectionKind.NO_DEPTH_IMAGE)
        picture = self._read(depth_picture(image.depth, scale_m), image.camera, cv2.INTER_NEAREST)
        assert not isinstance(picture, Rejection)
        return np.concatenate([features, self._backend.run(picture)[FEATURES].ravel()])

    def _answer(
        self, image: CameraImage, prior: PosePrior | None, clip: Sequence[NDArray[np.float32]]
    ) -> _Answer:
        """Returns the answer to an image after the features of a clip."""
        if not has_contrast(image.image):
            return _Answer(rejection=Rejection(RejectionKind.NO_CONTRAST))
        features = self._features(image)
        if isinstance(features, Rejection):
            return _Answer(rejection=features)
        regression = self.regressor.regress(np.stack([*clip, features]))
        covariance = self._calibrated(regression.covariance)
        return _Answer(regression, covariance, self._judge(regression, covariance, image, prior), features)

    def _calibrated(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        calibration = self.regressor.description.calibration
        if calibration is None:
            return covariance
        scales = np.repeat([calibration.position_scale, calibration.rotation_scale], 3)
        floors = np.repeat([calibration.position_floor_m, np.radians(calibration.rotation_floor_deg)], 3)
        return np.asarray(covariance * np.outer(scales, scales) + np.diag(floors**2))

    def _judge(
        self,
        regression: Regression,
        covariance: NDArray[np.float64],
        image: CameraImage,
        prior: PosePrior | None,
    ) -> Rejection | None:
        """Returns the reason why a pose is not accepted, or None."""
        calibration = self.regressor.description.calibration
        if calibration is None or calibration.max_std_m is None:
            return Rejection(RejectionKind.NOT_CALIBRATED)
        if regression.novelty > calibration.max_novelty:
            return Rejection(RejectionKind.UNLIKE_TRAINING, regression.novelty, calibration.max_novelty)
        std_m = position_std_m(covariance)
        if std_m > calibration.max_std_m:
            return Rejection(RejectionKind.UNCERTAIN_POSITION, std_m, calibration.max_std_m)
        position = regression.T_map_camera[:3, 3]
        away_m = float(np.linalg.norm(self._positions - position, axis=1).min())
        if away_m > calibration.max_distance_m:
            return Rejection(RejectionKind.OFF_TRAINING, away_m, calibration.max_distance_m)
        if prior is not None:
            T_map_base: Pose = regression.T_map_camera @ inverse(image.T_base_camera)
            off_m = float(prior.distances(T_map_base[None])[0])
            if off_m > prior.radius_m:
                return Rejection(RejectionKind.OFF_PRIOR, off_m, prior.radius_m)
        return None

    def _read(
        self, image: NDArray[np.uint8], camera: Camera, interpolation: int
    ) -> NDArray[np.uint8] | Rejection:
        """Returns the network's input for an image, as a camera of the training would see it."""
        resized = np.asarray(cv2.resize(image, self._size, interpolation=interpolation), np.uint8)
        places, seen = self._pixels(camera)
        if seen < MIN_SEEN:
            return Rejection(RejectionKind.FIELD_OF_VIEW, seen, MIN_SEEN)
        if places is None:
            return resized
        # Resized first, by areas: sampling the large image would alias.
        return np.asarray(
            cv2.remap(
                resized, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )

    def _places(self, camera: Camera) -> tuple[NDArray[np.float32] | None, float]:
        """Returns where a camera sees the pixels of the network's input, and the share of them that it sees.

        The places (H, W, 2) are in the image resized to the input; None where they are the same.  Of the
        cameras of the training the one is taken of which it sees most.
        """
        found = [self._places_of(camera.resized(*self._size), trained) for trained in self._cameras]
        return max(found, key=lambda pair: (pair[1], pair[0] is None))

    def _places_of(self, camera: Camera, trained: Camera) -> tuple[NDArray[np.float32] | None, float]:
        width, height = self._size
        y, x = np.mgrid[:height, :width]
        pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64)
        places = camera.project(trained.rays(pixels))
        inside = np.isfinite(places).all(axis=1)
        inside &= (places > -0.5).all(axis=1) & (places < np.array([width, height]) - 0.5).all(axis=1)
        if np.nanmax(np.abs(places - pixels)) <= SAME_PX:
            return None, 1.0
        taken = np.nan_to_num(places, nan=-1.0).astype(np.float32).reshape(height, width, 2)
        return taken, float(inside.mean())


def position_std_m(covariance: NDArray[np.float64]) -> float:
    """Returns the standard deviation of a position (6, 6) along its least certain axis, metres."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
