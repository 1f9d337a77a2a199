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

"""The loop of the town."""

from __future__ import annotations

import numpy as np
import pytest

from scene_geo_loc.simulation.town.plan import StreetPlan


@pytest.mark.parametrize("seed", [0, 1, 7, 12345])
def test_the_street_is_a_closed_loop_of_at_least_two_kilometres(seed: int) -> None:
    plan = StreetPlan(seed)
    assert 2000 <= plan.length <= 2700
    assert plan.at(plan.length) == pytest.approx(plan.at(0.0))
    steps = np.linalg.norm(np.diff(plan.at(np.arange(0, plan.length + 1, 1.0)), axis=0), axis=1)
    assert steps.min() > 0.9
    assert steps.max() < 1.05


@pytest.mark.parametrize("seed", [0, 1, 7, 12345])
def test_a_long_loop_has_the_length_asked_for_and_keeps_clear_of_itself(seed: int) -> None:
    plan = StreetPlan(seed, 6000.0)
    assert 5900 < plan.length <= 6000
    street = plan.at(np.arange(0, plan.length, 10.0))
    apart = np.linalg.norm(street[:, None] - street[None], axis=2)
    along = np.abs(np.subtract.outer(np.arange(len(street)), np.arange(len(street))))
    along = 10.0 * np.minimum(along, len(street) - along)
    assert apart[along > 400].min() > 150
    corners = zip(plan.edges, plan.edges[1:] + plan.edges[:1], strict=True)
    turns = np.degrees([np.arccos(a.direction @ b.direction) for a, b in corners])
    assert turns.min() > 14
    assert turns.max() < 78
    assert min(edge.length for edge in plan.edges) > 89


def test_a_seed_gives_one_town_and_another_seed_another() -> None:
    once, again, other = StreetPlan(7), StreetPlan(7), StreetPlan(8)
    assert [p.width for p in once.plots] == [p.width for p in again.plots]
    assert once.length == again.length != other.length


def test_houses_stand_on_both_sides_and_none_on_the_road() -> None:
    plan = StreetPlan(7)
    houses = [p for p in plan.plots if p.kind == "building"]
    fronts = np.array([p.origin + t * p.width * p.along for p in houses for t in (0.1, 0.5, 0.9)])
    distance, away = plan.nearest(fronts)
    assert (away > plan.half_road(distance)).all()
    assert sum(p.width for p in houses) > 1.4 * plan.length
    assert {p.kind for p in plan.plots} == {"building", "street", "square", "yard"}


def test_left_is_left_of_the_direction_of_travel() -> None:
    plan = StreetPlan(7)
    heading = plan.heading(100.0)
    offset = plan.at(100.0, 2.0) - plan.at(100.0)
    assert offset == pytest.approx(2.0 * np.array([-np.sin(heading), np.cos(heading)]), abs=0.01)
