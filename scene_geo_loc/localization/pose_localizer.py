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

"""The seam between what finds poses and what uses them: a map's folder names its localizer.

`map.json` has the name (`localizer`; maps of keyframes have none, which means `retrieval`).  The node, the
session, the command line and the benchmarks take any localizer that `open_localizer` returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.localization.estimate import LocalizerSettings, PoseEstimate, PosePrior
from scene_geo_loc.localization.query import Query
from scene_geo_loc.localization.retrieval.image_sequence import EarlierImages, no_images
from scene_geo_loc.mapping.localizer_names import (
    POSE_REGRESSION,
    RELATIVE_POSE,
    RETRIEVAL,
    SCENE_COORDINATES,
    STRUCTURE_FROM_MOTION,
)
from scene_geo_loc.mapping.map_info import read_info

if TYPE_CHECKING:
    from typing_extensions import Self

    from scene_geo_loc.mapping.reference_map import AnyMap

LOCALIZERS = {
    RETRIEVAL: "scene_geo_loc.localization.localizer:Localizer",
    POSE_REGRESSION: "scene_geo_loc.localization.pose_regression.localizer:PoseRegressor",
    SCENE_COORDINATES: "scene_geo_loc.localization.scene_coordinates.localizer:SceneCoordinateLocalizer",
    RELATIVE_POSE: "scene_geo_loc.localization.relative_pose.localizer:RelativePoseLocalizer",
    STRUCTURE_FROM_MOTION: "scene_geo_loc.localization.structure_from_motion.localizer:PointLocalizer",
}
"""Module and class of each localizer by the name in `map.json`; a module is imported when a map needs it."""


class PoseLocalizer(ABC):
    """Base of the localizers: estimates poses of cameras in the map of a folder.

    Attributes:
        map: the map.
        settings: the given settings; a localizer uses those that concern it.
    """

    map: AnyMap
    settings: LocalizerSettings

    @classmethod
    @abstractmethod
    def open(
        cls,
        folder: Path,
        settings: LocalizerSettings | None = None,
        device: str = "auto",
        *,
        verified: Collection[str] = (),
    ) -> Self:
        """Opens a map for this localizer; arguments as of `open_localizer`."""

    @property
    @abstractmethod
    def device(self) -> str:
        """Device that was asked for."""

    @property
    @abstractmethod
    def backend_name(self) -> str:
        """Name of what runs the network, such as "openvino"."""

    @abstractmethod
    def localize(
        self, query: Query, prior: PosePrior | None = None, earlier: EarlierImages = no_images
    ) -> PoseEstimate:
        """Estimates the pose of one image, or of a rig from images that its cameras took at one instant.

        Args:
            query: a frame or an image, or one image of each camera of a rig.
            prior: where the pose is searched for.
            earlier: images before this one; a localizer of single images does not call it.

        Raises SceneGeoLocError where there is no image, or one of another size than its camera.
        """


def open_localizer(
    folder: Path | str,
    settings: LocalizerSettings | None = None,
    device: str = "auto",
    *,
    verified: Collection[str] = (),
) -> PoseLocalizer:
    """Opens a map with the localizer that it is for.

    Args:
        folder: of the map.
        settings: of the localizer.
        device: "auto", "cpu", or "cuda" with an optional number.
        verified: files that are compared with their checksums before anything is read of them.

    Raises SceneGeoLocError where the folder is no map, is damaged, or is for a localizer that this release
    does not have.
    """
    folder = Path(folder)
    name = read_info(folder).localizer
    if name not in LOCALIZERS:
        raise MapError(
            f"{folder} finds poses by {name!r}, and this release has {', '.join(LOCALIZERS)}: "
            "update scene_geo_loc, or name another map."
        )
    module, kind = LOCALIZERS[name].split(":")
    localizer: type[PoseLocalizer] = getattr(import_module(module), kind)
    return localizer.open(folder, settings, device, verified=verified)
