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

"""Nodes work again after wild messages and requests; `make fuzz` sends them for longer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from fuzz.node_messages import TARGETS, run_session

SEEDS = {"localization": [1], "map_builder": [3]}
"""Rounds that found defects: a loop of transforms by one wrong message, and a clock before 1970."""


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.parametrize("node", TARGETS)
def test_a_node_works_again_after_wild_messages_and_requests(node: str, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    run_session(TARGETS[node], tmp_path, SEEDS[node], counts)
    assert counts["messages"] > 10
    assert counts["requests"] > 0
