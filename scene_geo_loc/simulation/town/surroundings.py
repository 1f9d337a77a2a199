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

"""Houses off the loop: along the side streets, and a second row behind the fronts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.town.plan import Plot, StreetPlan

_SIDE_STREET_INDEX = 100_000
_BACK_ROW_INDEX = 200_000
_BACK_ROW_STEP_M = 27.0


def side_street_plots(plan: StreetPlan) -> list[Plot]:
    """Returns plots on both sides of each side street, and one at its end."""
    plots = []
    for street in (p for p in plan.plots if p.kind == "street"):
        rng = stream(plan.seed, "side street", street.index)
        first = _SIDE_STREET_INDEX + street.index * 10
        deep = 0.0
        for side in (0, 1):
            deep = 13.5
            for number in range(4):
                width = float(rng.uniform(9, 13))
                origin, along = street.origin + deep * street.inward, street.inward
                if side == 1:
                    origin, along = (
                        origin + street.width * street.along + width * street.inward,
                        -street.inward,
                    )
                index, is_open = first + side * 4 + number, number == 0
                plots.append(
                    Plot(
                        index,
                        "building",
                        origin,
                        along,
                        width,
                        street.distance,
                        street.district,
                        is_open,
                        is_open,
                    )
                )
                deep += width
        closing = street.origin + (deep + 6) * street.inward - 4 * street.along
        plots.append(
            replace(street, index=first + 9, kind="building", origin=closing, width=street.width + 8)
        )
    return _clear_of_the_loop(plan, plots, 11.0, 20.0)


def back_row_plots(plan: StreetPlan) -> list[Plot]:
    """Returns a second row behind the fronts, visible over low roofs and through gaps."""
    plots = []
    for number, s in enumerate(np.arange(0, plan.length, _BACK_ROW_STEP_M)):
        for side in (-1, 1):
            rng = stream(plan.seed, "back", number, side + 1)
            away = rng.uniform(36, 58)
            heading = plan.heading(s)
            inward = side * np.array([-np.sin(heading), np.cos(heading)])
            along = np.array([inward[1], -inward[0]])
            width = float(rng.uniform(14, 22))
            origin = plan.at(s) + away * inward - width / 2 * along
            district = str(rng.choice(["modern", "modern", "brick", "market"]))
            index = _BACK_ROW_INDEX + number * 2 + (side > 0)
            plots.append(Plot(index, "building", origin, along, width, float(s), district, True, True))
    plots = _clear_of_the_loop(plan, plots, 6.0, 34.0)
    for street in (p for p in plan.plots if p.kind == "street"):
        mouth = street.origin + street.width / 2 * street.along
        plots = [
            p
            for p in plots
            if not _is_in_side_street(p.origin + p.width / 2 * p.along + 6 * p.inward - mouth, street)
        ]
    return plots


def _clear_of_the_loop(plan: StreetPlan, plots: list[Plot], deep: float, least: float) -> list[Plot]:
    """Returns the plots whose middle, `deep` metres behind the front, is `least` metres off the loop."""
    middles = np.array([p.origin + p.width / 2 * p.along + deep * p.inward for p in plots])
    _, away = plan.nearest(middles)
    return [plot for plot, distance in zip(plots, away, strict=True) if distance > least]


def _is_in_side_street(offset: np.ndarray, street: Plot) -> bool:
    return bool(abs(offset @ street.along) < 28 and 0 < offset @ street.inward < 80)
