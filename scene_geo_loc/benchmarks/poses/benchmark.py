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

"""Localizes queries by every method of a benchmark, in maps that are each built once.

Each image is decoded once and passes each network once, for any number of methods and maps.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc import __version__
from scene_geo_loc.benchmarks.localization.run import localize_frame, localize_instant
from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.poses.localizers.maps import (
    KEYFRAMES_AND_PNLP,
    LocalizerMap,
    minutes_of,
    thinned,
    timed_making,
    train_map,
)
from scene_geo_loc.benchmarks.poses.localizers.results import LocalizerResult, bytes_of
from scene_geo_loc.benchmarks.poses.methods import (
    DEPTHS,
    LEARNED,
    METHODS,
    ODOMETRY_METHODS,
    RIG_METHOD,
    Depth,
    MapConfig,
    Method,
    has_odometry,
    infers_depth,
    measured_depths,
    with_depth,
)
from scene_geo_loc.benchmarks.poses.results import MethodResult, QuerySetResult
from scene_geo_loc.core.errors import MapError, SceneGeoLocError, TraversalError
from scene_geo_loc.core.progress import ProgressDisplay, no_display, tracked
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.map_networks import network_of
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.tracking.tracker import Tracker
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import build_map, remove_partial
from scene_geo_loc.mapping.map_info import sha256_of
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers import NETWORK_FEATURES, matcher_choices
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published.bmvc2019 import SceneTable
from scene_geo_loc.networks import default
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor, SceneFeatures
from scene_geo_loc.training.localizers import family_of
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.rig import RigTraversal

_MOST_CAMERAS = 16
"""Number of forward passes that are kept: the largest number of images of one instant."""


@dataclass(frozen=True)
class Experiment:
    """A source to map, and sources to localize in it.

    Attributes:
        name: of the map's source, with the part of it that is taken.
        reference: source of the map.
        queries: sources to localize, by name.
        settings: of the builder.
        place: indoors or outdoors, which sets the error bounds.
        table: table of the paper for it, or None.
        origin: further inputs of its map, part of the key in the cache.
        unseen: images of another place, which none of the localizers should find; None without such.
    """

    name: str
    reference: Traversal
    queries: Mapping[str, Traversal]
    settings: BuilderSettings
    place: Place
    table: SceneTable | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    unseen: Traversal | None = None


@dataclass
class PoseBenchmarkRun:
    """Runs experiments.

    Attributes:
        networks: checkpoints, or None for the network that the package comes with.
        matchers: values of `BuilderSettings.matcher`.
        cache: folder for finished and unfinished maps; without it all maps are built again.
        device: "auto", "cpu" or "cuda", see `Extractor`.
        methods: methods that each query is localized by.
        systems: learned localizers to train for each experiment and to compare, by name.
        maps: maps made before, whose localizers are compared as well.
        images: numbers of images to make maps of, for the accuracy against their number; empty: of all.
        show: displays progress.
    """

    networks: Sequence[Path | None] = (None,)
    matchers: Sequence[str] = (NETWORK_FEATURES,)
    cache: Path | None = None
    device: str = "auto"
    methods: Sequence[Method] = METHODS
    systems: Sequence[str] = ()
    maps: Sequence[Path] = ()
    images: Sequence[int] = ()
    show: ProgressDisplay = no_display
    _extractors: dict[str, SharedExtractor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choices = matcher_choices()
        for matcher in self.matchers:
            if matcher not in choices:
                raise SceneGeoLocError(f"There is no matcher {matcher!r}; name {', '.join(choices)}.")
        for system in self.systems:
            family_of(system)

    def run(self, experiment: Experiment) -> list[QuerySetResult]:
        """Returns the results of every set of queries.

        Raises SceneGeoLocError where a source has no poses, or a map cannot be built.
        """
        measured = measured_depths(experiment.reference)
        depths: dict[Path | None, list[Depth]] = {
            network: [*measured, *([LEARNED] if infers_depth(network) else [])] for network in self.networks
        }
        found = {depth for of_one in depths.values() for depth in of_one}
        not_run = {f"{depth.name} depth": depth.missing for depth in DEPTHS if depth not in found}
        with ExitStack() as stack:
            folder = self.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scene_geo_")))
            configs = [
                MapConfig.of(network, depth, matcher, experiment.settings)
                for network in self.networks
                for matcher in self.matchers
                for depth in tuple(depths[network]) or (None,)
            ]
            maps = [(config, self._map(experiment, config, folder)) for config in configs]
            compared = self._compared(experiment, configs[0], folder, not_run) if self._compares else []
            return [
                self._localize(experiment, name, queries, maps, compared, not_run)
                for name, queries in experiment.queries.items()
            ]

    @property
    def _compares(self) -> bool:
        """True if localizers are compared."""
        return bool(self.systems or self.maps)

    def _compared(
        self, experiment: Experiment, config: MapConfig, folder: Path, not_run: dict[str, str]
    ) -> list[LocalizerMap]:
        """Returns the maps of the compared localizers, the package's own first, for each number of images."""
        compared = []
        for images in self.images or (None,):
            part = replace(experiment, reference=thinned(experiment.reference, images))
            own = self._map(part, config, folder)
            minutes = minutes_of(own.path)
            compared.append(LocalizerMap(KEYFRAMES_AND_PNLP, own.path, len(part.reference), minutes))
            for system in self.systems:
                try:
                    compared.append(
                        train_map(part.reference, system, folder, self._origin(part), self.device, self.show)
                    )
                except SceneGeoLocError as error:
                    not_run[system] = _without_folders(str(error), experiment)
        return compared + [LocalizerMap.made_before(path) for path in self.maps]

    def _origin(self, experiment: Experiment) -> dict[str, Any]:
        """Returns the inputs of all maps of an experiment."""
        return {
            **experiment.origin,
            "name": experiment.name,
            "frames": len(experiment.reference),
            "version": __version__,
        }

    def _map(self, experiment: Experiment, config: MapConfig, folder: Path) -> ReferenceMap:
        """Returns the map of a configuration, from the cache if it is there undamaged."""
        traversal = with_depth(experiment.reference, config.depth)
        network = config.network or default.CHECKPOINT
        origin = {
            **self._origin(experiment),
            "depth": config.depth_name,
            "settings": config.settings.model_dump(),
            "network": sha256_of(network) if network.is_file() else str(network),
        }
        key = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:16]
        out = folder / f"map_{key}"
        if out.is_dir():
            try:
                opened = ReferenceMap.open(out)
                opened.verify()
                return opened
            except MapError:
                remove_partial(out)
        title = (
            f"mapping {experiment.name} with {config.depth_name or 'no'} depth "
            f"and {config.settings.matcher} features"
        )
        with timed_making(out):
            return build_map(
                traversal,
                out,
                config.settings,
                source=experiment.name,
                network=config.network,
                device=self.device,
                overwrite=True,
                measure=measure_map,
                display=lambda _, unit: self.show(title, unit),
            )

    def _row(self, config: MapConfig, opened: ReferenceMap, method: Method) -> _Row:
        digest = opened.info.network_digest
        if digest not in self._extractors:
            self._extractors[digest] = SharedExtractor(network_of(opened), self.device)
        localizer = Localizer(opened, method.settings, extractor=self._extractors[digest])
        session = Session(localizer, Tracker() if method.is_tracked else None)
        return _Row(config, method, session, self._extractors[digest])

    def _localize(
        self,
        experiment: Experiment,
        name: str,
        queries: Traversal,
        maps: Sequence[tuple[MapConfig, ReferenceMap]],
        compared: Sequence[LocalizerMap],
        not_run: dict[str, str],
    ) -> QuerySetResult:
        methods = list(self.methods)
        if has_odometry(queries):
            methods.extend(ODOMETRY_METHODS)
        else:
            not_run = not_run | {
                method.name: "The queries have no odometry to be followed by." for method in ODOMETRY_METHODS
            }
        if isinstance(queries, RigTraversal):
            methods.append(RIG_METHOD)
        rows = [self._row(config, opened, method) for config, opened in maps for method in methods]
        answers: list[list[QueryRecord]] = [[] for _ in rows]
        sessions = [Session(localizer_map.open(self.device)) for localizer_map in compared]
        found: list[list[QueryRecord]] = [[] for _ in sessions]
        without_truth = 0
        with self.show(f"localizing {name}", "frames") as on_progress:
            total = len(queries.cameras[0] if isinstance(queries, RigTraversal) else queries)
            for done, frames in enumerate(_instants(queries), start=1):
                if frames[0].T_map_camera is None:
                    without_truth += 1
                    continue
                for row, records in zip(rows, answers, strict=True):
                    records.append(row.answer(frames))
                for session, records in zip(sessions, found, strict=True):
                    records.append(localize_frame(session, frames[0]))
                on_progress(done, total)
        if not answers[0]:
            raise TraversalError(f"{queries.name} has no poses to compare with: name their source.")
        unseen = self._unseen(experiment.unseen, sessions)
        return QuerySetResult(
            name=name,
            map_name=experiment.name,
            place=experiment.place,
            benchmark=experiment.table.benchmark if experiment.table else "",
            scene=experiment.table.scene if experiment.table else "",
            without_truth=without_truth,
            methods=_results(rows, answers),
            localizers=[
                LocalizerResult.of(
                    records,
                    others,
                    name=localizer_map.name,
                    images=localizer_map.images,
                    map_bytes=bytes_of(localizer_map.folder),
                    minutes=localizer_map.minutes,
                )
                for localizer_map, records, others in zip(compared, found, unseen, strict=True)
            ],
            not_run=not_run,
        )

    def _unseen(self, traversal: Traversal | None, sessions: Sequence[Session]) -> list[list[QueryRecord]]:
        """Returns the answers of each session to the images of another place."""
        answers: list[list[QueryRecord]] = [[] for _ in sessions]
        if traversal is None or not sessions:
            return answers
        with self.show(f"localizing {traversal.name}, which is not in the map", "frames") as on_progress:
            for frame in tracked(traversal.frames(), len(traversal), on_progress):
                for session, records in zip(sessions, answers, strict=True):
                    session.reset()  # this place comes after no image of the other
                    records.append(localize_frame(session, frame))
        return answers


