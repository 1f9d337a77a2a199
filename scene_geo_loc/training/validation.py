"""The validation area: where the best epoch of a training run is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.errors import SceneGeoLocError
from scene_geo_loc.evaluation.recall import PlaceRecall, measure_recall
from scene_geo_loc.training.areas import AREAS_FILE, Areas
from scene_geo_loc.training.image_pack import ImagePack
from scene_geo_loc.training.pack_sources import pack_views, view_name
from scene_geo_loc.training.packing import Progress
from scene_geo_loc.training.scenarios import (
    REFERENCE_RUN,
    SCENARIOS,
    TRAINING_RUNS,
    queries_of,
    references_of,
)
from scene_geo_loc.training.views import View, open_cameras
from scene_geo_loc.traversals.frame import Skipped

REFERENCE_RUNS = (REFERENCE_RUN, *TRAINING_RUNS)
"""References are of the first of these that passes through the validation area."""
QUERY_RUNS = (SCENARIOS["sunny"].run, *TRAINING_RUNS)
"""Queries are of those of these that do, in equal parts, but the references' run."""

_BATCH = 32
"""Images that are described at a time."""


@dataclass(frozen=True, eq=False)
class Validation:
    """Views of the validation area, packed.

    Attributes:
        pack: their images, 224 x 224.
        references, queries: their numbers in the pack.
        reference_positions, query_positions: (R, 2) and (Q, 2) metres in the map.
    """

    pack: ImagePack
    references: Sequence[int]
    queries: Sequence[int]
    reference_positions: NDArray[np.float64]
    query_positions: NDArray[np.float64]

    def recall(self, describe: Callable[[torch.Tensor], torch.Tensor]) -> PlaceRecall:
        """How well descriptors (B, D) that `describe` gives of images (B, 224, 224, 3) uint8 find places."""
        return measure_recall(
            self._described(describe, self.queries),
            self.query_positions,
            self._described(describe, self.references),
            self.reference_positions,
        )

    def images(self, most: int) -> torch.Tensor:
        """At most so many reference images (N, 224, 224, 3) uint8, evenly spread."""
        return torch.from_numpy(self.pack.images(_spread(self.references, most)))

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
    progress: Progress | None = None,
) -> Validation:
    """The validation area of a folder of RobotCar runs, real or simulated.

    Args:
        root: the folder.
        folder: the pack of its images, made where it is not there.
        most_references: that many references at most, evenly spread; None: a place every 5 m.
        most_queries: that many queries at most, evenly along their runs.
        progress: told how far the packing is.

    Raises:
        SceneGeoLocError: not two of its runs pass through the validation area, or the pack cannot be made.
    """
    area = Areas.load(root).validation
    references: list[View] = []
    for reference_run in REFERENCE_RUNS:
        if cameras := open_cameras(root, reference_run):
            references = references_of(reference_run, cameras, area, Skipped())
        if references:
            break
    of_runs = [
        queries
        for run in QUERY_RUNS
        if run != reference_run
        and (cameras := open_cameras(root, run))
        and (queries := queries_of(run, cameras, area, most_queries, Skipped()))
    ]
    if not references or not of_runs:
        runs = ", ".join(dict.fromkeys((*REFERENCE_RUNS, *QUERY_RUNS)))
        raise SceneGeoLocError(
            f"{root}: no two of the runs {runs} pass through "
            f"the validation area, by which the best epoch is chosen: check {AREAS_FILE}."
        )
    references = _spread(references, most_references)
    queries = [view for views in of_runs for view in _spread(views, -(-most_queries // len(of_runs)))]
    pack = pack_views([*references, *queries], folder, progress=progress)
    # Views whose image cannot be read are not in the pack.
    there = [
        [view for view in views if pack.find(view_name(view)) is not None] for views in (references, queries)
    ]
    if not all(there):
        raise SceneGeoLocError(f"{root}: the images of the validation area cannot be read: check its files.")
    number_of = {name: number for number, name in enumerate(pack.names)}
    numbers = [[number_of[view_name(view)] for view in views] for views in there]
    positions = [np.array([view.position for view in views]) for views in there]
    return Validation(pack, numbers[0], numbers[1], positions[0], positions[1])


def _spread(items: Sequence, most: int | None) -> list:
    """At most so many of the items, evenly spread."""
    count = min(most or len(items), len(items))
    return [items[k * len(items) // count] for k in range(count)]
