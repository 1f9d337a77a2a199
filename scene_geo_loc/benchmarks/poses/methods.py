"""Rows of a pose benchmark, as data: how a map is built, and how queries are localized in it.

A new row is a new `Method`, `Depth` or matcher; runs, tables, curves and pages follow from these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.mapping.settings import BuilderSettings, DepthSource
from scene_geo_loc.networks.checkpoint import load_checkpoint
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.traversals.frame import Frame, Scan, Traversal
from scene_geo_loc.traversals.skipped import Skipped

RETRIEVAL = "retrieval"
"""Row of the poses of the most similar keyframes, which every method finds on its way."""

PACKAGE = "package's own"
"""The name of the network that the package comes with."""


_LOOKED_AT = 20
"""Number of first frames that are searched for depth and odometry."""


@dataclass(frozen=True)
class Method:
    """How a query is localized from the retrieved keyframes.

    Attributes:
        name: of the row.
        settings: of the localizer.
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
            retrieved=5,
            refinement="per_candidate",
            min_inlier_ratio=0.1,
            min_coverage=0.0,
            min_similarity=-1.0,
        ),
    ),
    Method("pooled", LocalizerSettings(retrieved=5, final_fit=False)),
    Method("pooled, refined", LocalizerSettings(retrieved=5)),
    Method("re-ranked, pooled, refined", LocalizerSettings()),
)
"""From the paper's rule to the package's own, each compared with the one before."""


TRACKED_METHOD = Method("tracked", LocalizerSettings(), is_tracked=True)
"""Last method of a single camera, for queries with odometry."""

RIG_METHOD = Method("all cameras together", LocalizerSettings(), is_rig=True)
"""Last method of a source with several cameras."""


@dataclass(frozen=True)
class Depth:
    """Source of the keyframes' depth.

    Attributes:
        name: of the source, as the map records it.
        wanted: as `BuilderSettings.depth` has it.
        missing: one sentence for where there is none.
    """

    name: str
    wanted: DepthSource
    missing: str


SENSOR = Depth("sensor", "measured", "The frames of the map's source have no depth.")
LIDAR = Depth("lidar", "measured", "The map's source has no lidar.")
LEARNED = Depth("learned", "learned", "The network infers no depth.")
DEPTHS = (SENSOR, LIDAR, LEARNED)
"""Those that a map can be built with; of the simulator's bags, sensor depth is the true one."""


@dataclass(frozen=True)
class MapConfig:
    """How a map is built from its source.

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
        """That of its source of depth; empty without one."""
        return "" if self.depth is None else self.depth.name

    @property
    def network_name(self) -> str:
        """The checkpoint's name, with that of its map, or of its run's folder, where that says more."""
        if self.network is None:
            return PACKAGE
        stem, folder = self.network.stem, self.network.absolute().parent
        if folder.name == "checkpoints":
            folder = folder.parent
        return f"{folder.name}/{stem}" if stem in ("last", "best", "network") else stem


def has_odometry(traversal: Traversal) -> bool:
    """Whether a source's frames tell where odometry alone has the camera."""
    return any(frame.T_odom_camera is not None for frame in islice(traversal.frames(), _LOOKED_AT))


def measured_depths(traversal: Traversal) -> list[Depth]:
    """Those of the `DEPTHS` that a source has."""
    found = []
    if any(frame.depth is not None for frame in islice(traversal.frames(), _LOOKED_AT)):
        found.append(SENSOR)
    if next(iter(traversal.scans()), None) is not None:
        found.append(LIDAR)
    return found


def infers_depth(network: Path | None) -> bool:
    """Whether a network, or the package's own, tells depth. Raises CheckpointError."""
    loaded, _ = default_network() if network is None else load_checkpoint(network)
    return loaded.descriptor.infers_depth


@dataclass
class OnlyDepth:
    """A traversal with one of its sources of depth, and none of the others."""

    traversal: Traversal
    depth: Depth | None
    name: str = field(init=False)
    map_frame: str = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.map_frame = self.traversal.name, self.traversal.map_frame

    @property
    def skipped(self) -> Skipped:
        """That of the traversal."""
        return self.traversal.skipped

    def __len__(self) -> int:
        return len(self.traversal)

    def frames(self) -> Iterator[Frame]:
        """The frames, without their depth if it is not to be used."""
        for frame in self.traversal.frames():
            yield frame if self.depth is SENSOR else replace(frame, depth=None)

    def scans(self) -> Iterator[Scan]:
        """The scans; none if they are not to be used."""
        return self.traversal.scans() if self.depth is LIDAR else iter(())
