"""Choice of the scans that are gathered for each lidar."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.depth.window import PUSHBROOM, SPINNING, window_for
from scene_geo_loc.traversals.frame import Scan


def scans(points: int) -> list[Scan]:
    return [Scan(i, np.zeros((points, 3))) for i in range(50)]


def test_lines_are_gathered_over_the_way_to_come_and_sweeps_around_the_image() -> None:
    assert window_for(scans(400)) == PUSHBROOM
    assert window_for(scans(25_000)) == SPINNING


def test_lines_between_which_a_sweep_comes_now_and_then_are_still_lines() -> None:
    assert window_for([*scans(400), *scans(25_000)]) == PUSHBROOM


def test_only_the_first_scans_are_read() -> None:
    read = []
    window_for(scan for scan in scans(400) if read.append(scan) is None)
    assert len(read) < 50
