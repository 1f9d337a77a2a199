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

"""The descriptor benchmark: images given to each system, counts, and cost of a repeated benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors import table as descriptor_table
from scene_geo_loc.benchmarks.descriptors.benchmark import score_runs, whiten
from scene_geo_loc.benchmarks.descriptors.report import draw_matches
from scene_geo_loc.benchmarks.descriptors.results import Benchmark, SystemResult
from scene_geo_loc.benchmarks.descriptors.scenario_images import pack_images
from scene_geo_loc.benchmarks.descriptors.systems import SystemName, SystemRun, runs_of_the_package
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.networks.projection import whitened_axes
from scene_geo_loc.places.scenarios import Scenario
from scene_geo_loc.places.views import View
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow

SHAPE = (64, 48)
CAMERA = Camera(*SHAPE, 50.0, 50.0, 31.5, 23.5)
SPACING_M = 30.0


def view(folder: Path, run: str, place: int, colour: int) -> View:
    """A view of a place on a line, its image all of one grey: what `Grey` knows it by."""
    path = folder / run / f"{place}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((48, 64, 3), colour, np.uint8))
    pose = make_pose(np.eye(3), (place * SPACING_M, 5.0, 0.0))
    files = FrameFiles(place, path, CAMERA, pose)
    return View(run, "mono_left", files, FolderTraversal(run, [files]))


class Grey:
    """Describes an image by its grey value as an angle, and counts what it is asked."""

    parameters = 7
    backend_name = "arithmetic"

    def __init__(self, turn: float = 1.0) -> None:
        self.turn = turn
        self.fitted_on: list[int] = []
        self.described = 0
        self.shapes: set[tuple[int, ...]] = set()

    def fit(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self.fitted_on.append(len(list(images)))

    def describe(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.described += len(images)
        self.shapes |= {image.shape for image in images}
        grey = self.turn * np.radians([float(image.mean()) / 2 for image in images])
        return np.stack([np.cos(grey), np.sin(grey)], axis=1).astype(np.float32)


def run_of(
    system: Grey,
    name: str = "grey",
    seed: int | None = None,
    size: tuple[int, int] = SHAPE,
    digest: str = "",
    whiten: Sequence[int] = (),
) -> SystemRun:
    return SystemRun(
        SystemName(name), lambda w, h: system, lambda w, h: size, seed=seed, digest=digest, whiten=whiten
    )


@pytest.fixture
def scenarios(tmp_path: Path) -> list[Scenario]:
    """Twenty places of ever lighter grey; three queries a scenario, the night's last where nothing is."""
    references = [view(tmp_path, "reference", place, 10 * place) for place in range(20)]
    made = []
    for name in ("sunny", "long-term", "snow", "night"):
        queries = [view(tmp_path, name, place, 10 * place) for place in (2, 9)]
        queries.append(view(tmp_path, name, 400 if name == "night" else 15, 150))
        made.append(Scenario(name, references, queries, Skipped({"images without a pose": 1})))
    return made


@pytest.fixture
def score(scenarios: list[Scenario], tmp_path: Path) -> Callable[..., list[SystemResult]]:
    """Packs the images and scores runs on them."""

    def scored(*runs: SystemRun, cache: Path | None = None) -> list[SystemResult]:
        sizes = sorted({run.input_size(*SHAPE) for run in runs})
        return score_runs(pack_images(scenarios, sizes, cache or tmp_path / "packs"), runs, SHAPE, cache)

    return scored


