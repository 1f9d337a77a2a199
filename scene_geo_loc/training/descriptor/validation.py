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

"""The validation area, in which the best epoch of a training run is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.metrics.recall import PlaceRecall, measure_recall
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.packs.sources import pack_views, view_name
from scene_geo_loc.places.areas import AREAS_FILE, Areas
from scene_geo_loc.places.places import places_of
from scene_geo_loc.places.scenarios import (
    PLACE_DISTANCE_M,
    REFERENCE_RUN,
    SCENARIOS,
    TRAINING_RUNS,
    views_in_turn,
)
from scene_geo_loc.places.views import View, open_cameras
from scene_geo_loc.traversals.skipped import Skipped

REFERENCE_RUNS = (REFERENCE_RUN, *TRAINING_RUNS)
"""Candidates for the run of the references: the first that passes through the validation area."""
QUERY_RUNS = (SCENARIOS["sunny"].run, *TRAINING_RUNS)
"""Candidates for the runs of the queries: all others that pass through it, in equal parts."""

_BATCH = 32
"""Images described at a time."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Packed views of the validation area.

    Attributes:
        pack: their images, 224 x 224.
        references, queries: numbers in the pack.
        reference_positions, query_positions: (R, 2) and (Q, 2) metres in the map.
    """

    pack: ImagePack
    references: Sequence[int]
    queries: Sequence[int]
    reference_positions: NDArray[np.float64]
    query_positions: NDArray[np.float64]

    def recall(self, describe: Callable[[torch.Tensor], torch.Tensor]) -> PlaceRecall:
        """Measures the recall of places by descriptors.

        Args:
            describe: images (B, 224, 224, 3) uint8 to descriptors (B, D).
        """
        return measure_recall(
            self._described(describe, self.queries),
            self.query_positions,
            self._described(describe, self.references),
            self.reference_positions,
        )

    def images(self, most: int) -> torch.Tensor:
        """Returns at most `most` reference images (N, 224, 224, 3) uint8, drawn at random, always the
        same.
        """
        # Not every n-th: the views of a place follow each other, so some cameras might never be drawn.
        drawn = np.random.default_rng(0).permutation(len(self.references))[:most]
        return torch.from_numpy(self.pack.images([self.references[i] for i in sorted(drawn)]))

    def _described(
        self, describe: Callable[[torch.Tensor], torch.Tensor], numbers: Sequence[int]
    ) -> NDArray[np.float32]:
        described = [
            describe(torch.from_numpy(self.pack.images(numbers[begin : begin + _BATCH])))
            .float()
            .cpu()
            .numpy()
            for begin in range(0, len(numbers), _BATCH)
        ]
        return np.concatenate(described)


def load_validation(
    root: Path,
    folder: Path,
    most_references: int | None,
    most_queries: int,
    on_progress: ProgressCallback = ignore_progress,
) -> Validation:
    """Loads the validation area of a folder of RobotCar runs, real or simulated.

    Args:
        root: the folder.
        folder: of the pack of its images, which is made if needed.
        most_references: largest number of references, all views of evenly spread places; None: of a place
            every 5 m.
        most_queries: largest number of queries, evenly along their runs and from each camera in turn.
        on_progress: receives the images done and their total.

    Raises:
        SceneGeoLocError: fewer than two runs pass through the validation area, or the pack cannot be made.
    """
    area = Areas.load(root).validation

    def places_along(run: str) -> list[Sequence[View]]:
        cameras = open_cameras(root, run)
        return places_of(run, cameras, PLACE_DISTANCE_M, area, Skipped()) if cameras else []

    of_runs = {
        run: places for run in dict.fromkeys((*REFERENCE_RUNS, *QUERY_RUNS)) if (places := places_along(run))
    }
    reference_run = next((run for run in REFERENCE_RUNS if run in of_runs), None)
    query_runs = [run for run in QUERY_RUNS if run in of_runs and run != reference_run]
    if reference_run is None or not query_runs:
        runs = ", ".join(dict.fromkeys((*REFERENCE_RUNS, *QUERY_RUNS)))
        raise SceneGeoLocError(
            f"{root}: fewer than two of the runs {runs} pass through the validation area, in which the best "
            f"epoch is chosen: check {AREAS_FILE}."
        )
    references = _at_most(of_runs[reference_run], most_references)
    a_run = -(-most_queries // len(query_runs))
    queries = [view for run in query_runs for view in views_in_turn(of_runs[run], a_run)]
    pack = pack_views([*references, *queries], folder, on_progress=on_progress)
    # Views whose image cannot be read are not in the pack.
    packed = [
        [view for view in views if pack.find(view_name(view)) is not None] for views in (references, queries)
    ]
    if not all(packed):
        raise SceneGeoLocError(f"{root}: the images of the validation area cannot be read: check its files.")
    number_of = {name: number for number, name in enumerate(pack.names)}
    numbers = [[number_of[view_name(view)] for view in views] for views in packed]
    positions = [np.array([view.position for view in views]) for views in packed]
    return Validation(pack, numbers[0], numbers[1], positions[0], positions[1])


def _at_most(places: list[Sequence[View]], most_views: int | None) -> list[View]:
    """Returns all views of evenly spread places, at most `most_views`."""
    count = len(places) if most_views is None else min(len(places), max(1, most_views // len(places[0])))
    return [view for k in range(count) for view in places[k * len(places) // count]]
