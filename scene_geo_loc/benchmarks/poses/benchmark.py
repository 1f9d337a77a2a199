"""Poses of queries by every method of a benchmark, in maps that are each built once.

Each image is decoded once, and each network sees it once, however many methods and maps there are.
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
from scene_geo_loc.benchmarks.poses.methods import (
    DEPTHS,
    LEARNED,
    RIG_STEP,
    STEPS,
    TRACKED_STEP,
    Depth,
    OnlyDepth,
    Recipe,
    Step,
    has_odometry,
    infers_depth,
    measured_depths,
)
from scene_geo_loc.benchmarks.poses.results import MethodResult, Place, QuerySetResult
from scene_geo_loc.core.errors import MapError, SceneGeoLocError, TraversalError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.localizer import Localizer, network_of
from scene_geo_loc.localization.query import Stopwatch
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.tracker import Tracker
from scene_geo_loc.mapping.builder import build_map, remove_partial
from scene_geo_loc.mapping.map_info import sha256_of
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import MATCHERS, BuilderSettings
from scene_geo_loc.metrics.pose_error import QueryRecord
from scene_geo_loc.metrics.published.bmvc2019 import SceneTable
from scene_geo_loc.networks import default
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.runtime.extractor import Extractor, SceneFeatures
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.rig import RigTraversal

_MOST_CAMERAS = 16
"""Images of one instant whose forward passes are remembered."""


@dataclass(frozen=True)
class Course:
    """A source to map, and sources to localize in it.

    Attributes:
        name: of the map's source, with the part of it that is taken.
        reference: what is mapped.
        queries: what is localized, by name.
        settings: of the builder.
        place: what size errors matter at.
        table: what the paper prints for it, or None.
        origin: whatever else a map of it depends on, to tell whether one in the cache is of the same.
    """

    name: str
    reference: Traversal
    queries: Mapping[str, Traversal]
    settings: BuilderSettings
    place: Place
    table: SceneTable | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class PoseBenchmarkRun:
    """Runs courses.

    Attributes:
        networks: checkpoints, or None for the network that the package comes with.
        matchers: names of local features, as `BuilderSettings.matcher` has them.
        cache: folder to keep maps in, whole or unfinished; without it they are made anew.
        device: torch device, or "auto".
        steps: what is done with each query.
        show: makes lines of progress.
    """

    networks: Sequence[Path | None] = (None,)
    matchers: Sequence[str] = ("encoder",)
    cache: Path | None = None
    device: str = "auto"
    steps: Sequence[Step] = STEPS
    show: ProgressDisplay = no_display
    _extractors: dict[str, SharedExtractor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for matcher in self.matchers:
            if matcher not in MATCHERS:
                raise SceneGeoLocError(f"There is no matcher {matcher!r}; name {', '.join(MATCHERS)}.")

    def run(self, course: Course) -> list[QuerySetResult]:
        """The results of every set of queries.

        Raises SceneGeoLocError where a source has no poses, or a map cannot be built.
        """
        measured = measured_depths(course.reference)
        depths: dict[Path | None, list[Depth]] = {
            network: [*measured, *([LEARNED] if infers_depth(network) else [])] for network in self.networks
        }
        found = {depth for of_one in depths.values() for depth in of_one}
        not_run = {f"{depth.name} depth": depth.missing for depth in DEPTHS if depth not in found}
        with ExitStack() as stack:
            folder = self.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scene_geo_")))
            recipes = [
                Recipe.of(network, depth, matcher, course.settings)
                for network in self.networks
                for matcher in self.matchers
                for depth in tuple(depths[network]) or (None,)
            ]
            maps = [(recipe, self._map(course, recipe, folder)) for recipe in recipes]
            return [
                self._localize(course, name, queries, maps, not_run)
                for name, queries in course.queries.items()
            ]

    def _map(self, course: Course, recipe: Recipe, folder: Path) -> ReferenceMap:
        """The map of a recipe, from the cache if it is there undamaged."""
        traversal = OnlyDepth(course.reference, recipe.depth)
        network = recipe.network or default.CHECKPOINT
        origin = {
            **course.origin,
            "name": course.name,
            "frames": len(traversal),
            "depth": recipe.depth_name,
            "settings": recipe.settings.model_dump(),
            "network": sha256_of(network) if network.is_file() else str(network),
            "version": __version__,
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
            f"mapping {course.name} with {recipe.depth_name or 'no'} depth "
            f"and {recipe.settings.matcher} features"
        )
        return build_map(
            traversal,
            out,
            recipe.settings,
            source=course.name,
            network=recipe.network,
            device=self.device,
            overwrite=True,
            display=lambda _, unit: self.show(title, unit),
        )

    def _row(self, recipe: Recipe, opened: ReferenceMap, step: Step) -> _Row:
        digest = opened.info.network_digest
        if digest not in self._extractors:
            self._extractors[digest] = SharedExtractor(network_of(opened), self.device)
        localizer = Localizer(opened, step.settings, extractor=self._extractors[digest])
        session = Session(localizer, Tracker() if step.is_tracked else None)
        return _Row(recipe, step, session, self._extractors[digest])

    def _localize(
        self,
        course: Course,
        name: str,
        queries: Traversal,
        maps: Sequence[tuple[Recipe, ReferenceMap]],
        not_run: dict[str, str],
    ) -> QuerySetResult:
        steps = list(self.steps)
        if has_odometry(queries):
            steps.append(TRACKED_STEP)
        else:
            not_run = {**not_run, TRACKED_STEP.name: "The queries have no odometry to be followed by."}
        if isinstance(queries, RigTraversal):
            steps.append(RIG_STEP)
        rows = [self._row(recipe, opened, step) for recipe, opened in maps for step in steps]
        answers: list[list[QueryRecord]] = [[] for _ in rows]
        without_truth = 0
        with self.show(f"localizing {name}", "frames") as on_progress:
            total = len(queries.cameras[0] if isinstance(queries, RigTraversal) else queries)
            for done, frames in enumerate(_instants(queries), start=1):
                if frames[0].T_map_camera is None:
                    without_truth += 1
                    continue
                for row, records in zip(rows, answers, strict=True):
                    records.append(row.answer(frames))
                on_progress(done, total)
        if not answers[0]:
            raise TraversalError(f"{queries.name} has no poses to compare with: name their source.")
        return QuerySetResult(
            name=name,
            map_name=course.name,
            place=course.place,
            benchmark=course.table.benchmark if course.table else "",
            scene=course.table.scene if course.table else "",
            without_truth=without_truth,
            methods=_results(rows, answers),
            not_run=not_run,
        )


@dataclass(frozen=True)
class _Row:
    """A method, ready to answer."""

    recipe: Recipe
    step: Step
    session: Session
    extractor: SharedExtractor

    @property
    def names(self) -> dict[str, Any]:
        return {"network": self.recipe.network_name, "keyframes": len(self.session.localizer.map)}

    def answer(self, frames: Sequence[Frame]) -> QueryRecord:
        """The answer to images of one instant, with the time that their forward passes took."""
        if self.step.is_rig:
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
    """The images of each instant: of a rig several, the first camera's first."""
    if isinstance(queries, RigTraversal):
        return queries.instants()
    return ([frame] for frame in queries.frames())


