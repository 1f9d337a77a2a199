"""The picture of a depth training: its loss, and its errors in validation, over the epochs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.plots.charts import STEP_COLOURS
from scene_geo_loc.plots.style import STYLE


def write_depth_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draws the records of `log.jsonl` as a PNG: above the loss, below the share that is right."""
    out = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        trained = [record for record in records if record["losses"]]
        above.plot(
            [record["epoch"] for record in trained],
            [next(iter(record["losses"].values())) for record in trained],
            color=STEP_COLOURS[0],
            marker=".",
        )
        epochs = [record["epoch"] for record in records]
        for condition, colour in zip(records[0]["validation"], STEP_COLOURS, strict=False):
            shares = [100 * record["validation"][condition]["within_1_25"] for record in records]
            below.plot(epochs, shares, color=colour, marker=".", label=condition)
        above.set(title="Loss in training")
        below.set(title="Depth within a factor of 1.25 in validation, %", xlabel="epoch", ylim=(0, None))
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        if below.get_legend_handles_labels()[0]:
            below.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.savefig(out, format="png", dpi=130)
    write_aside(path, out.getvalue())
