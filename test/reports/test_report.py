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

"""The report: a single self-contained file, readable in light and dark."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scene_geo_loc.benchmarks.localization.run import localize_traversal
from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.localization.estimate import Status
from scene_geo_loc.localization.match_picture import INLIER, OUTLIER, match_picture
from scene_geo_loc.localization.session import Session
from scene_geo_loc.localization.verification.rejection import Rejection, RejectionKind
from scene_geo_loc.metrics.pose_error import QueryRecord, summarize
from scene_geo_loc.metrics.published.bmvc2019 import MedianErrors, scene_table
from scene_geo_loc.plots.map_view import ground_axes
from scene_geo_loc.reports.examples import choose_examples, draw_examples
from scene_geo_loc.reports.report import IndexRow, Report, write_index, write_report
from scene_geo_loc.reports.summary_picture import summary_picture

pytestmark = pytest.mark.slow


class Sources(HTMLParser):
    """Everything that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag in ("script", "link", "iframe")
        self.found += [value or "" for name, value in attributes if name == "src"]


@pytest.fixture
def report(localizer: Any, traversal: Any, fake_map: Any) -> Report:
    records = list(localize_traversal(Session(localizer), traversal))
    examples = draw_examples(records, choose_examples(records), localizer, fake_map, traversal)
    positions = fake_map.T_map_camera[:, :3, 3]
    return Report("A <walk>", "Localized offline.", records, summarize(records), positions, examples)


def test_the_report_is_one_file_that_loads_nothing_else(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "deep" / "walk.html", report)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["walk.html"]
    html = (tmp_path / "deep" / "walk.html").read_text()
    sources = Sources()
    sources.feed(html)
    assert sources.scripts == 0
    assert len(sources.found) == len(report.examples)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources.found)
    assert "url(http" not in html


def test_the_report_shows_numbers_reasons_and_the_protocol(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "walk.html", report)
    html = (tmp_path / "walk.html").read_text()
    assert "<title>A &lt;walk&gt;</title>" in html
    for words in (
        "82.5 %",
        "33 (82.5 %)",
        "0.160 m",
        "within 0.25 m 2°",
        "<td>5</td>",
        "0.00 &lt; 0.10",
    ):
        assert words in html, words
    assert "Medians, percentiles and wrong fixes are over the localized queries" in html
    assert "All queries have ground truth" in html


