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

"""Synthetic results of a descriptor benchmark: the correct queries of each seed are prescribed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scene_geo_loc.benchmarks.descriptors.results import Benchmark, RunResult, SystemResult
from scene_geo_loc.benchmarks.descriptors.scenario_images import ScenarioViews
from scene_geo_loc.benchmarks.descriptors.systems import SystemName
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.metrics.recall import PlaceRecall
from scene_geo_loc.places.views import View
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles
from scene_geo_loc.traversals.skipped import Skipped

SCENARIOS = ("sunny", "long-term", "snow", "night")
RGB = {"encoder": "alexnet", "pooling": "mac", "descriptor": "rgb"}
RGBTD = {**RGB, "descriptor": "rgbtd"}


def recall(right: Sequence[bool]) -> PlaceRecall:
    """Queries whose first reference is 5 m away where they are right, else 60 m and the fourth is right."""
    answers = np.array(right, bool)
    return PlaceRecall(
        references=9,
        without_reference=0,
        chance=0.1,
        top1=np.zeros(len(answers), np.int64),
        top1_distance_m=np.where(answers, 5.0, 60.0),
        first_right=np.where(answers, 1, 4).astype(np.int64),
    )


def run(
    rights: Mapping[str, Sequence[bool]], seed: int | None = 0, digest: str = "", parent: str = ""
) -> RunResult:
    """A run with the answers to each scenario's queries."""
    recalls = {name: recall(right) for name, right in rights.items()}
    return RunResult(seed, digest, parent, 2_500_000, 1024, 4.2, "torch", recalls)


def system(
    name: str,
    traits: Mapping[str, Any],
    runs: Sequence[RunResult],
    protocol: str = "reduced",
    whitened: int | None = None,
) -> SystemResult:
    """A row of the table."""
    return SystemResult(SystemName(name, protocol, whitened), traits, list(runs))


def random_run(share: float, seed: int, queries: int = 100) -> RunResult:
    """A run that answers about this share of the queries of each scenario, and fewer by night."""
    random = np.random.default_rng([seed, round(1e6 * share)])
    harder = {"snow": 0.9, "night": 0.3}
    return run(
        {name: (random.random(queries) < share * harder.get(name, 1.0)).tolist() for name in SCENARIOS}, seed
    )


def benchmark(systems: Sequence[SystemResult], **more: Any) -> Benchmark:
    """The rows on the scenarios that they have."""
    recalls = systems[0].runs[0].recalls
    views = [
        ScenarioViews(
            name,
            [_view()] * found.references,
            [_view()] * found.queries,
            np.arange(found.references),
            np.arange(found.queries),
            Skipped(),
        )
        for name, found in recalls.items()
    ]
    return Benchmark("city", views, systems, **more)


def _view() -> View:
    camera = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
    files = FrameFiles(0, Path("missing.png"), camera, make_pose(np.eye(3), (0.0, 0.0, 0.0)))
    return View("run", "mono_left", files, FolderTraversal("run", [files]))
