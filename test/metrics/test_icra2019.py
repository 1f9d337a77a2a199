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

"""The paper's printed numbers: its tables agree with its curves, shifted by one metre."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.metrics.published import icra2019


@pytest.mark.parametrize("system", ["RGB + MAC (A)", "RGB + NetVLAD (Rt)", "RGBtD + MAC (A)"])
def test_table_1_holds_points_of_the_curves(system: str) -> None:
    table = icra2019.table_1()
    printed = dict(zip(table.columns, table.rows[system], strict=True))
    for scenario in icra2019.DAYTIME:
        curves = icra2019.curves(scenario, system)
        # @15 and @50 are read off the plot, one metre late; @25 is recall@1.
        assert printed[f"{scenario}@15"] == pytest.approx(100 * curves.at_d(14), abs=0.06)
        assert printed[f"{scenario}@50"] == pytest.approx(100 * curves.at_d(49), abs=0.06)
        assert printed[f"{scenario}@25"] == pytest.approx(100 * curves.at_n(1), abs=0.06)
        assert curves.at_d(25) == curves.at_n(1)


def test_table_2_holds_recall_at_1_and_5_of_the_curves() -> None:
    for scenario in icra2019.DAYTIME:
        table = icra2019.table_2(scenario)
        for system in ("RGB + MAC (A)", "RGBtD + MAC (A)"):
            printed = dict(zip(table.columns, table.rows[system], strict=True))
            curves = icra2019.curves(scenario, system)
            assert printed["recall@1"] == pytest.approx(100 * curves.at_n(1), abs=0.06)
            assert printed["recall@5"] == pytest.approx(100 * curves.at_n(5), abs=0.06)


def test_the_headline_is_the_gain_of_the_mean_over_four_pairs_of_encoder_and_pooling() -> None:
    table = icra2019.table_1()
    gains = dict(
        zip(
            table.columns,
            np.subtract(table.rows["Mean of RGBtD"], table.rows["Mean of RGB"]).tolist(),
            strict=True,
        )
    )
    printed = icra2019.headline()
    both = (gains["sunny@25"] + gains["long-term@25"]) / 2
    assert both == pytest.approx(printed.sunny_and_long_term_points, abs=0.01)
    assert gains["snow@25"] == pytest.approx(printed.snow_points, abs=0.06)


def test_every_scenario_has_curves_that_never_fall() -> None:
    for scenario in (*icra2019.DAYTIME, "night"):
        assert {icra2019.BASELINE, icra2019.PROPOSED} <= set(icra2019.systems(scenario))
        for system in icra2019.systems(scenario):
            curves = icra2019.curves(scenario, system)
            assert (np.diff(curves.recall_at_n) >= 0).all()
            assert (np.diff(curves.recall_at_d_as_plotted) >= 0).all()
            assert 0 < curves.recall_at_n[0] <= curves.recall_at_n[-1] <= 1


def test_a_scenario_that_the_paper_does_not_have_has_no_systems() -> None:
    assert icra2019.systems("rain") == ()
