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

"""Curves of a training run over its epochs: losses, and recall or depth errors in validation."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.plots.charts import STEP_COLOURS
from scene_geo_loc.plots.style import MUTED, STYLE


def write_training_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draws the records of `log.jsonl` of a descriptor as a PNG: losses above, recall below.

    The first record, epoch 0, belongs to the network before training: it has no losses and is never the best.
    """
    out = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        trained = [record for record in records if record["losses"]]
        for name, colour in zip(trained[0]["losses"] if trained else (), STEP_COLOURS, strict=False):
            above.plot(
                [record["epoch"] for record in trained],
                [record["losses"][name] for record in trained],
                color=colour,
                marker=".",
                label=name,
            )
        validated = [record for record in records if "recall_at_n" in record]
        epochs = [record["epoch"] for record in validated]
        for n, colour in ((1, STEP_COLOURS[0]), (5, STEP_COLOURS[1])):
            shares = [record["recall_at_n"][n - 1] for record in validated]
            below.plot(epochs, shares, color=colour, marker=".", label=f"recall@{n}")
        mean = [record["mean_recall_1_to_5"] for record in validated]
        below.plot(epochs, mean, color=MUTED, ls=(0, (4, 2)), label="mean of recall@1 to @5")
        if after := [record for record in validated if record["losses"]]:
            best = max(after, key=lambda record: record["mean_recall_1_to_5"])
            at = best["epoch"], best["mean_recall_1_to_5"]
            below.plot(*at, "o", color=MUTED, label=f"best: epoch {best['epoch']}")
        above.set(title="Losses in training", ylim=(min(0.0, above.get_ylim()[0]), None))
        title = "Recall within 25 m in the validation area"
        below.set(title=title if validated else f"{title}: not measured", xlabel="epoch")
        below.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (above, below):
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.savefig(out, format="png", dpi=130)
    write_aside(path, out.getvalue())


def write_pose_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draws the records of `log.jsonl` of a pose regressor as a PNG: loss above, errors below."""
    out = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        names = list(dict.fromkeys(name for record in records for name in record["losses"]))
        for name, colour in zip(names, STEP_COLOURS, strict=False):
            part = [record for record in records if name in record["losses"]]
            losses = [record["losses"][name] for record in part]
            above.plot([record["epoch"] for record in part], losses, color=colour, label=name)
        epochs = [record["epoch"] for record in records]
        for field, label, colour in (
            ("position_m", "position, m", STEP_COLOURS[0]),
            ("rotation_deg", "rotation, degrees", STEP_COLOURS[1]),
        ):
            below.plot(epochs, [record[field] for record in records], color=colour, label=label)
        above.set(title="Loss in training")
        below.set(title="Median errors of the validation", xlabel="epoch", yscale="log")
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (above, below):
            axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.01, 0.5))
        figure.savefig(out, format="png", dpi=130)
    write_aside(path, out.getvalue())


def write_depth_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draws the records of `log.jsonl` of a depth network as a PNG: loss above, correct depth below."""
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
