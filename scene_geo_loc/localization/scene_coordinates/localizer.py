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


"""Localizes images by scene coordinates: a point of the map for each cell, a pose, and checks of it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.localization.estimate import (
    CameraEstimate,
    LocalizerSettings,
    PoseEstimate,
    PosePrior,
    Status,
    UnverifiedPose,
)
from scene_geo_loc.localization.pose_localizer import PoseLocalizer
from scene_geo_loc.localization.query import CameraImage, Query, Stopwatch, camera_images
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, no_images
from scene_geo_loc.localization.scene_coordinates.poses import SupportedPose
from scene_geo_loc.localization.scene_coordinates.systems import (
    CoordinateSystem,
    ForestSystem,
    NetworkSystem,
)
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.mapping.localizer_names import SCENE_COORDINATES
from scene_geo_loc.mapping.map_info import COORDINATE_FOREST, COORDINATE_NETWORK
from scene_geo_loc.mapping.reference_map import AnyMap
from scene_geo_loc.networks.runtime.extractor import has_contrast

MIN_COVERAGE = 0.15
"""Least share of the image that inliers must cover, where the settings name none."""


class SceneCoordinateLocalizer(PoseLocalizer):
    """Estimates poses from the points of the map that a system gives for the pixels of images.

    A pose is accepted where the share of the pixels that agree with it reaches a limit that was chosen on
    images left out of the training, they cover enough of the image, and the position is near to an image of
    the training.  The cameras of a rig are solved together.

    Attributes:
        map: the map, whose keyframes are images of the training, without features.
        settings: the given settings; the largest error of an inlier, the least inlier ratio and the least
            coverage concern this localizer.
        system: what gives the points.
    """

    def __init__(
        self, opened: AnyMap, settings: LocalizerSettings | None = None, device: str = "auto"
    ) -> None:
        """Loads the system of a map.

        Raises CheckpointError where it is damaged, MapError where the map is of another localizer.
        """
        if opened.info.localizer != SCENE_COORDINATES or not opened.cameras or not len(opened):
            raise MapError(
                f"{opened.path} is not a map of scene coordinates: name one that was trained for a place."
            )
        self.map, self.settings = opened, settings or LocalizerSettings()
        self._device = device
        self.system: CoordinateSystem
        if COORDINATE_FOREST in opened.info.files:
            self.system = ForestSystem.open(opened.path / COORDINATE_FOREST, opened.cameras)
        else:
            path = opened.path / COORDINATE_NETWORK
            self.system = NetworkSystem.open(path, opened.cameras, self.settings, device)
        self._positions = opened.T_map_camera[:, :3, 3]

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        *,
        verified: Collection[str] = (),
    ) -> SceneCoordinateLocalizer:
        """See `PoseLocalizer.open`."""
        return cls(AnyMap.open(folder, verified=verified), settings, device)

    @property
    def device(self) -> str:
        """Device that was asked for."""
        return self._device

    @property
    def backend_name(self) -> str:
        """Name of what runs the system."""
        return self.system.backend_name

    def localize(
        self, query: Query, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        """See `PoseLocalizer.localize`."""
        images = camera_images(query)
        stopwatch = Stopwatch()
        readings: list[Any] = []
        cameras = []
        for image in images:
            with stopwatch.step("regress"):
                reading = self._read(image)
            rejection = reading if isinstance(reading, Rejection) else None
            cameras.append(CameraEstimate(image.T_base_camera, rejection=rejection))
            if rejection is None:
                readings.append(reading)
        estimate = PoseEstimate(Status.LOST, cameras=cameras, timings_ms=stopwatch.times_ms)
        if not readings:
            estimate.rejection = cameras[0].rejection
            return estimate
        with stopwatch.step("solve"):
            found = self.system.solve(readings)
        if found is None:
            estimate.rejection = Rejection(RejectionKind.NO_POSE, sum(map(len, readings)))
            return estimate
        estimate.inliers, estimate.inlier_ratio = found.inliers, found.inlier_ratio
        estimate.unverified = self._calibrated(found)
        estimate.rejection = self._judge(found, images[0], prior)
        if estimate.rejection is None and estimate.unverified is not None:
            estimate.status, estimate.T_map_base = Status.LOCALIZED, found.T_map_base
            estimate.covariance = estimate.unverified.covariance
        return estimate

    def find(self, image: CameraImage) -> SupportedPose | None:
        """Returns the pose of an image with its support, not judged; None where none is found."""
        reading = self._read(image)
        return None if isinstance(reading, Rejection) else self.system.solve([reading])

    def _calibrated(self, found: SupportedPose) -> UnverifiedPose | None:
        if found.covariance is None:
            return None
        calibration = self.system.calibration
        covariance = found.covariance if calibration is None else calibration.covariance(found.covariance)
        return UnverifiedPose(found.T_map_base, covariance)

    def _read(self, image: CameraImage) -> Any | Rejection:
        if not has_contrast(image.image):
            return Rejection(RejectionKind.NO_CONTRAST)
        return self.system.read(image)

    def _judge(self, found: SupportedPose, first: CameraImage, prior: PosePrior | None) -> Rejection | None:
        """Returns the reason why a pose is not accepted, or None."""
        calibration = self.system.calibration
        if calibration is None or calibration.min_inlier_ratio is None:
            return Rejection(RejectionKind.NO_INLIER_LIMIT)
        asked = self.settings.min_inlier_ratio
        least = calibration.min_inlier_ratio if asked is None else asked
        if found.inlier_ratio < least:
            return Rejection(RejectionKind.INLIER_RATIO, found.inlier_ratio, least)
        coverage = MIN_COVERAGE if self.settings.min_coverage is None else self.settings.min_coverage
        if found.coverage < coverage:
            return Rejection(RejectionKind.COVERAGE, found.coverage, coverage)
        if found.covariance is None:
            return Rejection(RejectionKind.UNDETERMINED)
        position = (found.T_map_base @ first.T_base_camera)[:3, 3]
        away_m = float(np.linalg.norm(self._positions - position, axis=1).min())
        if away_m > calibration.max_distance_m:
            return Rejection(RejectionKind.OFF_TRAINING, away_m, calibration.max_distance_m)
        if prior is not None:
            off_m = float(prior.distances(found.T_map_base[None])[0])
            if off_m > prior.radius_m:
                return Rejection(RejectionKind.OFF_PRIOR, off_m, prior.radius_m)
        return None
