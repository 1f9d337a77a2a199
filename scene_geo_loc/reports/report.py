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

"""HTML report of a localized run in one file: numbers, charts and pictures, without external resources."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.metrics.confidence_calibration import confidence_calibration
from scene_geo_loc.metrics.pose_error import QueryRecord, Summary, group_rejections
from scene_geo_loc.metrics.published.bmvc2019 import PAPER, MedianErrors, SceneTable
from scene_geo_loc.plots import charts, map_view
from scene_geo_loc.plots.reliability import reliability_svg
from scene_geo_loc.plots.style import STATUS_COLOURS
from scene_geo_loc.reports.examples import Example
from scene_geo_loc.reports.summary_picture import headline


@dataclass(frozen=True)
class Report:
    """Contents of a report.

    Attributes:
        title: name of the queries.
        conditions: one or two sentences on how the queries were localized, and in which map.
        records: the queries in order of time.
        summary: numbers over these queries.
        keyframe_positions: (N, 3) metres, of the map.
        examples: match pictures.
        scene_table: errors printed in a paper for the scene, or None.
        medians: our errors by that paper's protocol.
    """

    title: str
    conditions: str
    records: Sequence[QueryRecord]
    summary: Summary
    keyframe_positions: NDArray[np.float64]
    examples: Sequence[Example]
    scene_table: SceneTable | None = None
    medians: Sequence[MedianErrors] = ()


def write_report(path: Path, report: Report) -> None:
    """Writes the report as one HTML file; it replaces an older file only when complete."""
    records = [record for record in report.records if record.T_true is not None]
    statuses = Counter(record.status for record in records)
    kinds = ("best", "Smallest errors"), ("worst", "Largest errors"), ("lost", "Not localized")
    html = template("report.html.j2").render(
        report=report,
        headline=headline(report.summary),
        paper=PAPER,
        rows=table_rows(report.summary),
        statuses=[(str(status), statuses[status], colour) for status, colour in STATUS_COLOURS.items()],
        rejections=group_rejections(records),
        charts=_charts(records, report),
        galleries=[(title, [e for e in report.examples if e.kind == kind]) for kind, title in kinds],
    )
    write_aside(path, html.encode())


@dataclass(frozen=True)
class IndexRow:
    """Entry of a run on the index page: its name, the file of its report, its numbers and a picture."""

    name: str
    file: str
    summary: Summary
    example: Example | None


def write_index(
    path: Path, title: str, conditions: str, rows: Sequence[IndexRow], summary_png: bytes
) -> None:
    """Writes the page that links the reports of several runs."""
    html = template("index.html.j2").render(
        title=title,
        conditions=conditions,
        summary_picture=summary_png,
        runs=[(row, dict(table_rows(row.summary))) for row in rows],
        columns=[name for name, _ in table_rows(rows[0].summary)] if rows else [],
    )
    write_aside(path, html.encode())


def table_rows(summary: Summary) -> list[tuple[str, str]]:
    """Returns the numbers of a run as names and formatted values."""

    def number(value: float | None, unit: str, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}{unit}"

    def share(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f} %"

    return [
        ("queries", str(summary.queries)),
        *([("answered by the node", str(summary.answered))] if summary.unanswered else []),
        ("localized", f"{summary.localized} ({share(summary.localized_share)})"),
        ("position, median", number(summary.position_median_m, " m", 3)),
        ("position, 95th percentile", number(summary.position_p95_m, " m", 3)),
        ("rotation, median", number(summary.rotation_median_deg, "°", 2)),
        ("rotation, 95th percentile", number(summary.rotation_p95_deg, "°", 2)),
        *((f"within {name}", share(value)) for name, value in summary.within.items()),
        (f"wrong fixes (over {summary.wrong_fix_m:g} m)", str(summary.wrong_fixes)),
        ("latency, median", number(summary.latency_p50_ms, " ms", 0)),
        ("latency, 95th percentile", number(summary.latency_p95_ms, " ms", 0)),
    ]


def _charts(records: Sequence[QueryRecord], report: Report) -> dict[str, str]:
    if not records:
        return {}
    wrong_fix_m = report.summary.wrong_fix_m
    bins = confidence_calibration(records, wrong_fix_m)
    return {
        "trajectory": map_view.trajectory_svg(records, report.keyframe_positions, wrong_fix_m),
        "errors_over_time": charts.errors_over_time_svg(records, wrong_fix_m),
        "cumulative": charts.cumulative_svg(records),
        "latency": charts.latency_svg(records),
        "reliability": reliability_svg(bins) if bins else "",
    }


def template(name: str) -> jinja2.Template:
    """Loads a template of this package, with the filter `base64`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scene_geo_loc.reports"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template(name)
