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

"""Tables of pose errors of localized runs on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.localization.tracking import Gaps, Kidnapping
    from scene_geo_loc.metrics.confidence_calibration import ConfidenceBin
    from scene_geo_loc.metrics.covariance_calibration import CovarianceCalibration
    from scene_geo_loc.metrics.pose_error import QueryRecord, Summary
    from scene_geo_loc.metrics.published.bmvc2019 import MedianErrors, SceneTable

_REASONS = 3
DOUBTFUL = 0.9
"""Poses of a lower confidence are counted apart."""


def print_results(runs: Mapping[str, Summary], title: str = "") -> None:
    """Prints the numbers of runs, one row a run, and the protocol below."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 0, 0, 1),
    )
    table.add_column("", no_wrap=True)
    first = next(iter(runs.values()))
    bounds = (name.replace(" m ", " m\n") for name in first.within)
    headings = ("localized", "metres\nmedian\np95", "degrees\nmedian\np95", *bounds)
    for heading in (*headings, "wrong\nfixes", "ms\np50\np95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, summary in runs.items():
        table.add_row(
            name,
            f"{_share(summary.localized_share, 1)}\n{summary.localized}/{summary.answered}",
            f"{_number(summary.position_median_m, 3)}\n{_number(summary.position_p95_m, 3)}",
            f"{_number(summary.rotation_median_deg, 2)}\n{_number(summary.rotation_p95_deg, 2)}",
            *(_share(share, 0) for share in summary.within.values()),
            str(summary.wrong_fixes),
            f"{_number(summary.latency_p50_ms, 0)}\n{_number(summary.latency_p95_ms, 0)}",
        )
    console = Console(highlight=False)
    console.print(table)
    limit = f"{first.wrong_fix_m:g} m"
    over = "answered queries" if any(summary.unanswered for summary in runs.values()) else "all queries"
    notes = [f"Errors over localized queries, shares over {over}; wrong fix: position error > {limit}."]
    for name, summary in runs.items():
        if summary.unanswered:
            notes.append(
                f"{name}: {summary.unanswered} of {summary.queries} queries got no answer and are in no "
                "other number; the live node was busy or not ready."
            )
        if summary.without_truth:
            notes.append(f"{name}: {summary.without_truth} queries without ground truth are excluded.")
    console.print("\n".join(notes), style="dim")


def print_reasons(records: Sequence[QueryRecord]) -> None:
    """Prints why queries were not localized, by kind, most frequent first, each with one example."""
    from rich.console import Console

    from scene_geo_loc.metrics.pose_error import group_rejections

    console = Console(highlight=False)
    for rejected in group_rejections(records)[:_REASONS]:
        console.print(f"Not localized ({rejected.count}): {rejected.example}")


def print_second_looks(records: Sequence[QueryRecord]) -> None:
    """Prints how many queries were in doubt and were looked at a second time; nothing where none was."""
    from rich.console import Console

    from scene_geo_loc.localization.estimate import SECOND_LOOK

    looked = sum(SECOND_LOOK in record.timings_ms for record in records)
    if looked:
        Console(highlight=False).print(f"In doubt and looked at a second time: {looked} of {len(records)}.")


def print_gaps(gaps: Gaps) -> None:
    """Prints the longest gap without a pose and the number of dead-reckoned poses."""
    from rich.console import Console

    way = "" if gaps.longest_m is None else f", {gaps.longest_m:.1f} m"
    count = gaps.dead_reckoned
    dead_reckoned = f" {count} poses were dead-reckoned from earlier ones." if count else ""
    Console(highlight=False).print(f"Longest without a pose: {gaps.longest_s:.1f} s{way}.{dead_reckoned}")


def print_calibration(calibration: CovarianceCalibration) -> None:
    """Prints the shares of true poses inside the stated 95 % ellipsoids."""
    from rich.console import Console

    shares = (calibration.position, calibration.rotation, calibration.pose)
    position, rotation, pose = (_share(share, 0) for share in shares)
    Console(highlight=False).print(
        f"Covariance calibration: the 95 % ellipsoids contain {position} of the true positions, "
        f"{rotation} of "
        f"the true rotations and {pose} of the true poses."
    )


def print_confidences(bins: Sequence[ConfidenceBin]) -> None:
    """Prints the number of right poses beside the expected one, of all poses and of the doubtful ones."""
    from rich.console import Console

    doubtful = [part for part in bins if part.below <= DOUBTFUL]
    below = f"; below {DOUBTFUL:g}, {_right(doubtful)}" if doubtful else ""
    Console(highlight=False).print(f"Right poses of those that state a probability: {_right(bins)}{below}.")


def _right(bins: Sequence[ConfidenceBin]) -> str:
    poses = sum(part.poses for part in bins)
    mean = sum(part.poses * part.mean_confidence for part in bins) / poses
    return f"{sum(part.right for part in bins)} of {poses} (expected {mean * poses:.1f})"


def print_kidnapping(kidnapping: Kidnapping) -> None:
    """Prints the time until a kidnapped camera was localized again, and wrong poses until then."""
    from rich.console import Console

    found = (
        "not localized again"
        if kidnapping.recovered_s is None
        else f"localized again after {kidnapping.recovered_s:.1f} s"
    )
    wrong = f"{kidnapping.wrong_poses} wrong poses until then"
    Console(highlight=False).print(f"Kidnapped by {kidnapping.away_m:.0f} m: {found}; {wrong}.")


def print_retrieval(medians: MedianErrors) -> None:
    """Prints the median distance between queries and their most similar keyframes."""
    from rich.console import Console

    distance = f"{_number(medians.position_m, 2)} m and {_number(medians.rotation_deg, 1)}°"
    Console(highlight=False).print(f"Most similar keyframe: {distance} from the query (median).")


def print_scene_table(table: SceneTable, ours: Sequence[MedianErrors]) -> None:
    """Prints our median errors in a scene beside those printed in the paper."""
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.metrics.published.bmvc2019 import PAPER

    shown = Table(box=None, padding=(0, 0, 0, 1))
    shown.add_column("", no_wrap=True)
    shown.add_column("metres", justify="right", no_wrap=True)
    shown.add_column("degrees", justify="right", no_wrap=True)
    for owner, rows in (("this run", ours), ("paper", table.printed)):
        for row in rows:
            name = f"{owner}: {row.method}"
            shown.add_row(name, _number(row.position_m, 2), _number(row.rotation_deg, 1))
    console = Console(highlight=False)
    console.print(f"{table.benchmark}, {table.scene}: median error over all queries", style="bold")
    console.print(shown)
    console.print(
        f"Paper: printed in {table.table} of {PAPER}, over the full test split. This run: over the queries "
        "above; a query without an answer counts as infinitely far off.",
        style="dim",
    )


def _share(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
