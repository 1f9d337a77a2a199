"""A node to which everything happens once goes on; `make soak` does it for hours."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.soak import soak


@pytest.mark.slow
@pytest.mark.ros
def test_a_node_publishes_poses_again_after_each_event(tmp_path: Path) -> None:
    run = soak(tmp_path, minutes=0)
    assert len(run.resident_mb) == 5
    assert run.poses > 20
