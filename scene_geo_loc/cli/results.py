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

    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 0, 0, 1),
    )
    table.add_column("", no_wrap=True)
    first = next(iter(runs.values()))
    within = (name.replace(" m ", " m\n") for name in first.within)
    headings = ("localized", "metres\nmedian\np95", "degrees\nmedian\np95", *within)
    for heading in (*headings, "wrong\nfixes", "ms\np50\np95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, summary in runs.items():
        table.add_row(
            name,
            f"{_share(summary.localized_share, 1)}\n{summary.localized}/{summary.queries}",
            f"{_number(summary.position_median_m, 3)}\n{_number(summary.position_p95_m, 3)}",
            f"{_number(summary.rotation_median_deg, 2)}\n{_number(summary.rotation_p95_deg, 2)}",
            *(_share(share, 0) for share in summary.within.values()),
            str(summary.wrong_fixes),
            f"{_number(summary.latency_p50_ms, 0)}\n{_number(summary.latency_p95_ms, 0)}",
        )
    console = Console(highlight=False)
    console.print(table)
    bound = f"{first.wrong_fix_m:g} m"
    notes = [f"Errors over localized queries, shares over all; a wrong fix is off by more than {bound}."]
    for name, summary in runs.items():
        if summary.without_truth:
            notes.append(f"{name}: {summary.without_truth} queries without known truth are left out.")
    console.print("\n".join(notes), style="dim")


def _share(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
