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

"""Measures recall of global descriptors in the ICRA paper's four scenarios.

All systems receive the same images, which are decoded once. Only one system's networks and descriptors are in
memory at a time; only the ranked references of each system are kept.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors.results import (
    Benchmark,
    Protocols,
    RunResult,
    SystemResult,
    run_from_dict,
    run_to_dict,
)
from scene_geo_loc.benchmarks.descriptors.scenario_images import ScenarioImages, Size, pack_images
from scene_geo_loc.benchmarks.descriptors.systems import DescriptorSystem, SystemName, SystemRun
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ProgressDisplay, ignore_progress, no_display
from scene_geo_loc.metrics.recall import measure_recall
from scene_geo_loc.networks.projection import whitened_axes
from scene_geo_loc.networks.runtime.extractor import FIT_IMAGES, evenly_spread

if TYPE_CHECKING:
    from scene_geo_loc.places.views import View

_BATCH = 16
"""Number of images in memory at a time."""

_SIMULATION = "simulation.json"
"""File that the simulator writes beside its runs."""


def benchmark_descriptors(
    root: Path,
    runs: Sequence[SystemRun],
    cache: Path | None = None,
    protocols: Protocols | None = None,
    show: ProgressDisplay = no_display,
) -> Benchmark:
    """Measures the recall of systems in all scenarios of a folder of RobotCar runs.

    Args:
        cache: folder for images and scores, so that the next call measures only new runs; if None, images are
            kept in a temporary folder.
        protocols: settings of the runs' training protocols, stored with the results.
        show: displays progress.

    Raises SceneGeoLocError if there is no scenario, none of its images can be read, or the cache cannot be
    written.
    """
    from scene_geo_loc.places.scenarios import load_scenarios

    scenarios, left_out = load_scenarios(root)
    height, width = _first_shape(scenarios[0].references)
    sizes = {run.input_size(width, height) for run in runs}
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scene_geo_loc_")))
        with show("reading", "images") as on_progress:
            images = pack_images(scenarios, sorted(sizes), folder, on_progress)
        with show("describing", "images") as on_progress:
            results = score_runs(images, runs, (width, height), cache, on_progress)
    is_simulated = (root / _SIMULATION).is_file()
    return Benchmark(root.name, images.scenarios, results, left_out, protocols or {}, is_simulated)


def score_runs(
    images: ScenarioImages,
    runs: Sequence[SystemRun],
    shape: Size,
    cache: Path | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> list[SystemResult]:
    """Measures runs and groups them by system in order of first appearance; each whitened size is a row.

    Args:
        shape: width and height of the images, which determine the input sizes.
    """
    rows: dict[SystemName, SystemResult] = {}
    total = len(images.rows()) * len(runs)
    on_progress(0, total)
    for number, run in enumerate(runs):
        scored = _Scores(images, run, cache).all(
            shape,
            lambda done, number=number: on_progress(number * len(images.rows()) + done, total),  # type: ignore[misc]
        )
        for system, result in scored.items():
            row = rows.setdefault(system, SystemResult(system, run.traits, []))
            row.runs.append(result)
        on_progress((number + 1) * len(images.rows()), total)
    return list(rows.values())


def whiten(
    descriptors: NDArray[np.float32], references: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], int]:
    """Whitens descriptors by PCA on the references, as a network's own projection does.

    Args:
        descriptors: (N, D).
        references: rows of the references.
        size: length of the whitened descriptors.

    Returns the unit descriptors (N, size) and the number of parameters of the projection.
    Raises SceneGeoLocError if the references span fewer than `size` dimensions.
    """
    axes = whitened_axes(descriptors[references], size)
    if len(axes) < size:
        raise SceneGeoLocError(
            f"{len(references)} references span {len(axes)} dimensions < {size}, the size to whiten "
            "descriptors to: choose a smaller size."
        )
    projected = descriptors @ axes.T
    return projected / np.linalg.norm(projected, axis=1, keepdims=True), axes.size


@dataclass
class _Scores:
    """Measures one run, without and with whitening, or reads its results from the cache."""

    images: ScenarioImages
    run: SystemRun
    cache: Path | None
    _times: list[float] = field(default_factory=list)

    def all(self, shape: Size, on_images: Callable[[int], None]) -> dict[SystemName, RunResult]:
        plain = self.run.system
        names = {size: SystemName(plain.name, plain.protocol, size) for size in (None, *self.run.whiten)}
        results = {name: result for size, name in names.items() if (result := self._cached(size, shape))}
        missing = [size for size, name in names.items() if name not in results]
        if missing:
            system = self.run.load(*shape)
            described = self._describe(system, shape, on_images)
            for size in missing:
                results[names[size]] = result = self._score(system, described, size)
                self._keep(size, shape, result)
        return {name: results[name] for name in names.values()}

    def _describe(
        self, system: DescriptorSystem, shape: Size, on_images: Callable[[int], None]
    ) -> NDArray[np.float32]:
        """Returns the descriptors (N, D) of all rows that scenarios need; other rows are zero."""
        pixels = self.images.open(self.run.input_size(*shape))
        references = self._references()
        system.fit(np.array(pixels[references[i]]) for i in evenly_spread(len(references), FIT_IMAGES))
        descriptors: NDArray[np.float32] | None = None
        rows = self.images.rows()
        for begin in range(0, len(rows), _BATCH):
            batch = [np.array(pixels[row]) for row in rows[begin : begin + _BATCH]]
            before = time.perf_counter()
            described = system.describe(batch)
            self._times.append(1e3 * (time.perf_counter() - before) / len(batch))
            if not np.isfinite(described).all():
                raise SceneGeoLocError(
                    f"{self.run.system} with seed {self.run.seed} gives descriptors that are not finite: "
                    "exclude it, or train it again."
                )
            if descriptors is None:
                descriptors = np.zeros((len(pixels), described.shape[1]), np.float32)
            descriptors[rows[begin : begin + _BATCH]] = described
            on_images(begin + len(batch))
        assert descriptors is not None
        return descriptors

    def _score(
        self, system: DescriptorSystem, descriptors: NDArray[np.float32], size: int | None
    ) -> RunResult:
        parameters = system.parameters
        if size is not None:
            descriptors, more = whiten(descriptors, self._references(), size)
            parameters += more
        recalls = {
            views.name: measure_recall(
                descriptors[views.query_rows],
                _positions(views.queries),
                descriptors[views.reference_rows],
                _positions(views.references),
            )
            for views in self.images.scenarios
        }
        return RunResult(
            self.run.seed,
            self.run.digest,
            self.run.parent,
            parameters,
            descriptors[0].nbytes,
            float(np.median(self._times)),
            system.backend_name,
            recalls,
        )

    def _references(self) -> NDArray[np.int64]:
        rows = [views.reference_rows for views in self.images.scenarios]
        return np.array(list(dict.fromkeys(np.concatenate(rows).tolist())), np.int64)

    def _file(self, size: int | None, shape: Size) -> Path | None:
        """Returns the cache file of a result, named by images, network, input size and machine."""
        if self.cache is None or not self.run.digest:
            return None
        width, height = self.run.input_size(*shape)
        whitened = "" if size is None else f"_whitened{size}"
        made_of = f"{self.images.digest[:16]}_{self.run.digest[:16]}_{width}x{height}{whitened}"
        return self.cache / f"scores_{made_of}_{os.cpu_count()}cores.json"

    def _cached(self, size: int | None, shape: Size) -> RunResult | None:
        file = self._file(size, shape)
        if file is None or not file.is_file():
            return None
        try:
            return run_from_dict(json.loads(file.read_text()), self.run.seed, self.run.parent)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # damaged: measured again and replaced

    def _keep(self, size: int | None, shape: Size, result: RunResult) -> None:
        if (file := self._file(size, shape)) is not None:
            write_aside(file, json.dumps(run_to_dict(result)).encode())


def _positions(views: Sequence[View]) -> NDArray[np.float64]:
    return np.array([view.position for view in views])


def _first_shape(references: Sequence[View]) -> tuple[int, int]:
    """Height and width of the first reference's camera."""
    camera = references[0].files.camera
    return camera.height, camera.width
