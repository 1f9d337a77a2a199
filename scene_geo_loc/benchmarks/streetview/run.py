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

"""Runs the street-view benchmark result by result; finished maps and results are cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from scene_geo_loc import __version__
from scene_geo_loc.benchmarks.localization.run import localize_traversal
from scene_geo_loc.benchmarks.machine import describe_machine
from scene_geo_loc.benchmarks.streetview.methods import MAIN, METHODS, PACKAGE, Method
from scene_geo_loc.benchmarks.streetview.results import (
    DriveResult,
    SetInfo,
    StreetviewResults,
    VirtualViewCount,
    best_and_worst,
    slides_set,
)
from scene_geo_loc.benchmarks.streetview.sets import PanoramaSet
from scene_geo_loc.benchmarks.streetview.streets import OnStreets, street_segments
from scene_geo_loc.core.artifacts import ArtifactCache
from scene_geo_loc.core.atomic import write_json
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.progress import ProgressDisplay, no_display, tracked
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.tracking.tracker import Tracker
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import build_map
from scene_geo_loc.mapping.map_info import sha256_of
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.metrics.published import slides_gis
from scene_geo_loc.networks import default
from scene_geo_loc.reports.examples import Example, draw_examples
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.opening import open_traversal

_RESULT = "result.json"

VIRTUAL_M = 4.0
"""Distance of the virtual views of augmented maps, the slides' choice."""


@dataclass(frozen=True)
class Row:
    """A method in the map of a set.

    Attributes:
        set, method: what is localized in, and how.
        virtual_m: distance of the virtual views of the map; None without.
    """

    set: PanoramaSet
    method: Method
    virtual_m: float | None = None