def test_references_that_scenarios_share_are_fitted_on_and_described_once(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    system, told = Grey(), []
    images = pack_images(scenarios, [SHAPE], tmp_path / "packs")
    score_runs(images, [run_of(system)], SHAPE, on_progress=lambda done, total: told.append((done, total)))
    assert system.fitted_on == [20]
    assert system.described == 20 + 4 * 3
    assert told[0] == (0, 32)
    assert told[-1] == (32, 32)


def test_images_are_decoded_once_for_all_systems(
    scenarios: list[Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    read_view = View.read
    monkeypatch.setattr(View, "read", lambda self: (read.append(self.files.image), read_view(self))[1])
    images = pack_images(scenarios, [SHAPE, (32, 32)], tmp_path / "packs")
    small, large = Grey(), Grey()
    score_runs(images, [run_of(small, "small", size=(32, 32)), run_of(large, "large")], SHAPE)
    assert len(read) == len(set(read)) == 32
    assert (small.shapes, large.shapes) == ({(32, 32, 3)}, {(48, 64, 3)})
    pack_images(scenarios, [SHAPE], tmp_path / "packs")
    assert len(read) == 32


def test_an_image_that_changed_is_packed_again(scenarios: list[Scenario], tmp_path: Path) -> None:
    first = pack_images(scenarios, [SHAPE], tmp_path / "packs")
    row = int(first.scenarios[0].query_rows[0])
    cv2.imwrite(str(scenarios[0].queries[0].files.image), np.full((48, 64, 3), 250, np.uint8))
    again = pack_images(scenarios, [SHAPE], tmp_path / "packs")
    assert first.open(SHAPE)[row].mean() == 20
    assert again.open(SHAPE)[row].mean() == 250


def test_recall_and_cost_are_known_for_each_scenario(score: Callable[..., list[SystemResult]]) -> None:
    (result,) = score(run_of(Grey()))
    (run,) = result.runs
    assert list(run.recalls) == ["sunny", "long-term", "snow", "night"]
    assert run.recalls["sunny"].at_n(1) == 1.0
    assert run.recalls["night"].at_n(1) == pytest.approx(2 / 3)
    assert run.recalls["night"].without_reference == 1
    assert result.by_day(lambda recall: recall.at_d(15)).mean == 1.0
    assert (run.parameters, run.bytes_an_image, run.backend) == (7, 8, "arithmetic")


def test_a_mean_by_day_is_given_only_where_all_three_scenarios_are(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    images = pack_images(scenarios[1:], [SHAPE], tmp_path / "packs")
    (result,) = score_runs(images, [run_of(Grey())], SHAPE)
    assert result.by_day(lambda recall: recall.at_d(15)) is None


def test_runs_of_one_system_make_one_row_with_mean_and_spread(
    score: Callable[..., list[SystemResult]],
) -> None:
    # Grey of all images is described alike by a system that turns nothing: the first reference is found.
    rows = score(run_of(Grey(), seed=1), run_of(Grey(), "other"), run_of(Grey(turn=0.0), seed=2))
    assert [str(row.system) for row in rows] == ["grey", "other"]
    assert rows[0].seeds == [1, 2]
    recall = rows[0].over_seeds("sunny", lambda recall: recall.at_n(1))
    assert recall.mean == 0.5
    assert recall.deviation == pytest.approx(np.sqrt(0.5))
    assert rows[1].over_seeds("sunny", lambda recall: recall.at_n(1)).deviation is None
    benchmark = Benchmark("city", _views(rows), rows)
    assert descriptor_table.rows(benchmark)[0].cells[0][0] == "50.0 ±70.7"
    assert descriptor_table.rows(benchmark)[0].training == "seeds 1, 2"
    seeds = benchmark.to_dict()["systems"][0]["seeds"]
    assert [seed["scenarios"]["sunny"]["recall_at_n"][0] for seed in seeds] == [1.0, 0.0]


def test_what_the_cache_has_is_not_described_again(
    score: Callable[..., list[SystemResult]], tmp_path: Path
) -> None:
    first, second = Grey(), Grey(turn=0.5)
    cache = tmp_path / "cache"
    before = score(run_of(first, digest="a" * 64), cache=cache)
    with_another = [run_of(first, seed=3, digest="a" * 64), run_of(second, "second", digest="b" * 64)]
    again = score(*with_another, cache=cache)
    assert (first.described, second.described) == (32, 32)
    assert again[0].runs[0].seed == 3
    np.testing.assert_array_equal(
        again[0].runs[0].recalls["night"].top1_distance_m, before[0].runs[0].recalls["night"].top1_distance_m
    )
    for file in cache.glob("scores_*"):
        file.write_text("{")
    score(run_of(first, digest="a" * 64), cache=cache)
    assert first.described == 64


def test_a_system_without_a_digest_is_described_each_time(
    score: Callable[..., list[SystemResult]], tmp_path: Path
) -> None:
    system = Grey()
    for _ in range(2):
        score(run_of(system), cache=tmp_path / "cache")
    assert system.described == 64


def test_whitened_sizes_are_rows_of_their_own(score: Callable[..., list[SystemResult]]) -> None:
    system = Grey()
    plain, whitened = score(run_of(system, whiten=[1]))
    assert str(whitened.system) == "grey, PCA-whitened to 1"
    assert system.described == 32
    assert (plain.runs[0].bytes_an_image, whitened.runs[0].bytes_an_image) == (8, 4)
    assert whitened.runs[0].parameters == 7 + 2


def test_whitening_is_that_of_the_references() -> None:
    random = np.random.default_rng(0)
    descriptors = (random.normal(size=(60, 8)) * np.arange(1, 9)).astype(np.float32)
    whitened, numbers = whiten(descriptors, np.arange(50), 3)
    assert whitened.shape == (60, 3)
    assert numbers == 3 * 8
    projected = descriptors @ whitened_axes(descriptors[:50], 3).T
    np.testing.assert_allclose(whitened, projected / np.linalg.norm(projected, axis=1, keepdims=True))


def test_descriptors_cannot_be_whitened_to_more_than_the_references_span(
    score: Callable[..., list[SystemResult]],
) -> None:
    with pytest.raises(SceneGeoLocError, match="span 2 dimensions"):
        score(run_of(Grey(), whiten=[5]))


def test_descriptors_that_are_not_finite_are_one_sentence(score: Callable[..., list[SystemResult]]) -> None:
    with pytest.raises(SceneGeoLocError, match="grey with seed 4 gives descriptors that are not finite"):
        score(run_of(Grey(turn=np.nan), seed=4))


def test_images_that_cannot_be_read_are_left_out_and_counted(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    scenarios[0].references[3].files.image.write_bytes(b"broken")
    scenarios[0].queries[1].files.image.unlink()
    images = pack_images(scenarios, [SHAPE], tmp_path / "packs")
    sunny = images.scenarios[0]
    (result,) = score_runs(images, [run_of(Grey())], SHAPE)
    recall = result.runs[0].recalls["sunny"]
    assert (recall.references, recall.queries) == (19, 2)
    assert sunny.skipped.counts == {"images that cannot be read": 2, "images without a pose": 1}
    assert [query.files.stamp_ns for query in sunny.queries] == [2, 15]
    assert [sunny.references[i].files.stamp_ns for i in recall.top1] == [2, 15]


def test_a_scenario_without_a_readable_image_is_one_sentence(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    for query in scenarios[2].queries:
        query.files.image.write_bytes(b"")
    with pytest.raises(SceneGeoLocError, match="None of the 3 images of run snow"):
        pack_images(scenarios, [SHAPE], tmp_path / "packs")


def test_a_cache_that_cannot_be_written_is_one_sentence(scenarios: list[Scenario], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SceneGeoLocError, match="cannot be written"):
        pack_images(scenarios, [SHAPE], tmp_path / "file")


def test_the_first_network_is_fitted_on_the_references(scenarios: list[Scenario], tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for reference in scenarios[0].references:
        small = random.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(reference.files.image), cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC))
    for place, query in zip((2, 9), scenarios[0].queries, strict=False):
        query.files.image.write_bytes(scenarios[0].references[place].files.image.read_bytes())
    first = runs_of_the_package("cpu")[0]
    images = pack_images(scenarios[:1], [first.input_size(*SHAPE)], tmp_path / "packs")
    (result,) = score_runs(images, [first], SHAPE)
    assert result.runs[0].recalls["sunny"].top1[:2].tolist() == [2, 9]
    assert result.runs[0].bytes_an_image == 512 * 4
    assert 2_000_000 < result.runs[0].parameters < 4_500_000


def test_matches_whose_images_are_gone_are_not_shown(scenarios: list[Scenario], tmp_path: Path) -> None:
    images = pack_images(scenarios, [SHAPE], tmp_path / "packs")
    (result,) = score_runs(images, [run_of(Grey())], SHAPE)
    night, recall = images.scenarios[3], result.runs[0].recalls["night"]
    assert [match.is_right for match in draw_matches(night, recall)] == [True, True, False]
    night.queries[0].files.image.unlink()
    assert [match.is_right for match in draw_matches(night, recall)] == [True, False]


def _views(rows: Sequence[SystemResult]) -> list:
    from made_benchmark import benchmark

    return list(benchmark(rows).scenarios)
