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


"""Systems that give scene coordinates of an image's pixels and solve poses from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.pnp import CameraMatches, ideal_pixels
from scene_geo_loc.localization.query import CameraImage
from scene_geo_loc.localization.reading_size import size_for_lens
from scene_geo_loc.localization.scene_coordinates.calibration import CoordinateCalibration
from scene_geo_loc.localization.scene_coordinates.features import DenseFeatures
from scene_geo_loc.localization.scene_coordinates.forest import Forest
from scene_geo_loc.localization.scene_coordinates.modes import ModeReading, solve_modes
from scene_geo_loc.localization.scene_coordinates.network import CoordinateNetwork
from scene_geo_loc.localization.scene_coordinates.poses import SupportedPose, solve_coordinates
from scene_geo_loc.localization.uncertainty.covariance import BLOCK_PX
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.networks.forward_pass import INPUT_AREA

MAX_CELLS = 1500
"""Most cells of an image that points are found for, evenly spread."""


class CoordinateSystem(ABC):
    """Base of the systems.

    Attributes:
        calibration: of the map; None where it was not measured.
        backend_name: name of what runs it.
    """

    calibration: CoordinateCalibration | None
    backend_name: str

    @abstractmethod
    def read(self, image: CameraImage) -> Any | Rejection:
        """Returns what `solve` takes of an image, or the reason why there is none."""

    @abstractmethod
    def solve(self, readings: Sequence[Any]) -> SupportedPose | None:
        """Returns the pose of the base that the readings of all cameras agree with; None where none does."""


class NetworkSystem(CoordinateSystem):
    """Scene coordinates by a network, and PnP.

    Args:
        network: the network.
        cameras: of the training.
        settings: of the localizer; the largest error of an inlier is used.
        features: runs the graph of the network.
    """

    def __init__(
        self,
        network: CoordinateNetwork,
        cameras: Sequence[Camera],
        settings: LocalizerSettings,
        features: DenseFeatures,
    ) -> None:
        self.network, self._cameras = network, cameras
        description = network.description
        self.calibration = description.calibration
        self._size = (description.input_width, description.input_height)
        self._features = features
        self.backend_name = self._features.backend(*self._size).name
        enlarged = max(1.0, float(np.sqrt(np.prod(self._size) / INPUT_AREA)))
        self._max_error_px = settings.max_reprojection_error_px * enlarged
        self._block_px = BLOCK_PX * enlarged

    @classmethod
    def open(
        cls, path: Path, cameras: Sequence[Camera], settings: LocalizerSettings, device: str
    ) -> NetworkSystem:
        """Opens the network of a map. Raises CheckpointError where it is damaged."""
        network = CoordinateNetwork.read(path)
        description = network.description
        features = DenseFeatures(network.graph, description.local, description.late, device)
        return cls(network, cameras, settings, features)

    def read(self, image: CameraImage) -> CameraMatches:
        """Returns the cells of an image with their points in the map.

        Another lens than that of the training is read at a size at which things are about as large.
        """
        description = self.network.description
        size = size_for_lens(image.camera, self._cameras, self._size, description.multiple).input_size
        pixels = np.asarray(cv2.resize(image.image, size, interpolation=cv2.INTER_AREA), np.uint8)
        camera = image.camera.resized(*size)
        cells = self._features.pixels(*size)
        taken = slice(None, None, -(-len(cells) // MAX_CELLS))
        return CameraMatches(
            image.T_base_camera,
            camera,
            ideal_pixels(camera, cells[taken]),
            self.network.points(self._features.of(pixels)[taken]),
        )

    def solve(self, readings: Sequence[CameraMatches]) -> SupportedPose | None:
        """See `CoordinateSystem.solve`."""
        is_soft = self.network.description.soft_inliers
        return solve_coordinates(readings, self._max_error_px, self._block_px, is_soft)


class ForestSystem(CoordinateSystem):
    """Scene coordinates by a regression forest, for images with depth, and pre-emptive RANSAC.

    Args:
        forest: the forest.
        cameras: of the training.
    """

    backend_name = "numpy"

    def __init__(self, forest: Forest, cameras: Sequence[Camera]) -> None:
        self.forest = forest
        description = forest.description
        self.calibration = description.calibration
        self._focal_px = cameras[0].resized(description.input_width, description.input_height).fx
        self._block_px = BLOCK_PX * float(
            np.sqrt(description.input_width * description.input_height / INPUT_AREA)
        )

    @classmethod
    def open(cls, path: Path, cameras: Sequence[Camera]) -> ForestSystem:
        """Opens the forest of a map. Raises CheckpointError where it is damaged."""
        return cls(Forest.read(path), cameras)

    def read(self, image: CameraImage) -> ModeReading | Rejection:
        """Returns pixels with their points by depth and the modes of their leaves."""
        if image.depth is None or not np.isfinite(image.depth).any():
            return Rejection(RejectionKind.NO_DEPTH_IMAGE)
        # At the focal length of the training, by which the offsets of the comparisons are scaled.
        scale = self._focal_px / image.camera.fx
        width, height = (max(8, round(side * scale)) for side in (image.camera.width, image.camera.height))
        pixels_rgb = np.asarray(
            cv2.resize(image.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
        depth = np.asarray(
            cv2.resize(image.depth, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.float32
        )
        rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
        taken = slice(None, None, -(-max(1, len(rows)) // MAX_CELLS))
        pixels = np.stack([columns[taken], rows[taken]], axis=1)
        camera = image.camera.resized(width, height)
        local = camera.back_project(pixels, depth[pixels[:, 1], pixels[:, 0]])
        return ModeReading(
            pixels.astype(np.float64),
            width,
            height,
            transform(image.T_base_camera, local),
            self.forest.modes(pixels_rgb, depth, pixels),
        )

    def solve(self, readings: Sequence[ModeReading]) -> SupportedPose | None:
        """See `CoordinateSystem.solve`."""
        return solve_modes(readings, self.forest.description.inlier_m, self._block_px)