@dataclass
class StreetviewRun:
    """Settings of a run.

    Attributes:
        sets: sets of panoramas.
        queries: sources to localize in each, by name.
        cache: folder for maps and results, with which a run can be resumed.
        methods: methods to compare.
        most_queries: largest number of queries of a source, evenly spread over it; None for all.
        device: "auto", "cpu" or "cuda", see `Extractor`.
        show: displays progress.
        say: takes a line about what was left out or done.
    """

    sets: Sequence[PanoramaSet]
    queries: dict[str, Path]
    cache: Path
    methods: Sequence[Method] = METHODS
    most_queries: int | None = None
    device: str = "auto"
    show: ProgressDisplay = no_display
    say: Callable[[str], None] = lambda line: None
    _maps: dict[str, ReferenceMap] = field(default_factory=dict, init=False)

    def run(self) -> StreetviewResults:
        """Runs what is not in the cache, and returns all results.

        Raises SceneGeoLocError where a set or a source of queries cannot be opened.
        """
        infos = [one.info() for one in self.sets]
        for name, path in self.queries.items():
            self._open_queries(name, path)
        drives: list[DriveResult] = []
        left_out: list[str] = []
        cache = ArtifactCache(self.cache)
        for row in self.rows(infos):
            for name, path in self.queries.items():
                try:
                    drives.append(self._drive(row, name, path, cache))
                except SceneGeoLocError as error:
                    left_out.append(f"{row.set.name}, {row.method.title}, {name}: {error}")
                    self.say(f"Left out: {left_out[-1]}")
        views = self._virtual_views(slides_set(infos).name, cache)
        return StreetviewResults(
            version=__version__,
            machine=describe_machine(),
            sets=infos,
            drives=drives,
            virtual_views=views,
            left_out=left_out,
        )

    def rows(self, infos: Sequence[SetInfo]) -> Iterator[Row]:
        """Yields the rows: the main method on every set first, then the others on one set."""
        chosen = slides_set(infos).name
        for on_every_set in (True, False):
            for one in self.sets:
                for method in self.methods:
                    if method.on_every_set is not on_every_set or not (on_every_set or one.name == chosen):
                        continue
                    yield Row(one, method)
                    if method.on_augmented:
                        yield Row(one, method, VIRTUAL_M)

    def map_of(self, row: Row, cache: ArtifactCache) -> ReferenceMap:
        """Returns the map of a row, from the cache if it is there undamaged; an interrupted build is resumed.

        Raises SceneGeoLocError where it cannot be built.
        """
        settings = BuilderSettings.model_validate(row.method.settings)
        origin = row.set.origin() | {
            "virtual_m": row.virtual_m,
            "settings": settings.model_dump(),
            "network": _network(),
        }
        name = f"map_{_digest(origin)}"
        if name in self._maps:
            return self._maps[name]
        if cache.is_complete(name, origin):
            with suppress(MapError):
                self._maps[name] = ReferenceMap.open(cache.root / name)
                return self._maps[name]
        traversal = row.set.open(row.virtual_m)
        title = f"mapping {row.set.name} for {row.method.key}{_augmented(row)}"
        self._maps[name] = build_map(
            traversal,
            cache.begin(name),
            settings,
            source=row.set.name,
            device=self.device,
            measure=measure_map,
            display=lambda _, unit: self.show(title, unit),
        )
        cache.finish(name, origin)
        return self._maps[name]

    def pictures(self, results: StreetviewResults) -> tuple[NDArray[np.float64] | None, list[Example]]:
        """Returns what pictures are drawn of: of the main method in the slides' set.

        Returns the positions (N, 3) of the map's keyframes, and the best and the worst match; None and no
        match where there are no results of it.
        """
        info = results.slides_set
        drives = results.find(set=info.name, method=PACKAGE, virtual_m=None)
        if not drives:
            return None, []
        row = Row(next(one for one in self.sets if one.name == info.name), MAIN)
        reference_map = self.map_of(row, ArtifactCache(self.cache))
        localizer = Localizer(reference_map, device=self.device)
        drawn = []
        for kind, drive, index in best_and_worst(drives):
            queries = self._open_queries(drive.drive, self.queries[drive.drive])
            drawn += draw_examples(drive.records(), {index: kind}, localizer, reference_map, queries)
        return reference_map.T_map_camera[:, :3, 3], drawn

    def _drive(self, row: Row, drive: str, path: Path, cache: ArtifactCache) -> DriveResult:
        """Returns the result of a row on a drive, from the cache if it is there."""
        origin = row.set.origin() | {
            "method": [row.method.key, row.method.settings, row.method.is_tracked],
            "virtual_m": row.virtual_m,
            "queries": [str(path.resolve()), path.stat().st_mtime_ns, self.most_queries],
            "network": _network(),
        }
        name = f"{row.set.name}_{row.method.key}{_augmented(row)}_{drive}_{_digest(origin)}"
        name = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
        file = cache.root / name / _RESULT
        if cache.is_complete(name, origin):
            with suppress(OSError, ValidationError):  # what cannot be read is made again
                return DriveResult.model_validate_json(file.read_bytes())
        reference_map = self.map_of(row, cache)
        queries = OnStreets(self._open_queries(drive, path), street_segments(row.set.open().panoramas))
        session = Session(
            Localizer(reference_map, device=self.device), Tracker() if row.method.is_tracked else None
        )
        title = f"localizing {drive} in {row.set.name} by {row.method.key}{_augmented(row)}"
        with self.show(title, "frames") as on_progress:
            records = list(tracked(localize_traversal(session, queries), len(queries), on_progress))
        result = DriveResult.of(
            records,
            set=row.set.name,
            drive=drive,
            method=row.method.key,
            virtual_m=row.virtual_m,
            keyframes=len(reference_map),
            outside=queries.outside,
        )
        if not result.true_m:
            raise SceneGeoLocError(
                f"{path}: no image has a true pose on the streets of {row.set.name}: name another source."
            )
        cache.begin(name)
        write_json(file, result.model_dump(mode="json"))
        cache.finish(name, origin)
        found = result.continuity
        mean = "–" if found.mean_m is None else f"{found.mean_m:.3f} m"
        self.say(f"{title}: {found.localized} of {found.queries}, mean error {mean}")
        return result

    def _open_queries(self, name: str, path: Path) -> Traversal:
        """Opens queries, at most `most_queries` of them."""
        queries = open_traversal(path)
        if self.most_queries is not None and len(queries) > self.most_queries:
            queries = open_traversal(path, every=-(-len(queries) // self.most_queries))
        return queries

    def _virtual_views(self, name: str, cache: ArtifactCache) -> list[VirtualViewCount]:
        """Returns the counts of virtual views at the slides' distances; none for a set without depth."""
        one = next(one for one in self.sets if one.name == name)
        distances_m = [printed.distance_m for printed in slides_gis.virtual_views()]
        origin = one.origin() | {"distances_m": distances_m}
        folder = f"virtual_{_digest(origin)}"
        file = cache.root / folder / _RESULT
        if cache.is_complete(folder, origin):
            with suppress(OSError, ValueError):  # what cannot be read is made again
                return [VirtualViewCount.model_validate(count) for count in json.loads(file.read_bytes())]
        if all(panorama.depth is None for panorama in one.open().panoramas):
            return []
        self.say(f"counting virtual views of {name}")
        counts = one.count_virtual_views(distances_m)
        cache.begin(folder)
        write_json(file, [count.model_dump(mode="json") for count in counts])
        cache.finish(folder, origin)
        return counts


def _augmented(row: Row) -> str:
    return "" if row.virtual_m is None else f" with virtual views {row.virtual_m:g} m away"


def _network() -> str:
    return sha256_of(default.CHECKPOINT)


def _digest(origin: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:10]
