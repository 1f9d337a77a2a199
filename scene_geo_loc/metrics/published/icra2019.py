"""The printed numbers of Learning Scene Geometry for Visual Localization (ICRA 2019), to stand beside ours.

All are of the real Oxford RobotCar runs.  Scenarios bear this package's names: the paper's winter is
`snow`.  Systems bear the paper's, with the encoder in brackets: A is AlexNet, R is ResNet18, Rt is
ResNet18 truncated after its third stage; RGBtD is the paper's own, trained with depth and used without.
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
"""The scenarios that the paper's Table I averages as "All"."""

BASELINE, PROPOSED = "RGB + NetVLAD (Rt)", "RGBtD + NetVLAD (Rt)"
"""The paper's best system trained on images alone, and its best one trained with depth."""

NIGHT = "RGBtD + NetVLAD (Rt) fine-tuned at night"
"""The latter after its decoder saw images and depth of a night; in the scenario night alone."""


@dataclass(frozen=True)
class PaperCurves:
    """The printed curves of one system in one scenario.

    Attributes:
        queries: how many there were.
        recall_at_n: (25,) shares for N = 1 .. 25 within 25 m.
        recall_at_d_as_plotted: (36,) shares for a plotted D = 15 .. 50: top-1 closer than D - 1 m.
    """

    queries: int
    recall_at_n: NDArray[np.float64]
    recall_at_d_as_plotted: NDArray[np.float64]

    def at_n(self, n: int) -> float:
        """recall@N for one N of 1 .. 25."""
        return float(self.recall_at_n[n - 1])

    def at_d(self, metres: int) -> float:
        """top-1 recall closer than D metres, for one true D of 14 .. 49."""
        return float(self.recall_at_d_as_plotted[DISTANCES_M.index(metres + 1)])


@dataclass(frozen=True)
class PaperTable:
    """A printed table: its columns, and the numbers of each row."""

    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Headline:
    """The gains of the paper's abstract, points of recall@1 averaged over its four pairs of encoder and
    pooling, and its night result, per cent of recall@1 of the best network of each kind.

    They follow from Table I.  The drawn curves of the same eight systems give 2.18 points, and 3.79 on
    snow, where ResNet18 with MAC is drawn lower than the mean in the table has it.
    """

    sunny_and_long_term_points: float
    snow_points: float
    night_rgb_percent: float
    night_rgbtd_percent: float


@cache
def _tables() -> dict[str, Any]:
    return json.loads(files("scene_geo_loc.metrics.published").joinpath("icra2019.json").read_text())


def systems(scenario: str) -> tuple[str, ...]:
    """The systems that have curves in a scenario; none where the paper has no such scenario."""
    return tuple(_tables()["curves"].get(scenario, ()))


def curves(scenario: str, system: str) -> PaperCurves:
    """The curves of figures 5 and 7. Raises KeyError where the paper has none of that name."""
    queries = _tables()["queries"][scenario]
    at_n, at_d = _tables()["curves"][scenario][system]
    return PaperCurves(queries, np.array(at_n) / queries, np.array(at_d) / queries)


def table_1() -> PaperTable:
    """Table I: top-1 recall@D in per cent; @15 and @50 are as plotted (14 and 49 m), @25 is true."""
    table = _tables()["table_1"]
    return PaperTable(tuple(table["columns"]), {name: tuple(row) for name, row in table["rows"].items()})


def table_2(scenario: str) -> PaperTable:
    """Table II: what capacity alone brings; millions of parameters, then per cent, @D as plotted."""
    table = _tables()["table_2"]
    return PaperTable(
        tuple(table["columns"]), {name: tuple(row) for name, row in table["rows"][scenario].items()}
    )


def headline() -> Headline:
    """The numbers of the abstract and of the night experiment."""
    return Headline(**_tables()["headline"])
