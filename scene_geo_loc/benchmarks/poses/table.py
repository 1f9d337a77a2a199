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

"""Tables of a pose benchmark as text: an ablation of each set of queries, and the paper's tables and ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scene_geo_loc.benchmarks.poses.errors import WRONG_FIX_M
from scene_geo_loc.benchmarks.poses.results import MethodResult, PoseBenchmark, QuerySetResult, gain_of
from scene_geo_loc.benchmarks.poses.text import UNKNOWN, Line, number, share
from scene_geo_loc.metrics.published.bmvc2019 import BenchmarkTable, MedianErrors, benchmark_tables

PAPER_NOTE = (
    "Median position (m) / rotation (°) error. The paper's columns are as printed, over the full test "
    "splits; ours are over the queries that we had of a scene. Gain: of the means over the scenes, the "
    "paper's as its text gives it."
)


def notes(benchmark: PoseBenchmark) -> str:
    """Returns the explanation of the ablation's columns."""
    bounds = sorted({WRONG_FIX_M[queries.place] for queries in benchmark.sets})
    wrong = " m or ".join(f"{bound:g}" for bound in bounds)
    return (
        "Medians are over all queries, by the paper's protocol: one that is not localized keeps the pose "
        "retrieved. Gain: how many times smaller they are than those of retrieval, position / rotation. "
        "Within: per cent of all queries that were localized so near; of retrieval, which verifies nothing, "
        f"of all. A wrong fix is a localized pose off by more than {wrong} m. ms: from image to answer, "
        "median."
    )


def headings(queries: QuerySetResult) -> list[str]:
    """Returns the headings of the ablation's columns after the method's name."""
    within = [f"within {name}" for name in queries.bounds]
    return ["metres", "degrees", "gain", *within, "localized", "wrong fixes", "ms"]


def ablation(queries: QuerySetResult) -> list[Line]:
    """Returns a line for each method, then one for each that was not run."""
    lines = [Line(label(method, queries.methods), _cells(queries, method)) for method in queries.methods]
    return lines + [Line(name, note=reason) for name, reason in queries.not_run.items()]


def label(method: MethodResult, among: Sequence[MethodResult]) -> str:
    """Returns the step with the settings that distinguish the method: "pooled, refined, lidar depth"."""
    words = [method.step]
    if method.depth:
        words.append(f"{method.depth} depth")
    if len({other.matcher for other in among}) > 1:
        words.append(method.matcher)
    if len({other.network for other in among}) > 1:
        words.append(method.network)
    return ", ".join(words)


def _cells(queries: QuerySetResult, method: MethodResult) -> list[str]:
    wrong, gain = method.wrong_fixes(queries.place), queries.gain(method)
    return [
        number(method.median_m, 3),
        number(method.median_deg, 2),
        UNKNOWN if gain is None else str(gain),
        *(share(float(method.within(bound).mean())) for bound in queries.bounds.values()),
        share(method.localized_share),
        UNKNOWN if wrong is None else str(wrong),
        number(method.median_ms, 0),
    ]


@dataclass(frozen=True)
class PaperComparison:
    """One of the paper's tables with ours beside it.

    Attributes:
        title: the benchmark, and the paper's table.
        printed, ours: the columns' names.
        lines: a line for each scene, cells of the paper and then ours, and one for the gain.
    """

    title: str
    printed: Sequence[str]
    ours: Sequence[str]
    lines: Sequence[Line] = field(default_factory=list)


def paper_comparisons(benchmark: PoseBenchmark, all_tables: bool = False) -> list[PaperComparison]:
    """Returns the paper's tables that contain a measured scene; with `all_tables` all of its tables."""
    compared = []
    for table in benchmark_tables():
        by_scene = {
            queries.scene: queries for queries in benchmark.sets if queries.benchmark == table.benchmark
        }
        if by_scene or all_tables:
            compared.append(_compare(table, by_scene))
    return compared


def _compare(table: BenchmarkTable, by_scene: dict[str, QuerySetResult]) -> PaperComparison:
    among = [method for queries in by_scene.values() for method in queries.methods]
    ours = list(dict.fromkeys(label(method, among) for method in among))
    lines = []
    for scene in table.scenes:
        printed = {row.method: row for row in scene.printed}
        cells = [_errors(printed.get(method)) for method in table.methods]
        found = {label(m, among): m for m in by_scene[scene.scene].methods} if scene.scene in by_scene else {}
        for name in ours:
            method = found.get(name)
            cells.append(
                "" if method is None else _errors(MedianErrors(name, method.median_m, method.median_deg))
            )
        had = f", {by_scene[scene.scene].queries} queries" if scene.scene in by_scene else ""
        lines.append(Line(f"{scene.scene}{had}", cells))
    gains = [str(table.gains.get(method.removeprefix("PnlP, "), "")) for method in table.methods]
    lines.append(Line("gain", [*gains, *(_gain(name, by_scene, among) for name in ours)]))
    return PaperComparison(f"{table.benchmark} ({table.table})", table.methods, ours, lines)


def _gain(name: str, by_scene: dict[str, QuerySetResult], among: Sequence[MethodResult]) -> str:
    """Returns the gain of one of our columns over the scenes that have it."""
    pairs = [
        (queries.retrieval_of(method), method)
        for queries in by_scene.values()
        for method in queries.methods
        if label(method, among) == name and not method.is_retrieval
    ]
    gain = gain_of([before for before, _ in pairs], [after for _, after in pairs])
    return "" if gain is None else str(gain)


def _errors(row: MedianErrors | None) -> str:
    if row is None:
        return UNKNOWN
    return f"{number(row.position_m, 2)} / {number(row.rotation_deg, 1)}"
