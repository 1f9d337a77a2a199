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

"""Experiments from the sources that a user names: what is mapped and what is localized in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scene_geo_loc.benchmarks.poses.benchmark import Experiment
from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.metrics.published.bmvc2019 import scene_table
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.opening import format_of, open_traversal, sources_within, takes_split
from scene_geo_loc.traversals.rig import one_or_rig

_INDOORS = ("7scenes", "12scenes", "rgbd")
"""Formats of indoor datasets."""

_EVERY_FRAME: dict[str, Any] = {"keyframe_distance_m": 0.0, "keyframe_angle_deg": 0.0}


def find_experiments(
    map_source: Path,
    query_sources: Sequence[Path],
    *,
    query_every: int = 1,
    keyframe_distance_m: float | None = None,
    keyframe_angle_deg: float | None = None,
    place: Place | None = None,
    format: str | None = None,
    poses: str | None = None,
    cameras: Sequence[str] = (),
    unseen: Path | None = None,
) -> list[Experiment]:
    """Returns the experiments of a source: one, or one for each scene of a folder of the paper's benchmarks.

    Args:
        map_source: source of the map.
        query_sources: sources to localize; if empty, a part of the map's own source.
        query_every: every n-th query is localized.
        keyframe_distance_m, keyframe_angle_deg: between keyframes.  If not given, all frames of a split or
            of a half are keyframes, as in the paper, and those of another source as `map build` takes them.
        place: indoors or outdoors; None: by the format.
        poses: as `open_traversal` takes them.
        cameras: names of the cameras; several are a rig, whose first camera's pose is estimated.
        unseen: source of another place.

    Raises TraversalError where a source cannot be opened.
    """
    asked = {"keyframe_distance_m": keyframe_distance_m, "keyframe_angle_deg": keyframe_angle_deg}
    given = {name: value for name, value in asked.items() if value is not None}
    sources = _Sources(given, query_every, place, format, poses, cameras)
    other = None if unseen is None else open_traversal(unseen, every=query_every)
    return [
        replace(experiment, unseen=other) for experiment in _of_sources(sources, map_source, query_sources)
    ]


def _of_sources(sources: _Sources, map_source: Path, query_sources: Sequence[Path]) -> list[Experiment]:
    if scenes := [] if query_sources else _scenes(map_source, sources.format):
        return [sources.own(scene) for scene in scenes]
    if not query_sources:
        return [sources.own(map_source)]
    if len({path.resolve() for path in query_sources}) < len(query_sources):
        raise TraversalError("A query source is named twice; name each once.")
    return [sources.others(map_source, query_sources)]


@dataclass(frozen=True)
class _Sources:
    """Options to open and to map sources."""

    given: dict[str, Any]
    query_every: int
    place: Place | None
    format: str | None
    poses: str | None
    cameras: Sequence[str]

    def own(self, path: Path) -> Experiment:
        """Returns the experiment of a source, one part of which is mapped and the other localized."""
        kind = format_of(path, self.format)
        if takes_split(kind):
            reference = self._reference(path, split="train")
            queries = self._queries(path, self.query_every, split="test")
            mapped, localized = "training split", "test split"
        else:
            reference = self._reference(path, every=2)
            queries = self._queries(path, 2 * self.query_every, offset=1)
            mapped, localized = "even frames", "odd frames"
        settings = BuilderSettings.model_validate({**_EVERY_FRAME, **self.given})
        name = path.resolve().name
        return Experiment(
            f"{name}, {mapped}",
            reference,
            {f"{name}, {localized}": queries},
            settings,
            self._place(kind),
            scene_table(kind, path),
            self._origin(path),
        )

    def others(self, path: Path, query_sources: Sequence[Path]) -> Experiment:
        """Returns the experiment of localizing sources in the map of another."""
        kind = format_of(path, self.format)
        queries = {}
        for source in query_sources:
            name = source.stem if source.stem not in queries else str(source)
            queries[name] = self._queries(source, self.query_every)
        return Experiment(
            path.resolve().stem,
            self._reference(path),
            queries,
            BuilderSettings.model_validate(self.given),
            self._place(kind),
            origin=self._origin(path),
        )

    def _reference(self, path: Path, **part: Any) -> Traversal:
        """Opens the source of the map: the part of every camera."""
        return one_or_rig([self._open(path, camera, **part) for camera in self.cameras or (None,)])

    def _queries(self, path: Path, every: int, offset: int = 0, **part: Any) -> Traversal:
        """Opens the queries: some frames of the first camera, and those of the others at the same time."""
        first, *others = self.cameras or (None,)
        return one_or_rig(
            [
                self._open(path, first, every=every, offset=offset, **part),
                *(self._open(path, camera, **part) for camera in others),
            ]
        )

    def _open(self, path: Path, camera: str | None, **part: Any) -> Traversal:
        return open_traversal(path, self.format, poses=self.poses, camera=camera, **part)

    def _place(self, kind: str) -> Place:
        return self.place or (Place.INDOORS if kind in _INDOORS else Place.OUTDOORS)

    def _origin(self, path: Path) -> dict[str, Any]:
        return {
            "source": str(path.resolve()),
            "modified": path.stat().st_mtime_ns,
            "poses": self.poses,
            "cameras": list(self.cameras),
        }


def _scenes(folder: Path, format: str | None) -> list[Path]:
    """Returns the scenes of the paper's benchmarks in a folder that is no source itself."""
    if format is not None or not folder.is_dir():
        return []
    try:
        format_of(folder)
    except TraversalError:
        return [path for path, kind in sources_within(folder) if scene_table(kind, path) is not None]
    return []