def _results(rows: Sequence[_Row], answers: Sequence[list[QueryRecord]]) -> list[MethodResult]:
    """A row for each method that verifies, after one for the poses that it began with."""
    results: list[MethodResult] = []
    for row, records in zip(rows, answers, strict=True):
        if not any(result.is_retrieval and result.network == row.recipe.network_name for result in results):
            results.append(MethodResult.retrieved(records, **row.names))
        if row.recipe.depth:
            results.append(
                MethodResult.of(
                    records,
                    depth=row.recipe.depth_name,
                    matcher=row.recipe.settings.matcher,
                    step=row.step.name,
                    **row.names,
                )
            )
    return results


class SharedExtractor(Extractor):
    """An extractor that several localizers ask one after the other about the same images."""

    def __init__(self, network: SceneNetwork, device: str = "auto") -> None:
        super().__init__(network, device)
        self._last: deque[_Pass] = deque(maxlen=_MOST_CAMERAS)

    def extract(self, image: NDArray[np.uint8]) -> SceneFeatures:
        """As that of every extractor; of an image it was asked about lately, without another pass."""
        known = self._find(image)
        if known is None:
            stopwatch = Stopwatch()
            with stopwatch.step("describe"):
                features = super().extract(image)
            known = _Pass(image, features, stopwatch.times_ms["describe"])
            self._last.append(known)
        return known.features

    def pass_ms(self, image: NDArray[np.uint8]) -> float:
        """What the forward pass of an image took that it was asked about lately; 0 of any other."""
        known = self._find(image)
        return 0.0 if known is None else known.ms

    def _find(self, image: NDArray[np.uint8]) -> _Pass | None:
        return next((known for known in self._last if known.image is image), None)


@dataclass(frozen=True)
class _Pass:
    """A forward pass: of which image, what it gave, and how long it took."""

    image: NDArray[np.uint8]
    features: SceneFeatures
    ms: float