def test_the_charts_take_their_colours_from_the_page(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "walk.html", report)
    charts = re.findall(r"<svg.*?</svg>", (tmp_path / "walk.html").read_text(), re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        assert "var(--muted)" in chart
        assert "#101112" not in chart


def report_of(records: list[QueryRecord]) -> Report:
    return Report("Walk", "Offline.", records, summarize(records), np.zeros((1, 3)), [])


def test_stated_probabilities_are_shown_beside_the_share_of_right_poses(
    traversal: Any, tmp_path: Path
) -> None:
    records = [
        QueryRecord(i, Status.LOCALIZED, f.T_map_camera, f.T_map_camera, confidence=0.6 + 0.01 * i)
        for i, f in enumerate(traversal.frames())
    ]
    write_report(tmp_path / "walk.html", report_of(records))
    html = (tmp_path / "walk.html").read_text()
    assert "stated probability" in html
    assert ">30<" in html  # poses of 0.6 to 0.9
    write_report(tmp_path / "none.html", report_of([replace(record, confidence=None) for record in records]))
    assert "stated probability" not in (tmp_path / "none.html").read_text()


def test_a_run_without_any_answer_still_has_a_report(traversal: Any, tmp_path: Path) -> None:
    lost = [
        QueryRecord(f.stamp_ns, Status.LOST, f.T_map_camera, rejection=Rejection(RejectionKind.NO_CONTRAST))
        for f in traversal.frames()
    ]
    write_report(tmp_path / "night.html", report_of(lost))
    assert "The image is black" in (tmp_path / "night.html").read_text()


def test_a_run_without_any_truth_says_how_many_were_left_out(tmp_path: Path) -> None:
    write_report(
        tmp_path / "x.html", report_of([QueryRecord(0, Status.LOST, None), QueryRecord(1, Status.LOST, None)])
    )
    assert "2 more queries have no ground truth" in (tmp_path / "x.html").read_text()


def test_a_scene_of_a_benchmark_is_shown_beside_the_paper(traversal: Any, tmp_path: Path) -> None:
    lost = [QueryRecord(f.stamp_ns, Status.LOST, f.T_map_camera) for f in traversal.frames()]
    report = replace(
        report_of(lost),
        scene_table=scene_table("7scenes", Path("chess")),
        medians=[MedianErrors("Retrieved", 0.25, None)],
    )
    write_report(tmp_path / "chess.html", report)
    html = (tmp_path / "chess.html").read_text()
    assert "<th>This run: Retrieved</th><td>0.25 m</td><td>–</td>" in html
    assert "<th>Paper: PnlP, FC supervised</th><td>0.07 m</td><td>2.7°</td>" in html
    write_report(tmp_path / "walk.html", report_of(lost))
    assert "Beside the paper" not in (tmp_path / "walk.html").read_text()


def test_the_index_leads_to_every_run(report: Report, tmp_path: Path) -> None:
    picture = summary_picture(
        [("a", report.examples[0].picture)], report.records, report.summary, report.keyframe_positions, "t"
    )
    assert picture.startswith(b"\x89PNG")
    rows = [IndexRow(name, f"{name}.html", report.summary, None) for name in ("sunny", "night")]
    write_index(tmp_path / "index.html", "Drives", "Live.", rows, picture)
    html = (tmp_path / "index.html").read_text()
    assert html.count('href="sunny.html"') == 1
    assert html.count('href="night.html"') == 1


def test_a_match_picture_joins_the_query_to_its_keyframe(
    localizer: Any, traversal: Any, fake_map: Any
) -> None:
    frame = next(traversal.frames())
    picture = match_picture(frame.image, localizer.localize(frame), fake_map, height=480, gap=20)
    assert picture.shape == (480, 640 + 20 + 640, 3)
    # The match at (40, 20) lies ten times as far in the enlarged query, and as far in the keyframe.
    for x in (404, 660 + 404):
        assert np.abs(picture[204, x].astype(int) - INLIER).max() < 40
    assert not (np.abs(picture.astype(int) - OUTLIER).max(axis=2) < 40).any(), (
        "the outlier is another keyframe's"
    )


def test_a_query_without_candidates_is_shown_alone(localizer: Any, traversal: Any, fake_map: Any) -> None:
    frame = list(traversal.frames())[21]
    picture = match_picture(frame.image, localizer.localize(frame), fake_map, height=96)
    assert picture.shape == (96, 128, 3)


def test_a_map_is_seen_along_the_axis_in_which_it_spreads_least() -> None:
    rng = np.random.default_rng(3)
    spread = rng.normal(size=(50, 3)) * (10.0, 0.1, 4.0)
    assert ground_axes(spread) == (0, 2)


def test_a_file_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SceneGeoLocError, match="cannot be written"):
        write_aside(tmp_path / "file" / "report.html", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SceneGeoLocError, match="folder is not a regular file"):
        write_aside(tmp_path / "folder", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_json_keeps_its_signs_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {"0.1 m 5°": None})
    assert (tmp_path / "result.json").read_text() == '{\n  "0.1 m 5°": null\n}\n'


def test_pictures_survive_their_jpeg(report: Report) -> None:
    example = report.examples[0]
    decoded = cv2.imdecode(np.frombuffer(example.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    error = np.abs(decoded[..., ::-1].astype(int) - example.picture)
    assert np.median(error) < 3


def test_images_without_an_answer_are_no_examples_and_are_named_in_the_report(
    traversal: Any, tmp_path: Path
) -> None:
    statuses = [Status.UNANSWERED, Status.LOST] * 20
    records = [
        QueryRecord(frame.stamp_ns, status, frame.T_map_camera)
        for frame, status in zip(traversal.frames(), statuses, strict=False)
    ]
    assert all(records[i].status is Status.LOST for i in choose_examples(records))
    write_report(tmp_path / "busy.html", report_of(records))
    count = sum(record.status is Status.UNANSWERED for record in records)
    assert f"no answer to {count} images" in (tmp_path / "busy.html").read_text()
