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

"""Numbers printed in Learning Scene Geometry for Visual Localization (ICRA 2019), for comparison with ours.

All were measured on the real Oxford RobotCar runs.  Scenarios have the names of this package: the paper's
winter is `snow`.  Systems have the paper's names, with the encoder in parentheses: A is AlexNet, R is
ResNet18, Rt is ResNet18 truncated after its third stage.  RGBtD is the system that the paper proposes: it
needs depth in training but not in use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.metrics.recall import DISTANCES_M

DAYTIME = ("sunny", "long-term", "snow")
"""Scenarios that the paper's Table I averages as "All"."""

BASELINE, PROPOSED = "RGB + NetVLAD (Rt)", "RGBtD + NetVLAD (Rt)"
"""The paper's best system trained on images alone, and its best system trained with depth."""

NIGHT = "RGBtD + NetVLAD (Rt) fine-tuned at night"
"""`PROPOSED` with its decoder fine-tuned on images and depth by night; in the scenario night only."""


@dataclass(frozen=True)
class PaperCurves:
    """Printed curves of one system in one scenario.

    Attributes:
        queries: number of queries.
        recall_at_n: (25,) shares of queries with a reference within 25 m among the first N = 1 .. 25.
        recall_at_d_as_plotted: (36,) shares plotted at D = 15 .. 50: top-1 reference closer than D - 1 m.
    """

    queries: int
    recall_at_n: NDArray[np.float64]
    recall_at_d_as_plotted: NDArray[np.float64]

    def at_n(self, n: int) -> float:
        """Returns recall@N for one N of 1 .. 25."""
        return float(self.recall_at_n[n - 1])

    def at_d(self, metres: int) -> float:
        """Returns the share of queries with a top-1 reference closer than D, for one true D of 14 .. 49 m."""
        return float(self.recall_at_d_as_plotted[DISTANCES_M.index(metres + 1)])


@dataclass(frozen=True)
class PaperTable:
    """Printed table: its columns, and the numbers of each row."""

    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Headline:
    """Gains in recall@1 of the paper's abstract, and recall@1 of its night experiment.

    The numbers follow from Table I.  The plotted curves of the same eight systems give gains of 2.18 points,
    and 3.79 on snow: the plotted curve of ResNet18 with MAC is lower than the mean in the table.

    Attributes:
        sunny_and_long_term_points, snow_points: gains in percentage points, averaged over the paper's four
            pairs of encoder and pooling.
        night_rgb_percent, night_rgbtd_percent: recall@1 of the best network of each kind, per cent.
    """

    sunny_and_long_term_points: float
    snow_points: float
    night_rgb_percent: float
    night_rgbtd_percent: float


@cache
def _tables() -> dict[str, Any]:
    return json.loads(files("scene_geo_loc.metrics.published").joinpath("icra2019.json").read_text())


def systems(scenario: str) -> tuple[str, ...]:
    """Returns the systems that have curves in a scenario; empty if the paper has no such scenario."""
    return tuple(_tables()["curves"].get(scenario, ()))


def curves(scenario: str, system: str) -> PaperCurves:
    """Returns curves of Figures 5 and 7. Raises KeyError if the paper has no such scenario or system."""
    queries = _tables()["queries"][scenario]
    at_n, at_d = _tables()["curves"][scenario][system]
    return PaperCurves(queries, np.array(at_n) / queries, np.array(at_d) / queries)


def table_1() -> PaperTable:
    """Returns Table I: top-1 recall@D in per cent; @15 and @50 are as plotted (14 and 49 m), @25 is true."""
    table = _tables()["table_1"]
    return PaperTable(tuple(table["columns"]), {name: tuple(row) for name, row in table["rows"].items()})


def table_2(scenario: str) -> PaperTable:
    """Returns Table II, the effect of capacity: millions of parameters, then per cent, @D as plotted."""
    table = _tables()["table_2"]
    return PaperTable(
        tuple(table["columns"]), {name: tuple(row) for name, row in table["rows"][scenario].items()}
    )


def headline() -> Headline:
    """Returns the numbers of the abstract and of the night experiment."""
    return Headline(**_tables()["headline"])