def _without_folders(reason: str, experiment: Experiment) -> str:
    """Returns a reason without the folders above the map's source, which mean nothing elsewhere."""
    source = experiment.origin.get("source")
    return reason if source is None else reason.replace(f"{Path(source).parent}/", "")


@dataclass(frozen=True)
class _Row:
    """A method in one map."""

    config: MapConfig
    method: Method
    session: Session
    extractor: SharedExtractor

    @property
    def names(self) -> dict[str, Any]:
        return {"network": self.config.network_name, "keyframes": len(self.session.localizer.map)}

    def answer(self, frames: Sequence[Frame]) -> QueryRecord:
        """Returns the record of images of one instant, with the time of their forward passes."""
        if self.method.is_rig:
            record = localize_instant(self.session, frames)
        else:
            frames = frames[:1]
            record = localize_frame(self.session, frames[0])
        if "describe" not in record.timings_ms:
            return replace(record, latency_ms=None)
        passes_ms = sum(self.extractor.pass_ms(frame.image) for frame in frames)
        steps = {**record.timings_ms, "describe": passes_ms}
        steps["total"] = sum(ms for name, ms in steps.items() if name != "total")
        return replace(record, timings_ms=steps, latency_ms=steps["total"])


def _instants(queries: Traversal) -> Iterator[list[Frame]]:
    """Returns the images of each instant: several of a rig, the first camera's first."""
    if isinstance(queries, RigTraversal):
        return queries.instants()
    return ([frame] for frame in queries.frames())


