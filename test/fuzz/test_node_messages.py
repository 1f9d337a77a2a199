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
