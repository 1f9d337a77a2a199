"""Systems on scenarios: who sees which images, what is counted, and what is written of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scene_geo_loc.errors import SceneGeoLocError
from scene_geo_loc.evaluation import descriptor_table, paper_tables
from scene_geo_loc.evaluation.descriptor_benchmark import Benchmark, FirstNetwork, run_system
from scene_geo_loc.evaluation.descriptor_report import draw_matches, write_descriptor_report
from scene_geo_loc.evaluation.recall_plot import write_recall_plot
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import make_pose
from scene_geo_loc.training.scenarios import Scenario
from scene_geo_loc.training.views import View
from scene_geo_loc.traversals.folder import FolderTraversal, FrameFiles
from scene_geo_loc.traversals.frame import Skipped

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
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
    """Describes an image by its grey value as an angle, shifted where it is told to be bad."""

    parameters = 7

    def __init__(self, name: str = "grey", shift: float = 0.0) -> None:
        self.name, self.shift = name, shift
        self.fitted_on: list[int] = []
        self.described = 0

    def fit(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self.fitted_on.append(len(list(images)))

    def describe(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        self.described += len(images)
        grey = np.radians([float(image.mean()) / 2 for image in images])
        if self.shift and len(images) < 16:  # the queries come in less than a batch
            grey = grey + np.radians(self.shift)
        return np.stack([np.cos(grey), np.sin(grey)], axis=1).astype(np.float32)


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


def test_references_that_scenarios_share_are_fitted_on_and_described_once(scenarios: list[Scenario]) -> None:
    system, told = Grey(), []
    run_system(system, scenarios, lambda done, total: told.append((done, total)))
    assert system.fitted_on == [20]
    assert system.described == 20 + 4 * 3
    assert told[0] == (0, 52)
    assert told[-1] == (52, 52)


def test_recall_and_cost_are_known_for_each_scenario(scenarios: list[Scenario]) -> None:
    result = run_system(Grey(), scenarios)
    assert list(result.scenarios) == ["sunny", "long-term", "snow", "night"]
    assert [result.scenarios[name].recall.at_n(1) for name in ("sunny", "night")] == [
        1.0,
        pytest.approx(2 / 3),
    ]
    assert result.scenarios["night"].recall.without_reference == 1
    assert result.daytime_mean(lambda recall: recall.at_d(15)) == 1.0
    assert (result.parameters, result.bytes_an_image) == (7, 8)


def test_a_mean_by_day_is_given_only_where_all_three_scenarios_are(scenarios: list[Scenario]) -> None:
    assert run_system(Grey(), scenarios[1:]).daytime_mean(lambda recall: recall.at_d(15)) is None


def test_images_that_cannot_be_read_are_left_out_and_counted(scenarios: list[Scenario]) -> None:
    scenarios[0].references[3].files.image.write_bytes(b"broken")
    scenarios[0].queries[1].files.image.unlink()
    sunny = run_system(Grey(), scenarios).scenarios["sunny"]
    assert (sunny.recall.references, sunny.recall.queries) == (19, 2)
    assert sunny.skipped.counts == {"images that cannot be read": 2, "images without a pose": 1}
    assert [query.files.stamp_ns for query in sunny.queries] == [2, 15]
    assert [sunny.references[i].files.stamp_ns for i in sunny.recall.top1] == [2, 15]


def test_a_scenario_without_a_readable_image_is_one_sentence(scenarios: list[Scenario]) -> None:
    for query in scenarios[2].queries:
        query.files.image.write_bytes(b"")
    with pytest.raises(SceneGeoLocError, match="None of the 3 images of run snow"):
        run_system(Grey(), scenarios)


def test_the_first_network_is_fitted_on_the_references(scenarios: list[Scenario]) -> None:
    rng = np.random.default_rng(5)
    for reference in scenarios[0].references:
        small = rng.integers(0, 255, (6, 8, 3), np.uint8)
        cv2.imwrite(str(reference.files.image), cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC))
    for place, query in zip((2, 9), scenarios[0].queries, strict=False):
        query.files.image.write_bytes(scenarios[0].references[place].files.image.read_bytes())
    result = run_system(FirstNetwork("cpu"), scenarios[:1])
    assert result.scenarios["sunny"].recall.top1[:2].tolist() == [2, 9]
    assert result.bytes_an_image == 256 * 4
    assert 2_000_000 < result.parameters < 3_000_000


def test_the_record_tells_the_protocol_and_compares_systems_query_by_query(scenarios: list[Scenario]) -> None:
    systems = [run_system(Grey(), scenarios), run_system(Grey("shifted", shift=40.0), scenarios)]
    record = Benchmark("city", systems, ["Rain is left out."]).to_dict()
    assert record["runs"] == "city"
    assert record["left_out"] == ["Rain is left out."]
    assert "within 25 m" in record["protocol"]["recall_at_n"]
    sunny = record["systems"]["grey"]["scenarios"]["sunny"]
    assert sunny["recall_at_n"] == [1.0] * 25
    assert sunny["left_out"] == {"images without a pose": 1}
    assert "recall_at_1_against_the_first_system" not in record["systems"]["grey"]
    against = record["systems"]["shifted"]["recall_at_1_against_the_first_system"]
    # Eight places further on, of which the last query, at the end of the street, has only four.
    assert against["sunny"] == {"better": 0, "worse": 3, "p_value": 0.25}


def test_the_table_has_our_rows_and_the_papers_below_them(scenarios: list[Scenario]) -> None:
    benchmark = Benchmark("city", [run_system(Grey(), scenarios)])
    ours, baseline, proposed = descriptor_table.rows(benchmark)
    assert ours.cells[0] == ["100.0", "100.0", "100.0"]
    assert ours.cells[3] == ["66.7", "66.7", "66.7"]
    assert [row.is_paper for row in (ours, baseline, proposed)] == [False, True, True]
    assert baseline.name == "paper: RGB + NetVLAD (Rt)"
    assert baseline.cells[0] == ["76.6", "83.9", "86.6"]
    # Table I's "All" at 25 m; at 50 m the paper's curves have ended.
    assert proposed.cells[4][1:] == ["72.2", "–"]
    assert all(len(row.cells) == len(descriptor_table.headings(benchmark)) for row in (ours, proposed))


def test_the_report_is_a_page_with_curves_matches_and_the_papers_tables(
    scenarios: list[Scenario], tmp_path: Path
) -> None:
    benchmark = Benchmark("<city>", [run_system(Grey(), scenarios)], ["Rain is left out."])
    page = write_descriptor_report(tmp_path / "report", benchmark)
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "recall.png", "recall.svg"]
    html = page.read_text()
    assert "<title>Descriptors on &lt;city&gt;</title>" in html
    # Three right ones each by day; two right and one wrong by night.
    assert html.count("data:image/jpeg;base64,") == 12
    assert html.count("<b>wrong, ") == 1
    assert "none of the first 25 is right" in html
    for words in (
        "Rain is left out.",
        "1 images without a pose",
        "Table II, snow",
        "true thresholds",
        "63.0",
    ):
        assert words in html, words
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_matches_whose_images_are_gone_are_not_shown(scenarios: list[Scenario]) -> None:
    night = run_system(Grey(), scenarios).scenarios["night"]
    assert [match.is_right for match in draw_matches(night)] == [True, True, False]
    night.queries[0].files.image.unlink()
    assert [match.is_right for match in draw_matches(night)] == [True, False]


@pytest.mark.parametrize("paper", [(), (paper_tables.BASELINE,)])
def test_the_papers_curves_stand_beside_ours_where_they_are_chosen(
    scenarios: list[Scenario], tmp_path: Path, paper: Any
) -> None:
    curves = {"grey": {"sunny": run_system(Grey(), scenarios).scenarios["sunny"].recall}}
    write_recall_plot(tmp_path / "recall.svg", curves, paper)
    svg = (tmp_path / "recall.svg").read_text()
    assert ("paper, real runs: RGB + NetVLAD (Rt)" in svg) == bool(paper)
    assert "sunny, 3 queries" in svg
    write_recall_plot(tmp_path / "again.svg", curves, paper)
    assert (tmp_path / "again.svg").read_text() == svg
