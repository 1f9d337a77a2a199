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

"""Sets with camera poses: maps of one part of a set, and the poses of another part in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scene_geo_loc.benchmarks.localization.run import localize_frame
from scene_geo_loc.benchmarks.poses.errors import BOUNDS, WRONG_FIX_M, Place
from scene_geo_loc.benchmarks.poses.methods import measured_depths
from scene_geo_loc.benchmarks.real.experiment import Tools, check_count
from scene_geo_loc.benchmarks.real.results import Kind, Part
from scene_geo_loc.benchmarks.real.variants import ZOOM, ChangedFrames, Rolled, zoomed
from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import build_map
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.metrics.pose_error import QueryRecord, errors_of
from scene_geo_loc.traversals.folder import FolderTraversal
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.opening import open_traversal, sources_within

EVERY_FRAME = {"keyframe_distance_m": 0.0, "keyframe_angle_deg": 0.0}
"""Settings by which every frame of the mapped part is a keyframe."""


@dataclass(frozen=True)
class MapAndQueries:
    """A map to build, and what is localized in it.

    Attributes:
        reference: source of the map.
        queries: parts to localize, by name.
        settings: of the builder, without the matcher and the source of depth.
    """

    reference: Traversal
    queries: Mapping[str, Traversal]
    settings: Mapping[str, float]


@dataclass(frozen=True)
class PoseSet:
    """A set of frames with poses; see `Experiment`.

    Attributes:
        folder: the set's folder.
        place: indoors or outdoors, which sets the error bounds.
        maps: the maps with their queries.
    """

    folder: Path
    place: Place
    maps: Sequence[MapAndQueries]

    @property
    def kind(self) -> Kind:
        """See `Experiment.kind`."""
        return Kind.INDOORS if self.place is Place.INDOORS else Kind.OUTDOORS

    def methods(self, matchers: Sequence[str]) -> list[str]:
        """See `Experiment.methods`."""
        return list(matchers)

    def run(self, method: str, tools: Tools) -> list[Part]:
        """Builds each map with the matcher and localizes its queries.

        Raises SceneGeoLocError where queries are few, or no map can be built.
        """
        for queries in (queries for plan in self.maps for queries in plan.queries.values()):
            check_count(len(queries), "queries", self.folder)
        parts = []
        for number, plan in enumerate(self.maps):
            opened = make_map(plan, method, tools, tools.scratch / f"map_{number}")
            session = Session(Localizer(opened, device=tools.device))
            for name, queries in plan.queries.items():
                records = _localize(session, queries, f"{name or self.folder.name}, {method}", tools)
                check_count(len(records), "queries with a known pose", self.folder)
                parts.append(pose_part(name, records, len(opened), self.place))
            shutil.rmtree(tools.scratch / f"map_{number}")
        return parts


def make_map(plan: MapAndQueries, matcher: str, tools: Tools, out: Path) -> ReferenceMap:
    """Builds the map of a plan with a matcher.

    Depth is the sensor's or lidar's where frames have it, else it is found from neighbouring images.
    """
    depth = "measured" if measured_depths(plan.reference) else "auto"
    return build_map(
        plan.reference,
        out,
        BuilderSettings.model_validate({**plan.settings, "matcher": matcher, "depth": depth}),
        network=tools.network,
        device=tools.device,
        overwrite=True,
        measure=measure_map,
        display=lambda title, unit: tools.show(f"map of {Path(plan.reference.name).name}, {matcher}", unit),
    )


def _localize(session: Session, queries: Traversal, title: str, tools: Tools) -> list[QueryRecord]:
    records: list[QueryRecord] = []
    with tools.show(f"localizing {title}", "frames") as on_progress:
        for done, frame in enumerate(queries.frames(), start=1):
            if not records:
                session.localizer.localize(frame)  # what is made at the first image is not timed
            if frame.T_map_camera is not None:
                records.append(localize_frame(session, frame))
            on_progress(done, len(queries))
    return records


def pose_part(name: str, records: Sequence[QueryRecord], keyframes: int, place: Place) -> Part:
    """Returns the numbers of localized queries.

    Medians are over all queries, where one without a pose is infinitely far off.
    """
    position, rotation = errors_of(records)
    found = np.isfinite(position)
    latency = [record.latency_ms for record in records if record.latency_ms is not None]
    values: dict[str, float | None] = {
        "localized": float(found.sum()),
        "median_m": _median(position),
        "median_deg": _median(rotation),
        "wrong": float((position > WRONG_FIX_M[place]).sum()),
        "ms": float(np.median(latency)) if latency else None,
    }
    for bound, (metres, degrees) in BOUNDS[place].items():
        values[bound] = float(((position <= metres) & (rotation <= degrees)).mean())
    return Part(name=name, queries=len(records), references=keyframes, values=values)


def _median(errors: np.ndarray) -> float | None:
    median = float(np.median(np.where(np.isfinite(errors), errors, np.inf)))
    return median if np.isfinite(median) else None


def open_split(folder: Path, place: Place, format: str) -> PoseSet:
    """Opens a scene whose training split is mapped and whose test split is localized."""
    plan = MapAndQueries(
        open_traversal(folder, format, split="train"),
        {"": open_traversal(folder, format, split="test")},
        EVERY_FRAME,
    )
    return PoseSet(folder, place, [plan])


def open_halves(folder: Path, place: Place, format: str, every: int = 2) -> PoseSet:
    """Opens a sequence of which every n-th frame is mapped, and those half-way between are localized."""
    queries = open_traversal(folder, format, every=every, offset=every // 2)
    plan = MapAndQueries(open_traversal(folder, format, every=every), {"": queries}, EVERY_FRAME)
    return PoseSet(folder, place, [plan])


def open_rgbd_walk(folder: Path) -> PoseSet:
    """Opens a walk with a depth camera: its odd frames, also rolled and through other lenses, in its even
    ones.

    The queries of the last two maps are the frames between every fifth one, and odd frames through a lens of
    half the focal length of the map's.
    """
    walk = open_traversal(folder, "rgbd")
    assert isinstance(walk, FolderTraversal)
    even, odd = _where(walk, lambda i: i % 2 == 0), _where(walk, lambda i: i % 2 == 1)
    return PoseSet(
        folder,
        Place.INDOORS,
        [
            MapAndQueries(
                even,
                {
                    "odd frames": odd,
                    "rolled by 15°": ChangedFrames(odd, Rolled(15.0)),
                    "rolled by 30°": ChangedFrames(odd, Rolled(30.0)),
                    f"lens {ZOOM} times as long": ChangedFrames(odd, zoomed),
                },
                EVERY_FRAME,
            ),
            MapAndQueries(ChangedFrames(even, zoomed), {f"lens 1/{ZOOM} as long": odd}, EVERY_FRAME),
            MapAndQueries(
                _where(walk, lambda i: i % 5 == 0),
                {"every fifth mapped": _where(walk, lambda i: i % 5 != 0)},
                EVERY_FRAME,
            ),
        ],
    )


def open_runs(folder: Path) -> PoseSet:
    """Opens runs of RobotCar of which the first is mapped and the others are localized.

    Raises TraversalError where there are fewer than two.
    """
    runs = robotcar_runs(folder)
    if len(runs) < 2:
        raise TraversalError(
            f"{folder}: {len(runs)} run of RobotCar < 2: one is mapped, the others localized."
        )
    queries = {run.name: open_traversal(run, "robotcar", every=_EVERY_OF_RUN) for run in runs[1:]}
    return PoseSet(folder, Place.OUTDOORS, [MapAndQueries(open_traversal(runs[0], "robotcar"), queries, {})])


_EVERY_OF_RUN = 16


def robotcar_runs(folder: Path) -> list[Path]:
    """Returns the runs of RobotCar in a folder, in order of their names, which are dates."""
    return [path for path, kind in sources_within(folder, depth=1) if kind == "robotcar"]


def _where(walk: FolderTraversal, keep: Callable[[int], bool]) -> FolderTraversal:
    return replace(walk, frame_files=[files for i, files in enumerate(walk.frame_files) if keep(i)])