def _results(rows: Sequence[_Row], answers: Sequence[list[QueryRecord]]) -> list[MethodResult]:
    """Returns a result for each method that verifies, after one for retrieval alone."""
    results: list[MethodResult] = []
    for row, records in zip(rows, answers, strict=True):
        if not any(result.is_retrieval and result.network == row.config.network_name for result in results):
            results.append(MethodResult.retrieved(records, **row.names))
        if row.config.depth:
            results.append(
                MethodResult.of(
                    records,
                    depth=row.config.depth_name,
                    matcher=row.config.settings.matcher,
                    step=row.method.name,
                    **row.names,
                )
            )
    return results


class SharedExtractor(Extractor):
    """An extractor that several localizers share, which keeps the features of the last images."""

    def __init__(self, network: InferenceNetwork, device: str = "auto") -> None:
        super().__init__(network, device)
        self._last: deque[_Pass] = deque(maxlen=_MOST_CAMERAS)

    def extract(
        self,
        image: NDArray[np.uint8],
        input_size: tuple[int, int] | None = None,
        visible: NDArray[np.bool_] | None = None,
    ) -> SceneFeatures:
        """Returns the features of an image, without another forward pass if it was among the last ones."""
        size = input_size or self.input_size
        if visible is not None:  # images of maps only, which are not read twice
            return super().extract(image, size, visible)
        passes = (known for known in self._last if known.image is image and known.input_size == size)
        known = next(passes, None)
        if known is None:
            stopwatch = Stopwatch()
            with stopwatch.step("describe"):
                features = super().extract(image, size)
            known = _Pass(image, size, features, stopwatch.times_ms["describe"])
            self._last.append(known)
        return known.features

    def pass_ms(self, image: NDArray[np.uint8]) -> float:
        """Returns the time of the forward pass of one of the last images; 0 for any other."""
        known = next((known for known in self._last if known.image is image), None)
        return 0.0 if known is None else known.ms


@dataclass(frozen=True)
class _Pass:
    """A forward pass: its image and the size it was read at, features and time."""

    image: NDArray[np.uint8]
    input_size: tuple[int, int]
    features: SceneFeatures
    ms: float
