"""Results of runs on the terminal: one row a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.evaluation.pose_error import Summary


def print_results(runs: Mapping[str, Summary], title: str = "") -> None:
    """Prints a table of the runs' numbers by name, and the protocol in a line."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold")
    table.add_column("")
    for heading in ("localized", "position\nmedian, p95", "rotation\nmedian, p95"):
        table.add_column(heading, justify="right")
    first = next(iter(runs.values()))
    for heading in (*(name.replace(" m ", " m\n") for name in first.within), "wrong\nfixes", "latency\np50, p95"):
        table.add_column(heading, justify="right")
    for name, summary in runs.items():
        table.add_row(
            name,
            f"{summary.localized}/{summary.queries}\n{_share(summary.localized_share)}",
            f"{_number(summary.position_median_m, 3)} m\n{_number(summary.position_p95_m, 3)} m",
            f"{_number(summary.rotation_median_deg, 2)}°\n{_number(summary.rotation_p95_deg, 2)}°",
            *(_share(share) for share in summary.within.values()),
            str(summary.wrong_fixes),
            f"{_number(summary.latency_p50_ms, 0)} ms\n{_number(summary.latency_p95_ms, 0)} ms",
        )
    console = Console()
    console.print(table)
    console.print(
        f"Errors over localized queries, shares over all; a wrong fix is off by more than {first.wrong_fix_m:g} m.",
        style="dim",
        highlight=False,
    )
    for name, summary in runs.items():
        if summary.without_truth:
            console.print(f"{name}: {summary.without_truth} queries without known truth are left out.", style="dim")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
