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

"""The validation area of a folder of runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.places.scenarios import REFERENCE_RUN, SCENARIOS, TRAINING_RUNS
from scene_geo_loc.places.views import VIEWS, Cameras
from scene_geo_loc.training.descriptor import validation
from scene_geo_loc.training.descriptor.validation import load_validation

pytestmark = pytest.mark.slow

SUNNY = SCENARIOS["sunny"].run
AREAS = {"train": [[500, 0, 600, 10]], "validation": [[0, -5, 100, 5]], "test": [[700, 0, 800, 10]]}


@pytest.fixture
def town(
    tmp_path: Path, drive: Callable[..., Cameras], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """A folder in which runs drive along the validation area; packs know names and show the position."""
    (tmp_path / "areas.json").write_text(json.dumps(AREAS))

    def with_runs(*names: str) -> Path:
        runs = {name: drive([(-50, 0), (150, 0)], tmp_path, name) for name in names}
        monkeypatch.setattr(validation, "open_cameras", lambda root, name: runs.get(name, {}))
        monkeypatch.setattr(validation, "pack_views", lambda views, folder, on_progress: Pack(views))
        return tmp_path

    return with_runs


class Pack:
    """Images whose every pixel is the number of metres along the way."""

    def __init__(self, views: list) -> None:
        self.names = [validation.view_name(view) for view in views]
        self._metres = [round(view.position[0]) for view in views]

    def find(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def images(self, numbers: list[int]) -> np.ndarray:
        return np.full((len(numbers), 4, 4, 3), 0, np.uint8) + np.array(
            [self._metres[i] for i in numbers], np.uint8
        ).reshape(-1, 1, 1, 1)


def by_position(images: torch.Tensor) -> torch.Tensor:
    """Descriptors that turn by a right angle in 100 m."""
    angle = images[:, 0, 0, 0].float() / 100 * np.pi / 2
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def runs_of(numbers: Sequence[int], pack: Any) -> set[str]:
    return {pack.names[i].split("/")[0] for i in numbers}


def camera_of(name: str) -> str:
    return next(camera for camera in VIEWS if f"/{camera}/" in name)


def test_references_are_of_the_reference_run_and_queries_of_all_others(town: Callable[..., Path]) -> None:
    root = town(REFERENCE_RUN, SUNNY, *TRAINING_RUNS)
    made = load_validation(root, root / "pack", None, 40)
    assert len(made.references) == 20 * len(VIEWS)
    assert runs_of(made.references, made.pack) == {REFERENCE_RUN}
    assert runs_of(made.queries, made.pack) == {SUNNY, *TRAINING_RUNS}
    assert len(made.queries) == 40


def test_training_runs_serve_where_no_other_passes_through(town: Callable[..., Path]) -> None:
    root = town(*TRAINING_RUNS[:2])
    made = load_validation(root, root / "pack", 30, 10)
    assert runs_of(made.references, made.pack) == {TRAINING_RUNS[0]}
    assert runs_of(made.queries, made.pack) == {TRAINING_RUNS[1]}
    assert (len(made.references), len(made.queries)) == (7 * len(VIEWS), 10)


@pytest.mark.parametrize(("references", "queries"), [(30, 10), (40, 20), (24, 40)])
def test_every_camera_has_its_share_whatever_the_numbers(
    town: Callable[..., Path], references: int, queries: int
) -> None:
    root = town(REFERENCE_RUN, SUNNY, TRAINING_RUNS[0])
    made = load_validation(root, root / "pack", references, queries)
    for numbers in (made.references, made.queries):
        of_cameras = Counter(camera_of(made.pack.names[i]) for i in numbers)
        assert set(of_cameras) == set(VIEWS)
        assert max(of_cameras.values()) - min(of_cameras.values()) <= 2


def test_one_run_alone_is_not_enough(town: Callable[..., Path]) -> None:
    root = town(REFERENCE_RUN)
    with pytest.raises(SceneGeoLocError, match=r"fewer than two of the runs .* the validation area"):
        load_validation(root, root / "pack", None, 10)


def test_descriptors_that_know_the_place_find_it_and_others_do_not(town: Callable[..., Path]) -> None:
    root = town(*TRAINING_RUNS[:2])
    made = load_validation(root, root / "pack", None, 20)
    assert made.recall(by_position).at_n(1) == 1.0
    nothing = made.recall(lambda images: torch.ones(len(images), 2))
    assert nothing.at_n(1) < 0.6


def test_images_to_fit_on_are_of_everywhere_among_the_references_and_the_same_each_time(
    town: Callable[..., Path],
) -> None:
    root = town(*TRAINING_RUNS[:2])
    made = load_validation(root, root / "pack", None, 20)
    images = made.images(20)
    assert images.shape == (20, 4, 4, 3)
    assert images[-1].float().mean() - images[0].float().mean() > 60
    assert torch.equal(images, made.images(20))
    assert len(made.images(1000)) == len(made.references)
