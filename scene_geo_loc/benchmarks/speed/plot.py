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
"""Picture of what a map costs against its number of keyframes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from scene_geo_loc.benchmarks.speed.city_cost import CityCost
from scene_geo_loc.plots.style import PLAIN

COLOURS = ("#12a184", "#e0a01b", "#d2456b", "#5b7fd6")


def map_size_figure(costs: Sequence[CityCost]) -> Figure:
    """Returns a figure of times, of memory and disk, and of recall, against the number of keyframes."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    times, sizes, recall = figure.subplots(1, 3)
    counts = [cost.keyframes for cost in costs]
    lines = {
        times: {
            "opening": [cost.open_ms for cost in costs],
            "search, processor time": [cost.cpu_ms for cost in costs],
            "around a pose, processor time": [cost.prior_cpu_ms for cost in costs],
        },
        sizes: {
            "memory": [cost.resident_mb for cost in costs],
            "disk": [cost.disk_mb for cost in costs],
        },
        recall: {kind: [100 * cost.recall[kind] for cost in costs] for kind in costs[0].recall},
    }
    for axes, series in lines.items():
        for colour, (label, values) in zip(COLOURS, series.items(), strict=False):
            axes.plot(counts, values, "o-", color=colour, lw=1.6, label=label)
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("keyframes")
        axes.legend(frameon=False, fontsize=8)
    for axes, label in ((times, "time (ms)"), (sizes, "size (MB)")):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(PLAIN)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel(label)
    recall.set_ylabel("best keyframe as by exact search (%)")
    recall.set_ylim(0, 102)
    return figure
