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

"""Systems of learned localizers by name, and what makes their maps; torch is not imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.mapping.localizer_names import (
    POSE_REGRESSION,
    RELATIVE_POSE,
    SCENE_COORDINATES,
    STRUCTURE_FROM_MOTION,
)
from scene_geo_loc.training.pose_regression.systems import PoseProtocol, PoseSystem
from scene_geo_loc.training.relative_pose import settings as relative_pose
from scene_geo_loc.training.scene_coordinates.systems import (
    SUMMARIES,
    CoordinateProtocol,
    CoordinateSystemName,
    ForestProtocol,
)
from scene_geo_loc.training.structure_from_motion import settings as structure_from_motion

if TYPE_CHECKING:
    from scene_geo_loc.training.common.callbacks import RunCallback
    from scene_geo_loc.traversals.frame import Traversal


class LocalizerTrainer(Protocol):
    """Makes the map of a system.  The same call resumes one that was interrupted."""

    def __call__(
        self,
        traversal: Traversal,
        out: Path,
        system: str,
        protocol: BaseModel,
        *,
        device: str,
        overwrite: bool,
        callback: RunCallback,
    ) -> Sequence[str]:
        """Trains on the posed images of a place, writes the map to `out`, and returns sentences
        on the result.

        Says by `callback.on_stage` what the training will take before it begins, in time and memory.

        Raises SceneGeoLocError if the images do not suffice, or if a folder holds something else.
        """
        ...


@dataclass(frozen=True)
class LocalizerFamily:
    """Systems that share their settings and their localizer.

    Attributes:
        localizer: name of the localizer in `map.json`, see `localization.pose_localizer`.
        title: title of the settings in help texts.
        systems: what each system is, in a few words, by its name.
        protocol: settings of the training.
        trainer: module and function of the `LocalizerTrainer`, which is imported when it is called.
    """

    localizer: str
    title: str
    systems: Mapping[str, str]
    protocol: type[BaseModel]
    trainer: str

    def train(
        self,
        traversal: Traversal,
        out: Path,
        system: str,
        protocol: BaseModel,
        *,
        device: str,
        overwrite: bool,
        callback: RunCallback,
    ) -> Sequence[str]:
        """See `LocalizerTrainer`."""
        module, name = self.trainer.split(":")
        trainer: LocalizerTrainer = getattr(import_module(module), name)
        return trainer(
            traversal, out, system, protocol, device=device, overwrite=overwrite, callback=callback
        )


FAMILIES = (
    LocalizerFamily(
        POSE_REGRESSION,
        "Pose regression",
        {system.value: system.design.summary for system in PoseSystem},
        PoseProtocol,
        "scene_geo_loc.training.pose_regression.run:train_regressor_map",
    ),
    LocalizerFamily(
        SCENE_COORDINATES,
        "Scene coordinates",
        {CoordinateSystemName.NETWORK.value: SUMMARIES[CoordinateSystemName.NETWORK]},
        CoordinateProtocol,
        "scene_geo_loc.training.scene_coordinates.run:train_coordinate_map",
    ),
    LocalizerFamily(
        SCENE_COORDINATES,
        "Regression forest",
        {CoordinateSystemName.FOREST.value: SUMMARIES[CoordinateSystemName.FOREST]},
        ForestProtocol,
        "scene_geo_loc.training.scene_coordinates.forest:train_forest_map",
    ),
    LocalizerFamily(
        RELATIVE_POSE,
        "Relative pose",
        {relative_pose.SYSTEM: relative_pose.SUMMARY},
        relative_pose.RelativeProtocol,
        "scene_geo_loc.training.relative_pose.run:train_relative_map",
    ),
    LocalizerFamily(
        STRUCTURE_FROM_MOTION,
        "Structure from motion",
        {structure_from_motion.SYSTEM: structure_from_motion.SUMMARY},
        structure_from_motion.ReconstructionProtocol,
        "scene_geo_loc.training.structure_from_motion.run:train_point_map",
    ),
)
"""Families of systems, in the order of help texts."""


def family_of(system: str) -> LocalizerFamily:
    """Returns the family of a system. Raises SceneGeoLocError if there is no system of that name."""
    for family in FAMILIES:
        if system in family.systems:
            return family
    names = [name for family in FAMILIES for name in family.systems]
    raise SceneGeoLocError(f"There is no system {system!r}: choose one of {', '.join(names)}.")
