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

"""Rows of a pose benchmark as data: configurations of maps, and methods that localize queries in them.

A new row is a new `Method`, `Depth` or matcher; runs, tables, curves and pages follow from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.mapping.settings import BuilderSettings, DepthSource
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.traversals.depth_choice import DepthChoice
from scene_geo_loc.traversals.frame import Traversal

RETRIEVAL = "retrieval"
"""Row of retrieval alone: the poses of the most similar keyframes, which every method retrieves first."""

PACKAGE = "package's own"
"""The name of the network that the package comes with."""


_LOOKED_AT = 20
"""Number of first frames that are searched for depth and odometry."""


@dataclass(frozen=True)
class Method:
    """Method that localizes a query from the retrieved keyframes.

    Attributes:
        name: name of the row.
        settings: settings of the localizer.
        is_rig: whether all cameras of a rig are localized together, or the first one alone.
        is_tracked: whether the camera is tracked from image to image, or each is localized on its own.
    """

    name: str
    settings: LocalizerSettings
    is_rig: bool = False
    is_tracked: bool = False


METHODS = (
    # Five candidates, the pose with the best inlier ratio, accepted from 10 % on (BMVC 2019, section 4.1).
    Method(
        "per candidate (paper)",
        LocalizerSettings(
            compared=0,
            retrieved=5,
            refinement="per_candidate",
            min_inlier_ratio=0.1,
            min_precise_ratio=0.0,
            min_coverage=0.0,
            min_similarity=-1.0,
            co_similarity=0.0,
            sequence_images=1,
        ),
    ),
    Method(
        "pooled",
        LocalizerSettings(compared=0, retrieved=5, co_similarity=0.0, final_fit=False, sequence_images=1),
    ),
    Method(
        "pooled, refined", LocalizerSettings(compared=0, retrieved=5, co_similarity=0.0, sequence_images=1)
    ),
    Method("re-ranked, pooled, refined", LocalizerSettings(sequence_images=1)),
)
"""Methods of single images, from the paper's rule to the package's default, each compared with the last."""


ODOMETRY_METHODS = (
    Method("retrieved by sequences", LocalizerSettings()),
    Method("tracked", LocalizerSettings(), is_tracked=True),
)
"""Methods of a single camera after those, for queries with odometry."""

RIG_METHOD = Method("all cameras together", LocalizerSettings(), is_rig=True)
"""Last method of a source with several cameras."""


@dataclass(frozen=True)
class Depth:
    """Source of the keyframes' depth.

    Attributes:
        name: of the source, as the map records it.
        wanted: value of `BuilderSettings.depth`.
        missing: one sentence for maps whose source has no such depth.
    """

    name: str
    wanted: DepthSource
    missing: str


SENSOR = Depth("sensor", "measured", "The frames of the map's source have no depth.")
LIDAR = Depth("lidar", "measured", "The map's source has no lidar.")
LEARNED = Depth("learned", "learned", "The network infers no depth.")
DEPTHS = (SENSOR, LIDAR, LEARNED)
"""Sources of depth that a map can be built with; in the simulator's bags, sensor depth is the true depth."""


@dataclass(frozen=True)
class MapConfig:
    """Configuration of a map: its network, its depth, and the settings of the builder.

    Attributes:
        network: a checkpoint, or None for the network that the package comes with.
        depth: one of `DEPTHS`, or None for a map without depth.
        settings: of the builder.
    """

    network: Path | None
    depth: Depth | None
    settings: BuilderSettings

    @classmethod
    def of(
        cls, network: Path | None, depth: Depth | None, matcher: str, settings: BuilderSettings
    ) -> MapConfig:
        """Returns the settings with a matcher and a source of depth."""
        chosen = {"matcher": matcher, "depth": "measured" if depth is None else depth.wanted}
        return cls(network, depth, settings.model_copy(update=chosen))

    @property
    def depth_name(self) -> str:
        """Name of the source of depth; empty without one."""
        return "" if self.depth is None else self.depth.name

    @property
    def network_name(self) -> str:
        """Name of the checkpoint, with its map's or run's folder where the name is the same for all."""
        if self.network is None:
            return PACKAGE
        stem, folder = self.network.stem, self.network.absolute().parent
        if folder.name == "checkpoints":
            folder = folder.parent
        return f"{folder.name}/{stem}" if stem in ("last", "best", "network") else stem


def has_odometry(traversal: Traversal) -> bool:
    """Returns whether the frames of a source have a pose by odometry alone."""
    return any(frame.T_odom_camera is not None for frame in islice(traversal.frames(), _LOOKED_AT))


def measured_depths(traversal: Traversal) -> list[Depth]:
    """Returns the measured `DEPTHS` that a source has."""
    found = []
    if any(frame.depth is not None for frame in islice(traversal.frames(), _LOOKED_AT)):
        found.append(SENSOR)
    if next(iter(traversal.scans()), None) is not None:
        found.append(LIDAR)
    return found


def infers_depth(network: Path | None) -> bool:
    """Returns whether a network, or the default one, infers depth. Raises CheckpointError."""
    loaded, _ = default_network() if network is None else load_network(network)
    return loaded.infers_depth


def with_depth(traversal: Traversal, depth: Depth | None) -> DepthChoice:
    """Returns a traversal with at most one of its sources of depth."""
    return DepthChoice(traversal, has_frame_depth=depth is SENSOR, has_scans=depth is LIDAR)
